//! Names by which others know a setting: the Python system's, and those that Azure sets in a container. They stay valid; the
//! setting's own name wins.

/// An environment variable of the Python system, or of Azure.
pub struct OlderName {
    /// The variable.
    pub name: &'static str,
    /// The setting that it is now.
    pub setting: &'static str,
    /// Its value in today's form; empty when it says nothing.
    pub convert: fn(&str) -> String,
}

/// All of them. Where two mean the same setting, the later wins.
pub const OLDER_NAMES: &[OlderName] = &[
    older("TENANT_ID", "entra.tenant_id"),
    older("JWKS_URI", "entra.jwks_uri"),
    older("CLIENT_ID", "client.client_id"),
    older("CLIENT_CERT_PATH", "client.cert_path"),
    older("CLIENT_CERT_THUMBPRINT", "client.cert_thumbprint"),
    older("REDIRECT_URI", "client.redirect_uri"),
    older("API_SCOPE", "client.api_scope"),
    older("API_BASE_URL", "client.api_base_url"),
    older("FLASK_SECRET_KEY", "client.cookie_key"),
    older("FLASK_PORT", "client.port"),
    older("AZURE_CLIENT_ID", "azure.client_id"),
    older("AZURE_TENANT_ID", "azure.tenant_id"),
    older("AZURE_AUTHORITY_HOST", "azure.authority_host"),
    older("AZURE_FEDERATED_TOKEN_FILE", "azure.federated_token_file"),
    older("IDENTITY_ENDPOINT", "azure.identity_endpoint"),
    older("IDENTITY_HEADER", "azure.identity_header"),
    older("AZURE_POD_IDENTITY_AUTHORITY_HOST", "azure.imds_url"),
    older("API_APP_ID_URI", "api.app_id_uri"),
    older("REQUIRED_SCOPE", "api.required_scope"),
    older("CORS_ORIGINS", "api.cors_origins"),
    OlderName {
        name: "DATABASE_URL",
        setting: "database.url",
        convert: database_url,
    },
    OlderName {
        name: "ENVIRONMENT",
        setting: "server.environment",
        convert: environment,
    },
    OlderName {
        name: "DEBUG",
        setting: "log.level",
        convert: debug,
    },
    OlderName {
        name: "LOG_LEVEL",
        setting: "log.level",
        convert: log_level,
    },
];

/// The older name of a setting, for messages and documentation.
pub fn older_name_of(setting: &str) -> Option<&'static str> {
    OLDER_NAMES
        .iter()
        .rev()
        .find(|older| older.setting == setting)
        .map(|older| older.name)
}

const fn older(name: &'static str, setting: &'static str) -> OlderName {
    OlderName {
        name,
        setting,
        convert: str::to_owned,
    }
}

/// Flask's: only a yes says something. Other programs put other things into `DEBUG`, so nothing else is a mistake.
fn debug(value: &str) -> String {
    let is_yes = matches!(value.to_ascii_lowercase().as_str(), "true" | "1" | "yes" | "on");
    if is_yes { "debug".to_owned() } else { String::new() }
}

/// Any word was valid in the Python system, and other programs use the variable too: only a word for development means less
/// than production. `staging` is production with other data.
fn environment(value: &str) -> String {
    let word = value.trim().trim_matches(['"', '\'']).to_ascii_lowercase();
    match word.as_str() {
        "" => "",
        "development" | "develop" | "dev" | "local" => "development",
        _ => "production",
    }
    .to_owned()
}

/// Python's names of the levels.
fn log_level(value: &str) -> String {
    match value.trim().trim_matches(['"', '\'']).to_ascii_lowercase().as_str() {
        "warning" => "warn",
        "critical" | "fatal" => "error",
        "notset" => "trace",
        _ => value,
    }
    .to_owned()
}

/// SQLAlchemy's URLs may name a Python driver: `postgresql+psycopg2://`, `sqlite+aiosqlite:///`.
fn database_url(value: &str) -> String {
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
        for (name, value, expected) in [
            ("DEBUG", "true", "debug"),
            ("DEBUG", "False", ""),
            ("DEBUG", "express:*", ""),
            ("LOG_LEVEL", "WARNING", "warn"),
            ("ENVIRONMENT", "Development", "development"),
            ("ENVIRONMENT", "dev", "development"),
            ("ENVIRONMENT", "staging", "production"),
            ("ENVIRONMENT", "prod", "production"),
            ("ENVIRONMENT", " ", ""),
            ("LOG_LEVEL", "CRITICAL", "error"),
            ("LOG_LEVEL", "INFO", "INFO"),
            ("DATABASE_URL", "sqlite:///./blog.db", "sqlite:///./blog.db"),
            (
                "DATABASE_URL",
                "postgresql+psycopg2://u:p+q@h/d",
                "postgresql://u:p+q@h/d",
            ),
            ("DATABASE_URL", "sqlite+aiosqlite:///./blog.db", "sqlite:///./blog.db"),
        ] {
            let older = OLDER_NAMES
                .iter()
                .find(|older| older.name == name)
                .expect("a known name");
            assert_eq!((older.convert)(value), expected, "{name}={value}");
        }
    }
}
