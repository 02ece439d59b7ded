//! `[database]`: where the API stores posts. Its URL may contain a password, which is never shown.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use figment::value::Value;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::{
    aliases,
    database_address::DatabaseAddress,
    loader::Loader,
    password::{A_COMMAND, IdentitySettings, PasswordNames, PasswordOrigin, PasswordValues, password_command},
    rules::{number, only, seconds},
    secret_file::{read_password, secret_file},
    section::section,
    value::{SettingValue, choices, text},
};

/// Whether PostgreSQL prepares statements under a name, which a connection pooler may mix up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PreparedStatements {
    /// On a direct connection, but not through a connection pooler.
    #[default]
    Auto,
    /// Always; connecting through a pooler is an error.
    On,
    /// Never, not even on a direct connection.
    Off,
}

choices!(PreparedStatements => "auto, on or off");

/// The mode of a new file, such as `0600`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileMode(pub u32);

section! {
    /// Where the API stores posts.
    #[derive(Clone)]
    pub struct DatabaseSettings = "database" {
        /// The path of an SQLite file, `sqlite:///./blog.db`, or `postgres://user:password@host/name`. A password in it is
        /// secret.
        #[alias(DATABASE_URL via aliases::database_url)]
        pub url: String = "blog.db".to_owned(), database_url;

        /// File with the password for PostgreSQL, instead of a password in `database.url`. It is read for each new
        /// connection. A line break at the end of the file is ignored.
        pub password_file: Option<PathBuf> = None, secret_file;

        /// Program that prints the password for PostgreSQL, and its arguments, such as `["gcloud", "sql",
        /// "generate-login-token"]`; run for new connections, without a shell. A token is used until shortly before it
        /// expires, other output for a minute. `database.url` must verify the server. See
        /// [postgresql.md](postgresql.md#without-a-password).
        pub password_command: Vec<String> = Vec::new(), only(A_COMMAND, |command: &Vec<String>| password_command(command));

        /// Connect to Azure Database for PostgreSQL with a token of the identity in `[azure]` instead of a password.
        /// `database.url` must name the user and verify the server. See [postgresql.md](postgresql.md#without-a-password).
        pub azure: bool = false;

        /// Most connections to PostgreSQL for reads and writes. Searches and the readiness probe have their own connections.
        pub pool_size: u32 = 10, number(1..=1000);

        /// Whether PostgreSQL prepares statements under a name, which a connection pooler such as PgBouncer may mix up: `auto`
        /// (on a direct connection, not through a pooler), `on` (always; a pooler is an error) or `off`. See
        /// [postgresql.md](postgresql.md#connection-poolers).
        pub prepared_statements: PreparedStatements = PreparedStatements::Auto;

        /// Longest time that one request may wait for the database and use it; then 503.
        #[key(deadline_seconds)]
        pub deadline: Duration = Duration::from_secs(10), seconds(1..=300);

        /// PostgreSQL ends a statement that runs longer.
        #[key(statement_timeout_seconds)]
        pub statement_timeout: Duration = Duration::from_secs(8), seconds(1..=300);

        /// PostgreSQL ends a statement that waits longer for a lock.
        #[key(lock_timeout_seconds)]
        pub lock_timeout: Duration = Duration::from_secs(5), seconds(1..=300);

        /// Timeout of connecting to one address of PostgreSQL. At least 2, because libpq treats 1 as 2.
        #[key(connect_timeout_seconds)]
        pub connect_timeout: Duration = Duration::from_secs(5), seconds(2..=300);

        /// A connection is closed if PostgreSQL does not acknowledge sent data within this time.
        #[key(tcp_user_timeout_seconds)]
        pub tcp_user_timeout: Duration = Duration::from_secs(8), seconds(1..=300);

        /// How long a connection may be silent before the operating system probes whether PostgreSQL is still there.
        #[key(keepalives_idle_seconds)]
        pub keepalives_idle: Duration = Duration::from_secs(10), seconds(1..=7200);

        /// Time between two such probes.
        #[key(keepalives_interval_seconds)]
        pub keepalives_interval: Duration = Duration::from_secs(5), seconds(1..=300);

        /// Unanswered probes after which the connection is closed.
        pub keepalives_count: u32 = 3, number(1..=100);

        /// Most searches that run at the same time.
        pub search_connections: u32 = 2, number(1..=64);

        /// Most searches that wait; further ones get 503.
        pub search_queue: u32 = 16, number(0..=10_000);

        /// Longest time for one search, including the wait; then 503.
        #[key(search_deadline_seconds)]
        pub search_deadline: Duration = Duration::from_secs(5), seconds(1..=300);

        /// Mode of the SQLite files that blogctl creates, in octal.
        pub file_mode: FileMode = FileMode(0o600);

        /// Apply pending migrations when the API starts. Default: true on SQLite, false on PostgreSQL.
        pub migrate_at_start: Option<bool> = None;
    }
    also {
        /// The identity for `database.azure`.
        pub identity: Option<Arc<IdentitySettings>> = None;
    }
}

