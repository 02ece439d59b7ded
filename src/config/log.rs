//! `[log]`: what is logged.

/// `[log]`.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// `log.level`, older name `LOG_LEVEL`: `error`, `warn`, `info`, `debug`, `trace`, or an env_logger filter.
    /// The older `DEBUG=true` means `debug`.
    pub level: String,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { level: "info".to_owned() }
    }
}
