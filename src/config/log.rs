//! `[log]`: what is logged.

use serde::{Deserialize, Serialize};

use super::{
    aliases,
    rules::text,
    section::section,
    validate::{A_LOG_FILTER, log_filter},
    value::choices,
};

/// The form of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line, for programs.
    Json,
}

choices!(LogFormat => "text or json");

section! {
    /// What is logged, and in which form.
    #[derive(Debug, Clone)]
    pub struct LogSettings = "log" {
        /// `error`, `warn`, `info`, `debug`, `trace`, `off`, or a list such as `info,blogctl::entra=debug`. `DEBUG=true`
        /// means `debug`.
        #[alias(DEBUG via aliases::debug, LOG_LEVEL via aliases::log_level)]
        pub level: String = "info".to_owned(), text(A_LOG_FILTER, log_filter);

        /// `text`, or `json` for one object per line with the fields of OpenTelemetry's log data model, described in
        /// [tracing.md](tracing.md#log-lines-as-json).
        pub format: LogFormat = LogFormat::Text;
    }
}
