//! Collects the values of settings from `blog.toml`, `.env`, the environment and flags. Each value keeps its origin, for
//! messages.
//!
//! No other file reads the environment, and this one never changes it.

use std::{
    env,
    ffi::{OsStr, OsString},
    fmt, fs, io,
    path::{Path, PathBuf},
};

use figment::{
    providers::{Format, Toml},
    value::{Dict, Value},
};

use super::{
    aliases, dotenv,
    error::{ConfigError, ConfigErrorKind},
    quote::{quotable, quotable_path},
    required::Role,
    section::Declaration,
    text_file::text_in,
};

/// The settings file, unless another one is named.
pub const DEFAULT_FILE: &str = "blog.toml";
/// The environment variable that names another settings file.
pub const FILE_VARIABLE: &str = "BLOG_CONFIG";
const PREFIX: &str = "BLOG_";

/// Where the settings come from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Folder of `blog.toml` and `.env`; empty means the working directory. `None` means that no file is read.
    pub folder: Option<PathBuf>,
    /// `--config FILE`: read instead of `blog.toml`. It must exist.
    pub file: Option<PathBuf>,
    /// The environment variables.
    pub environment: Vec<(OsString, OsString)>,
    /// Flags of the command line; of two flags for one setting, the later one wins.
    pub flags: Vec<Flag>,
}

/// A flag of the command line that sets a setting.
#[derive(Debug, Clone)]
pub struct Flag {
    /// As the user typed it, such as `--port`.
    pub name: String,
    /// `section.key`
    pub setting: String,
    /// The value as text.
    pub value: String,
}

