//! What is wrong with the settings: all of it at once, each with the setting, where it came from and what is expected.
//! Never shows the value of a secret.

use std::fmt;

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// The setting (`section.key`), or the file that cannot be read.
    pub setting: String,
    /// What is wrong with it, such as `is "fifty"` or `is not set`.
    pub problem: String,
    /// Where the value came from, such as `blog.toml` or `environment variable FLASK_PORT`; `None` when there is none.
    pub origin: Option<String>,
    /// What to do.
    pub hint: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.setting, self.problem)?;
        if let Some(origin) = &self.origin {
            write!(f, " ({origin})")?;
        }
        Ok(())
    }
}

/// Everything that is wrong; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistakes(pub Vec<Mistake>);

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => write!(f, "1 setting is wrong")?,
            n => write!(f, "{n} settings are wrong")?,
        }
        for mistake in &self.0 {
            write!(f, "\n\n  {mistake}\n    hint: {}", mistake.hint)?;
        }
        Ok(())
    }
}

impl std::error::Error for Mistakes {}
