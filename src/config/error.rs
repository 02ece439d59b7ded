//! Errors in the settings. All of them are reported at once, each with the setting, its origin and the expected value. They never
//! contain a secret.

use std::fmt;

/// One error in the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// What kind of error it is.
    pub kind: ConfigErrorKind,
    /// The setting (`section.key`), or the file that cannot be read.
    pub setting: String,
    /// What is wrong with it, such as `is "fifty"` or `is not set`.
    pub problem: String,
    /// Where the value is set, such as `blog.toml` or `environment variable FLASK_PORT`. `None` if there is no value.
    pub origin: Option<String>,
    /// What to do.
    pub hint: String,
}

/// The kinds of errors in the settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfigErrorKind {
    /// A settings file cannot be read or parsed, so nothing is known about the settings in it.
    UnreadableFile,
    /// A setting that the role requires is not set.
    Missing {
        /// What the setting is, such as `the directory (tenant) ID of the app registrations`.
        expected: String,
        /// How to set it.
        remedy: String,
    },
    /// A value is invalid.
    Invalid {
        /// What is accepted, such as `a whole number from 0 to 65535`. `None` if the hint says more.
        expected: Option<String>,
    },
    /// There is no setting with this name.
    Unknown,
    /// A setting contradicts another one.
    Conflict,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.setting, self.problem)?;
        if let Some(origin) = &self.origin {
            write!(f, " ({origin})")?;
        }
        Ok(())
    }
}

/// All errors in the settings; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => write!(f, "1 setting is invalid")?,
            n => write!(f, "{n} settings are invalid")?,
        }
        for error in &self.0 {
            write!(f, "\n\n  {error}\n    hint: {}", error.hint)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
