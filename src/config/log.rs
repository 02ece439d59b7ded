//! `[log]`: what is logged.

use serde::{Deserialize, Serialize};

use super::{
    loader::Loader,
    validate::{A_LOG_FILTER, log_filter},
    value::choices,
};

/// `[log]`.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// `log.level`, older name `LOG_LEVEL`: `error`, `warn`, `info`, `debug`, `trace`, `off`, or a list such
    /// as `info,blogctl::entra=debug`.
    /// The older `DEBUG=true` means `debug`.
    pub level: String,
    /// `log.format`: `text` or `json`.
    pub format: LogFormat,
}

/// How a log line looks.
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

impl LogSettings {
    pub(super) fn read(loader: &mut Loader) -> Self {
        let default = Self::default();
        Self {
            level: loader.get_if("log.level", default.level, A_LOG_FILTER, |level| log_filter(level)),
            format: loader.get("log.format", default.format),
        }
    }
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            level: "info".to_owned(),
            format: LogFormat::Text,
        }
    }
}
