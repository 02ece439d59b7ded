//! The flags that every command takes to find its settings.

use std::path::PathBuf;

use clap::Args;

use super::logging;
use crate::config::{ConfigErrors, Flag, Loaded, Role, Settings, Sources};

/// `--config` and `--set`.
#[derive(Debug, Args)]
pub struct SettingsArguments {
    /// Read this settings file in place of blog.toml [env: BLOG_CONFIG]
    #[arg(long, global = true, value_name = "FILE", help_heading = "Settings")]
    config: Option<PathBuf>,

    /// Give a setting its value; may be repeated, as in --set log.level=debug
    #[arg(long = "set", global = true, value_name = "SECTION.KEY=VALUE", value_parser = assignment, help_heading = "Settings")]
    assignments: Vec<(String, String)>,
}

impl SettingsArguments {
    /// Where this process finds its settings, with the command's own `flags` beating all else.
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

    /// The settings for `role`; also starts logging as they say.
    ///
    /// # Errors
    /// Everything that is wrong with the settings.
    pub fn load(&self, role: Role, flags: Vec<Flag>) -> Result<Settings, ConfigErrors> {
        self.load_with_origins(role, flags).map(|loaded| loaded.settings)
    }

    /// The same, with the origin of each setting.
    ///
    /// # Errors
    /// Everything that is wrong with the settings.
    pub fn load_with_origins(&self, role: Role, flags: Vec<Flag>) -> Result<Loaded, ConfigErrors> {
        let loaded = Settings::load(&self.sources(flags), role)?;
        logging::start(&loaded.settings.log);
        for warning in &loaded.warnings {
            log::warn!("{warning}");
        }
        Ok(loaded)
    }

    /// Settings that `--set` names.
    pub fn set_names(&self) -> impl Iterator<Item = &str> {
        self.assignments.iter().map(|(setting, _)| setting.as_str())
    }
}

/// The flag `name`, when given, as the value of `setting`.
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