const PASSWORD_NAMES: PasswordNames = PasswordNames {
    url: "database.url",
    file: "database.password_file",
    command: "database.password_command",
    azure: "database.azure",
};

impl DatabaseSettings {
    /// Reads the section, and checks where the password comes from.
    pub(super) fn load(loader: &mut Loader) -> Self {
        let settings = Self::read(loader);
        // An invalid `database.url` has been reported.
        if let Ok(address) = DatabaseAddress::parse(&settings.url) {
            settings.check_password(loader, &address);
        }
        settings
    }

    /// Where the password of PostgreSQL comes from.
    pub fn password_origin(&self) -> PasswordOrigin {
        self.password_values(false).origin(self.identity.as_ref())
    }

    fn password_values(&self, is_in_url: bool) -> PasswordValues<'_> {
        PasswordValues {
            is_in_url,
            file: self.password_file.as_deref(),
            command: &self.password_command,
            azure: self.azure,
        }
    }

    fn check_password(&self, loader: &mut Loader, address: &DatabaseAddress) {
        let PasswordNames {
            url,
            file,
            command,
            azure,
        } = PASSWORD_NAMES;
        if let Some(path) = &self.password_file {
            // Reports a file that cannot be used at the start, and not at the first connection.
            read_password(loader, file, path);
        }
        let DatabaseAddress::Postgres {
            has_password,
            has_user,
            is_verified,
            ..
        } = address
        else {
            let set = [
                (file, self.password_file.is_some()),
                (command, !self.password_command.is_empty()),
                (azure, self.azure),
            ];
            for (name, _) in set.into_iter().filter(|(_, is_set)| *is_set) {
                loader.reject(
                    name,
                    "is set, but database.url names an SQLite file, which has no password",
                    "remove it, or set database.url to postgres://USER@HOST/DATABASE",
                );
            }
            return;
        };
        self.password_values(*has_password)
            .reject_second(loader, PASSWORD_NAMES);
        let fetched = [(command, !self.password_command.is_empty()), (azure, self.azure)];
        for (name, _) in fetched.into_iter().filter(|(_, is_set)| *is_set) {
            if !is_verified {
                loader.reject(
                    name,
                    "is set, but database.url does not verify the server: another server could receive the token",
                    "add ?sslmode=verify-full&sslrootcert=system to database.url, or sslrootcert=FILE for a private authority",
                );
            }
            if !has_user {
                let problem = format!("is set, but {url} names no user");
                loader.reject(
                    name,
                    &problem,
                    "set database.url to postgres://USER@HOST/DATABASE, with @ as %40",
                );
            }
        }
    }
}

fn database_url(loader: &mut Loader, name: &'static str, default: String) -> String {
    loader.get(name, DatabaseUrl(default)).0
}

impl fmt::Debug for DatabaseSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseSettings")
            .field("url", &DatabaseAddress::redact(&self.url))
            .field("pool_size", &self.pool_size)
            .field("prepared_statements", &self.prepared_statements)
            .field("deadline", &self.deadline)
            .field("migrate_at_start", &self.migrate_at_start)
            .finish_non_exhaustive()
    }
}