impl Sources {
    /// The sources of this process: its working directory and environment.
    pub fn from_process() -> Self {
        Self {
            folder: Some(PathBuf::new()),
            environment: env::vars_os().collect(),
            ..Self::default()
        }
    }
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The default of the setting.
    Default,
    /// A settings file, by its path.
    File(String),
    /// A variable in a `.env` file.
    DotEnv(String),
    /// A variable of the environment.
    Environment(String),
    /// A flag, by its name.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => f.write_str(path),
            Self::DotEnv(name) => write!(f, "{name} in .env"),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// A value from a source.
pub struct Given {
    /// The name of the setting, which need not exist.
    pub setting: String,
    /// As in the file, the variable or the flag.
    pub value: Value,
    pub origin: Origin,
}

/// Everything that the sources contain.
#[derive(Default)]
pub struct Collected {
    /// Of several values for one setting, the last wins.
    pub given: Vec<Given>,
    /// Variables that begin with `BLOG_`, but are no settings because they have no double underscore.
    pub unknown_variables: Vec<String>,
    /// Such as files that cannot be read.
    pub errors: Vec<ConfigError>,
    /// For the log.
    pub warnings: Vec<String>,
}

impl Collected {
    /// Reads every source. The aliases are those of `declarations`, and those that only `role` has.
    pub fn from_sources(sources: &Sources, declarations: &[&'static Declaration], role: Role) -> Self {
        let mut collected = Self::default();
        let mut dotenv = Vec::new();
        if let Some(folder) = &sources.folder {
            dotenv = collected.read_dotenv(&folder.join(".env"), &sources.environment);
            collected.read_file(folder, sources, &dotenv, declarations);
        }
        collected.add_variables(&dotenv, declarations, role, Origin::DotEnv);
        collected.add_variables(&sources.environment, declarations, role, Origin::Environment);
        for Flag { name, setting, value } in &sources.flags {
            let origin = Origin::Flag(name.clone());
            collected.given.push(Given {
                setting: setting.clone(),
                value: Value::from(value.clone()),
                origin,
            });
        }
        collected
    }

    fn read_file(
        &mut self,
        folder: &Path,
        sources: &Sources,
        dotenv: &[(OsString, OsString)],
        declarations: &[&'static Declaration],
    ) {
        let variable = |variables: &[(OsString, OsString)]| {
            variables
                .iter()
                .find(|(name, value)| name == FILE_VARIABLE && !is_blank(value))
                .map(|(_, value)| value.into())
        };
        let named = sources
            .file
            .clone()
            .or_else(|| variable(&sources.environment))
            .or_else(|| variable(dotenv));
        let path = folder.join(named.as_deref().unwrap_or(Path::new(DEFAULT_FILE)));
        let shown = quotable_path(&path).into_owned();
        let text = match fs::read(&path).map(|bytes| text_in(&bytes)) {
            Ok(Some(text)) => text,
            Ok(None) => return self.unreadable(shown, "is not valid UTF-8", "save it as UTF-8"),
            Err(error) if error.kind() == io::ErrorKind::NotFound && named.is_none() => return,
            Err(error) => {
                let hint = format!("name another file with --config FILE or {FILE_VARIABLE}, or use neither");
                return self.unreadable(shown, &format!("cannot be read: {error}"), &hint);
            }
        };
        match Toml::from_str::<Dict>(&text) {
            Ok(content) => self.given.extend(flatten(content, &shown, declarations)),
            Err(error) => {
                let location = error
                    .span()
                    .map_or_else(String::new, |span| location(&text, span.start));
                // Only the message: `Display` also quotes the text around the error, which may be a secret.
                let message = error.message().lines().map(quotable).collect::<Vec<_>>().join(", ");
                self.unreadable(
                    shown,
                    &format!("is not valid TOML{location}: {message}"),
                    "see https://toml.io for the syntax",
                );
            }
        }
    }

    fn read_dotenv(&mut self, path: &Path, environment: &[(OsString, OsString)]) -> Vec<(OsString, OsString)> {
        let shown = path.display().to_string();
        let text = match fs::read(path).map(|bytes| text_in(&bytes)) {
            Ok(Some(text)) => text,
            Ok(None) => {
                self.unreadable(shown, "is not valid UTF-8", "save it as UTF-8");
                return Vec::new();
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => {
                self.unreadable(
                    shown,
                    &format!("cannot be read: {error}"),
                    "make it readable, or delete it",
                );
                return Vec::new();
            }
        };
        let value_of = |name: &str| {
            let (_, value) = environment.iter().find(|(own, _)| own == name)?;
            value.to_str().map(str::to_owned)
        };
        let read = dotenv::parse(&text, value_of);
        for line in read.invalid_lines {
            // The line itself is not shown: it may contain a secret.
            let problem = format!("has a line that is not NAME=value: line {line}");
            let hint = "write NAME=value, or NAME='value' for a value of several lines; # begins a comment";
            self.unreadable(shown.clone(), &problem, hint);
        }
        read.variables
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect()
    }

    /// Adds the variables that are settings: aliases first, so that a setting's own name wins.
    fn add_variables(
        &mut self,
        variables: &[(OsString, OsString)],
        declarations: &[&'static Declaration],
        role: Role,
        origin_of: fn(String) -> Origin,
    ) {
        let mut set_by_alias = Vec::new();
        let aliases = declarations
            .iter()
            .map(|declaration| (declaration.name, declaration.aliases))
            .chain(aliases::of_role(role))
            .flat_map(|(setting, aliases)| aliases.iter().map(move |alias| (setting, alias)));
        for (setting, alias) in aliases {
            let Some((_, value)) = variables.iter().find(|(name, _)| name == alias.name) else {
                continue;
            };
            let origin = origin_of(alias.name.to_owned());
            let Some(value) = self.utf8(setting, value, &origin).map(alias.convert) else {
                continue;
            };
            if !value.trim().is_empty() {
                set_by_alias.push((setting, alias.name));
                self.given.push(Given {
                    setting: setting.to_owned(),
                    value: Value::from(value),
                    origin,
                });
            }
        }
        for (name, value) in variables {
            // An empty variable means "not set", as when a template leaves a value out: another source may set it.
            let Some(name) = name.to_str().filter(|_| !is_blank(value)) else {
                continue;
            };
            let Some(setting) = setting_of(name) else {
                self.unknown_variables
                    .extend(name.starts_with(PREFIX).then(|| name.to_owned()));
                continue;
            };
            if let Some((_, alias)) = set_by_alias.iter().find(|(of, _)| *of == setting) {
                self.warnings.push(format!(
                    "{alias} is ignored: {name}, which sets {setting} as well, takes precedence"
                ));
            }
            let origin = origin_of(name.to_owned());
            let Some(value) = self.utf8(&setting, value, &origin) else {
                continue;
            };
            self.given.push(Given {
                value: Value::from(value.to_owned()),
                setting,
                origin,
            });
        }
    }

    fn utf8<'a>(&mut self, setting: &str, value: &'a OsStr, origin: &Origin) -> Option<&'a str> {
        let text = value.to_str();
        if text.is_none() {
            let hint = "set it to UTF-8 text".to_owned();
            self.errors.push(ConfigError {
                kind: ConfigErrorKind::Invalid { expected: None },
                setting: setting.to_owned(),
                problem: "is not valid UTF-8".to_owned(),
                origin: Some(origin.to_string()),
                hint,
            });
        }
        text
    }

    fn unreadable(&mut self, file: String, problem: &str, hint: &str) {
        self.errors.push(ConfigError {
            kind: ConfigErrorKind::UnreadableFile,
            setting: file,
            problem: problem.to_owned(),
            origin: None,
            hint: hint.to_owned(),
        });
    }
}

fn is_blank(value: &OsStr) -> bool {
    value.to_str().is_some_and(|text| text.trim().is_empty())
}

/// The environment variable of a setting: `BLOG_SECTION__KEY`, or `BLOG_SECTION__PART__KEY` for `section.part.key`.
pub fn variable_of(setting: &str) -> String {
    format!("{PREFIX}{}", setting.replace('.', "__").to_ascii_uppercase())
}

/// The setting that a variable names. `BLOG_…` without a double underscore is not a setting: if a Kubernetes service has the
/// name `blog`, every container has `BLOG_PORT`, `BLOG_SERVICE_HOST` and so on.
fn setting_of(variable: &str) -> Option<String> {
    let (section, key) = variable.strip_prefix(PREFIX)?.split_once("__")?;
    Some(format!("{section}.{}", key.replace("__", ".")).to_ascii_lowercase())
}

/// `[section] key = value` as `section.key`, and `[section.part]` as `section.part.key`, if settings have such names. A key
/// outside a section keeps its name.
fn flatten(content: Dict, path: &str, declarations: &[&'static Declaration]) -> Vec<Given> {
    let mut all = Vec::new();
    for (name, value) in content {
        match value {
            Value::Dict(_, keys) => add_section(&name, keys, path, declarations, &mut all),
            value => all.push(from_file(name, value, path)),
        }
    }
    all
}

fn add_section(section: &str, keys: Dict, path: &str, declarations: &[&'static Declaration], all: &mut Vec<Given>) {
    for (key, value) in keys {
        let name = format!("{section}.{key}");
        let is_section = || {
            let is_in = |setting: &str| setting.strip_prefix(&name).is_some_and(|rest| rest.starts_with('.'));
            declarations.iter().any(|declaration| is_in(declaration.name))
        };
        match value {
            Value::Dict(_, keys) if is_section() => add_section(&name, keys, path, declarations, all),
            value => all.push(from_file(name, value, path)),
        }
    }
}

fn from_file(setting: String, value: Value, path: &str) -> Given {
    Given {
        setting,
        value,
        origin: Origin::File(path.to_owned()),
    }
}

fn location(text: &str, byte: usize) -> String {
    let before = text.get(..byte).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
    format!(" in line {line}, column {column}")
}
