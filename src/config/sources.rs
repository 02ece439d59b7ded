//! Where settings are given: `blog.toml`, `.env`, the environment, flags. Each value keeps its origin, for messages.
//!
//! The only place that reads the environment; it never changes it.

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
    Mistake,
    aliases::OLDER_NAMES,
    dotenv,
    quote::{quotable, quotable_path},
    text_file::text_in,
};

/// The settings file that is read when no other is named.
pub const DEFAULT_FILE: &str = "blog.toml";
/// The environment variable that names another settings file.
pub const FILE_VARIABLE: &str = "BLOG_CONFIG";
const PREFIX: &str = "BLOG_";

/// Where to look for settings.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// Folder of `blog.toml` and `.env`, empty for the working directory; `None`: no file is read at all.
    pub folder: Option<PathBuf>,
    /// `--config FILE`: read in place of `blog.toml`. It must be there.
    pub file: Option<PathBuf>,
    /// The environment variables.
    pub environment: Vec<(OsString, OsString)>,
    /// What flags say, the later before the earlier.
    pub flags: Vec<Flag>,
}

/// A flag of the command line that gives a setting its value.
#[derive(Debug, Clone)]
pub struct Flag {
    /// As the user typed it, such as `--port`.
    pub name: String,
    /// The setting.
    pub setting: String,
    /// Its value.
    pub value: String,
}

impl Sources {
    /// Those of this process: its working directory and environment.
    pub fn of_process() -> Self {
        Self {
            folder: Some(PathBuf::new()),
            environment: env::vars_os().collect(),
            ..Self::default()
        }
    }
}

/// Where a value was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A settings file, by its path.
    File(String),
    /// A variable in a `.env` file.
    DotEnv(String),
    /// A variable of the environment.
    Environment(String),
    /// A flag.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.write_str(path),
            Self::DotEnv(name) => write!(f, "{name} in .env"),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
        }
    }
}

/// A value that somebody gave a setting.
pub struct Given {
    /// The setting; not necessarily one that there is.
    pub setting: String,
    /// As the file, the variable or the flag has it.
    pub value: Value,
    /// Where.
    pub origin: Origin,
}

/// All that is given, what comes later beating what comes before.
#[derive(Default)]
pub struct Collected {
    /// The values.
    pub given: Vec<Given>,
    /// Variables that begin like a setting's and are none, since they lack the double underscore.
    pub not_settings: Vec<String>,
    /// Files that cannot be read, and the like.
    pub mistakes: Vec<Mistake>,
    /// What is worth a line in the log.
    pub warnings: Vec<String>,
}