/// The type by which the rule of `database.url` reads it.
#[derive(Clone)]
struct DatabaseUrl(String);

impl SettingValue for DatabaseUrl {
    const EXPECTED: &'static str = "the path of an SQLite file, sqlite:///FILE, or postgres://USER@HOST/DATABASE";

    fn read(value: &Value) -> Result<Self, String> {
        let address = text(value)?;
        DatabaseAddress::parse(address).map(|_| Self(address.to_owned()))
    }
    fn show(&self) -> Json {
        json!(DatabaseAddress::redact(&self.0))
    }
    fn quote(value: &Value) -> String {
        value.as_str().map_or_else(
            || "is not text".to_owned(),
            |text| format!("is {:?}", DatabaseAddress::redact(text)),
        )
    }
}

/// Octal, with or without leading zeros. The owner must be able to read and write; execute bits are rejected.
impl SettingValue for FileMode {
    const EXPECTED: &'static str = "the mode of a file in octal, such as 0600, 0640 or 0660";

    fn read(value: &Value) -> Result<Self, String> {
        // In a file, 0600 without quotes is not TOML, and 600 is a number: its decimal digits are the octal mode.
        let digits = match value.as_str() {
            Some(text) => text.trim().trim_start_matches("0o").to_owned(),
            None => value.to_i128().ok_or_else(String::new)?.to_string(),
        };
        let mode = u32::from_str_radix(&digits, 8).map_err(|_| String::new())?;
        let is_sane = mode & 0o600 == 0o600 && mode & !0o666 == 0 && !digits.starts_with('+');
        if is_sane { Ok(Self(mode)) } else { Err(String::new()) }
    }
    fn show(&self) -> Json {
        json!(format!("{:04o}", self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::{super::redact::HIDDEN, *};

    #[test]
    fn a_password_in_the_address_is_never_shown() {
        for address in [
            "postgres://blog:hunter2@db.example/blog",
            "postgresql://blog:hunter2@db.example:5433/blog?sslmode=require",
            "postgresql+psycopg2://blog:hunter2@db.example/blog",
            "postgres://blog:1/hunter2@db.example/blog",
            "postgres://blog:1?hunter2@db.example/blog",
            "postgres://blog:1#hunter2@db.example/blog",
            "postgres:blog:hunter2@db.example",
            "postgres://db.example/blog?user=blog&password=hunter2",
            "postgres://blog:hunter2@[not a host/blog",
            "mysql://blog:hunter2@db.example/blog",
            "postgres//hunter2",
            "sqlite:///blog.db?password=hunter2",
        ] {
            let settings = DatabaseSettings {
                url: address.to_owned(),
                ..DatabaseSettings::default()
            };
            let quoted = DatabaseUrl::quote(&Value::from(address));
            for shown in [DatabaseAddress::redact(address), format!("{settings:?}"), quoted] {
                assert!(!shown.contains("hunter2"), "{shown}");
                assert!(shown.contains(HIDDEN), "{shown}");
            }
        }
    }

    #[test]
    fn the_mode_of_a_file_is_octal_and_sane() {
        for (text, mode) in [("0600", 0o600), ("600", 0o600), ("0o640", 0o640), (" 0666 ", 0o666)] {
            assert_eq!(FileMode::read(&Value::from(text)), Ok(FileMode(mode)), "{text}");
        }
        assert_eq!(FileMode::read(&Value::from(640)), Ok(FileMode(0o640)));
        for bad in ["", "0400", "0700", "0601", "8", "rw-------", "-600", "+600", "01600"] {
            assert!(FileMode::read(&Value::from(bad)).is_err(), "{bad}");
        }
        assert_eq!(FileMode(0o600).show(), json!("0600"));
    }

    #[test]
    fn an_address_without_a_password_is_shown_as_it_is() {
        for address in ["blog.db", "sqlite:///./blog.db", "postgres://blog@db.example/blog"] {
            assert_eq!(DatabaseAddress::redact(address), address);
        }
    }
}
