//! The flags for settings that every command accepts.

use std::path::PathBuf;

use clap::Args;

use super::logging;
use crate::config::{ConfigErrors, Flag, Loaded, Role, Settings, Sources};

/// `--config` and `--set`.
#[derive(Debug, Args)]
pub struct SettingsArguments {
    /// Read this settings file instead of blog.toml [env: BLOG_CONFIG]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Settings")]
    config: Option<PathBuf>,

    /// Set a setting, such as --set log.level=debug; may be repeated
    #[arg(long = "set", global = true, value_name = "SECTION.KEY=VALUE", value_parser = assignment, help_heading = "Settings")]
    assignments: Vec<(String, String)>,
}

impl SettingsArguments {
    /// The sources of the settings of this process. The command's own `flags` take precedence over all others.
    pub fn sources(&self, flags: Vec<Flag>) -> Sources {
        let set = |(setting, value): &(String, String)| Flag {
            name: "--set".to_owned(),
            setting: setting.clone(),
            value: value.clone(),
        };
        let flags = self.assignments.iter().map(set).chain(flags).collect();
        Sources {
            file: self.config.clone(),
            flags,
            ..Sources::from_process()
        }
    }

    /// Loads the settings for `role`, and starts logging according to them.
    ///
    /// # Errors
    /// All errors in the settings.
    pub fn load(&self, role: Role, flags: Vec<Flag>) -> Result<Settings, ConfigErrors> {
        self.load_with_origins(role, flags).map(|loaded| loaded.settings)
    }

    /// Like [`Self::load`], with the origin of each setting.
    ///
    /// # Errors
    /// All errors in the settings.
    pub fn load_with_origins(&self, role: Role, flags: Vec<Flag>) -> Result<Loaded, ConfigErrors> {
        let loaded = Settings::load(&self.sources(flags), role)?;
        logging::start(&loaded.settings.log);
        for warning in &loaded.warnings {
            log::warn!("{warning}");
        }
        Ok(loaded)
    }

    /// The names of the settings in `--set`.
    pub fn set_names(&self) -> impl Iterator<Item = &str> {
        self.assignments.iter().map(|(setting, _)| setting.as_str())
    }
}

/// The flag `name` as a value for `setting`, if the flag is used.
pub fn flag(name: &str, setting: &str, value: Option<impl ToString>) -> Option<Flag> {
    value.map(|value| Flag {
        name: name.to_owned(),
        setting: setting.to_owned(),
        value: value.to_string(),
    })
}

fn assignment(text: &str) -> Result<(String, String), String> {
    text.split_once('=')
        .filter(|(setting, _)| setting.contains('.'))
        .map(|(setting, value)| (setting.trim().to_owned(), value.to_owned()))
        .ok_or_else(|| "expected section.key=value, such as log.level=debug".to_owned())
}