impl Collected {
    /// Reads every source.
    pub fn from(sources: &Sources) -> Self {
        let mut collected = Self::default();
        let mut dotenv = Vec::new();
        if let Some(folder) = &sources.folder {
            dotenv = collected.read_dotenv(&folder.join(".env"), &sources.environment);
            collected.read_file(folder, sources, &dotenv);
        }
        collected.take_variables(&dotenv, Origin::DotEnv);
        collected.take_variables(&sources.environment, Origin::Environment);
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

    fn read_file(&mut self, folder: &Path, sources: &Sources, dotenv: &[(OsString, OsString)]) {
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
            Ok(None) => return self.cannot_read(shown, "is not valid UTF-8", "save it as UTF-8"),
            Err(error) if error.kind() == io::ErrorKind::NotFound && named.is_none() => return,
            Err(error) => {
                let hint = format!("name another with --config FILE or {FILE_VARIABLE}, or leave both out");
                return self.cannot_read(shown, &format!("cannot be read: {error}"), &hint);
            }
        };
        match Toml::from_str::<Dict>(&text) {
            Ok(content) => self.given.extend(flatten(content, &shown)),
            Err(error) => {
                let place = error.span().map_or_else(String::new, |span| place(&text, span.start));
                // Only the message: the text around the mistake, which Display repeats, may be a secret.
                let message = error.message().lines().map(quotable).collect::<Vec<_>>().join(", ");
                self.cannot_read(
                    shown,
                    &format!("is not valid TOML{place}: {message}"),
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
                self.cannot_read(shown, "is not valid UTF-8", "save it as UTF-8");
                return Vec::new();
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => {
                self.cannot_read(
                    shown,
                    &format!("cannot be read: {error}"),
                    "make it readable, or remove it",
                );
                return Vec::new();
            }
        };
        let value_of = |name: &str| {
            let (_, value) = environment.iter().find(|(own, _)| own == name)?;
            value.to_str().map(str::to_owned)
        };
        let read = dotenv::parse(&text, value_of);
        for line in read.wrong_lines {
            // Never the line itself: it may hold a secret.
            let problem = format!("has a line that is not NAME=value: line {line}");
            let hint = "write NAME=value, or NAME='value' for a value of several lines; # begins a comment";
            self.cannot_read(shown.clone(), &problem, hint);
        }
        read.variables
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect()
    }

    /// Takes the variables that are settings: older names first, so that the new ones beat them.
    fn take_variables(&mut self, variables: &[(OsString, OsString)], origin_of: fn(String) -> Origin) {
        let mut from_older = Vec::new();
        for older in OLDER_NAMES {
            let Some((_, value)) = variables.iter().find(|(name, _)| name == older.name) else {
                continue;
            };
            let origin = origin_of(older.name.to_owned());
            let Some(value) = self.utf8(older.setting, value, &origin).map(older.convert) else {
                continue;
            };
            if !value.trim().is_empty() {
                from_older.push((older.setting, older.name));
                self.given.push(Given {
                    setting: older.setting.to_owned(),
                    value: Value::from(value),
                    origin,
                });
            }
        }
        for (name, value) in variables {
            // "Not set", as where a template leaves a value out: what is given elsewhere counts.
            let Some(name) = name.to_str().filter(|_| !is_blank(value)) else {
                continue;
            };
            let Some(setting) = setting_of(name) else {
                self.not_settings
                    .extend(name.starts_with(PREFIX).then(|| name.to_owned()));
                continue;
            };
            if let Some((_, older)) = from_older.iter().find(|(of, _)| *of == setting) {
                self.warnings.push(format!(
                    "{older} is not used: {name} is set too, and is the newer name of {setting}"
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
            self.mistakes.push(Mistake {
                setting: setting.to_owned(),
                problem: "is not valid UTF-8".to_owned(),
                origin: Some(origin.to_string()),
                hint: "set it to UTF-8 text".to_owned(),
            });
        }
        text
    }

    fn cannot_read(&mut self, file: String, problem: &str, hint: &str) {
        self.mistakes.push(Mistake {
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

/// The environment variable of a setting: `BLOG_SECTION__KEY`.
pub fn variable_of(setting: &str) -> String {
    format!("{PREFIX}{}", setting.replacen('.', "__", 1).to_ascii_uppercase())
}

/// The setting that a variable names. `BLOG_…` without a double underscore is none: where a Kubernetes service is
/// called `blog`, every container has `BLOG_PORT`, `BLOG_SERVICE_HOST` and so on.
fn setting_of(variable: &str) -> Option<String> {
    let (section, key) = variable.strip_prefix(PREFIX)?.split_once("__")?;
    Some(format!("{section}.{key}").to_ascii_lowercase())
}

/// `[section] key = value` as `section.key`; what stands outside a section as it is.
fn flatten(content: Dict, path: &str) -> Vec<Given> {
    let given = |setting: String, value| Given {
        setting,
        value,
        origin: Origin::File(path.to_owned()),
    };
    let mut all = Vec::new();
    for (section, value) in content {
        match value {
            Value::Dict(_, keys) => {
                all.extend(
                    keys.into_iter()
                        .map(|(key, value)| given(format!("{section}.{key}"), value)),
                );
            }
            value => all.push(given(section, value)),
        }
    }
    all
}

fn place(text: &str, byte: usize) -> String {
    let before = text.get(..byte).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |last| last.chars().count()) + 1;
    format!(" in line {line}, column {column}")
}
