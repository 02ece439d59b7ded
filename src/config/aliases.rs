//! Aliases of settings: the environment variables of the Python system, and those that Azure sets in a container. They stay
//! valid; the setting's own name wins. Each setting declares its aliases; this file converts values whose form has changed.

use super::required::Role;

/// Another environment variable that sets a setting.
#[derive(Debug)]
pub struct Alias {
    /// The variable.
    pub name: &'static str,
    /// Converts its value to the form of the setting. An empty result means "not set".
    pub convert: fn(&str) -> String,
}

/// Variables in which platforms such as App Service name the port to listen on. They are aliases of the port of the role that
/// runs, and of no other: a process that runs both roles, or none, ignores them. The last one wins.
const PORT_VARIABLES: [Alias; 2] = [
    Alias {
        name: "WEBSITES_PORT",
        convert: str::to_owned,
    },
    Alias {
        name: "PORT",
        convert: str::to_owned,
    },
];

/// The aliases that only one role has, and the setting that they set.
pub fn of_role(role: Role) -> Option<(&'static str, &'static [Alias])> {
    match role {
        Role::Any => None,
        Role::Api => Some(("api.port", &PORT_VARIABLES)),
        Role::Client => Some(("client.port", &PORT_VARIABLES)),
    }
}

/// Flask's `DEBUG`: a yes means the log level `debug`. Every other value is ignored, because other programs use the variable,
/// too.
pub fn debug(value: &str) -> String {
    let is_yes = matches!(value.to_ascii_lowercase().as_str(), "true" | "1" | "yes" | "on");
    if is_yes { "debug".to_owned() } else { String::new() }
}

/// The Python system accepted any word, and other programs use the variable, too. Only a word for development means
/// development; `staging` is production with other data.
pub fn environment(value: &str) -> String {
    let word = value.trim().trim_matches(['"', '\'']).to_ascii_lowercase();
    match word.as_str() {
        "" => "",
        "development" | "develop" | "dev" | "local" => "development",
        _ => "production",
    }
    .to_owned()
}

/// Python's names of the log levels.
pub fn log_level(value: &str) -> String {
    match value.trim().trim_matches(['"', '\'']).to_ascii_lowercase().as_str() {
        "warning" => "warn",
        "critical" | "fatal" => "error",
        "notset" => "trace",
        _ => value,
    }
    .to_owned()
}

/// SQLAlchemy's URLs can name a Python driver: `postgresql+psycopg2://`, `sqlite+aiosqlite:///`.
pub fn database_url(value: &str) -> String {
    let plain = value.split_once("://").and_then(|(scheme, rest)| {
        scheme
            .split_once('+')
            .map(|(database, _driver)| format!("{database}://{rest}"))
    });
    plain.unwrap_or_else(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_the_python_system_are_understood() {
        for (convert, value, expected) in [
            (debug as fn(&str) -> String, "true", "debug"),
            (debug, "False", ""),
            (debug, "express:*", ""),
            (log_level, "WARNING", "warn"),
            (environment, "Development", "development"),
            (environment, "dev", "development"),
            (environment, "staging", "production"),
            (environment, "prod", "production"),
            (environment, " ", ""),
            (log_level, "CRITICAL", "error"),
            (log_level, "INFO", "INFO"),
            (database_url, "sqlite:///./blog.db", "sqlite:///./blog.db"),
            (
                database_url,
                "postgresql+psycopg2://u:p+q@h/d",
                "postgresql://u:p+q@h/d",
            ),
            (database_url, "sqlite+aiosqlite:///./blog.db", "sqlite:///./blog.db"),
        ] {
            assert_eq!(convert(value), expected, "{value}");
        }
    }
}
