//! `[database]`: where the API keeps posts. Its URL may hold a password, which is never shown.

use std::{fmt, time::Duration};

use figment::value::Value;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use url::Url;

use super::{
    DatabaseAddress,
    loader::Loader,
    redact::{HIDDEN, masked},
    value::{SettingValue, choices, text},
};

/// Whether statements on PostgreSQL are prepared under a name, which a connection pooler may mix up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PreparedStatements {
    /// On a direct connection; not behind a connection pooler.
    #[default]
    Auto,
    /// Always; connecting through a pooler is an error.
    On,
    /// Never.
    Off,
}

choices!(PreparedStatements => "auto, on or off");

/// The mode of a file that is created, such as `0600`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileMode(pub u32);

/// `[database]`.
#[derive(Clone)]
pub struct DatabaseSettings {
    /// `database.url`, older name `DATABASE_URL`: a path, `sqlite:///./blog.db`, or `postgres://…`.
    pub url: String,
    /// `database.pool_size`: most connections to PostgreSQL for reads and writes, 1–1000. Searches and the readiness
    /// probe have connections of their own.
    pub pool_size: u32,
    /// `database.prepared_statements`: whether PostgreSQL prepares statements under a name.
    pub prepared_statements: PreparedStatements,
    /// `database.deadline_seconds`: longest time in which one request may wait for and use the database.
    pub deadline: Duration,
    /// `database.statement_timeout_seconds`: PostgreSQL ends a statement after this time.
    pub statement_timeout: Duration,
    /// `database.lock_timeout_seconds`: PostgreSQL ends a statement that waits this long for a lock.
    pub lock_timeout: Duration,
    /// `database.connect_timeout_seconds`: longest time for connecting to one address of PostgreSQL.
    pub connect_timeout: Duration,
    /// `database.tcp_user_timeout_seconds`: a connection whose data PostgreSQL does not acknowledge for so long is closed.
    pub tcp_user_timeout: Duration,
    /// `database.keepalives_idle_seconds`: silence after which the system probes whether PostgreSQL is still there.
    pub keepalives_idle: Duration,
    /// `database.keepalives_interval_seconds`: time between two such probes.
    pub keepalives_interval: Duration,
    /// `database.keepalives_count`: unanswered probes after which the connection is closed.
    pub keepalives_count: u32,
    /// `database.search_connections`: most searches that run at the same time.
    pub search_connections: u32,
    /// `database.search_queue`: most searches that wait for their turn; more are rejected.
    pub search_queue: u32,
    /// `database.search_deadline_seconds`: longest time for one search, waiting included.
    pub search_deadline: Duration,
    /// `database.file_mode`: the mode of SQLite files that are created, in octal.
    pub file_mode: FileMode,
    /// `database.migrate_at_start`: apply pending migrations when the API starts. When not set: yes on SQLite, no on
    /// PostgreSQL.
    pub migrate_at_start: Option<bool>,
}

impl DatabaseSettings {
    pub(super) fn read(loader: &mut Loader) -> Self {
        let default = Self::default();
        Self {
            url: loader.get("database.url", DatabaseUrl(default.url)).0,
            pool_size: number(loader, "database.pool_size", default.pool_size, 1, 1000),
            prepared_statements: loader.get("database.prepared_statements", default.prepared_statements),
            deadline: seconds(loader, "database.deadline_seconds", default.deadline, 1, 300),
            statement_timeout: seconds(
                loader,
                "database.statement_timeout_seconds",
                default.statement_timeout,
                1,
                300,
            ),
            lock_timeout: seconds(loader, "database.lock_timeout_seconds", default.lock_timeout, 1, 300),
            // libpq takes 1 for 2.
            connect_timeout: seconds(
                loader,
                "database.connect_timeout_seconds",
                default.connect_timeout,
                2,
                300,
            ),
            tcp_user_timeout: seconds(
                loader,
                "database.tcp_user_timeout_seconds",
                default.tcp_user_timeout,
                1,
                300,
            ),
            keepalives_idle: seconds(
                loader,
                "database.keepalives_idle_seconds",
                default.keepalives_idle,
                1,
                7200,
            ),
            keepalives_interval: seconds(
                loader,
                "database.keepalives_interval_seconds",
                default.keepalives_interval,
                1,
                300,
            ),
            keepalives_count: number(loader, "database.keepalives_count", default.keepalives_count, 1, 100),
            search_connections: number(loader, "database.search_connections", default.search_connections, 1, 64),
            search_queue: number(loader, "database.search_queue", default.search_queue, 0, 10_000),
            search_deadline: seconds(
                loader,
                "database.search_deadline_seconds",
                default.search_deadline,
                1,
                300,
            ),
            file_mode: loader.get("database.file_mode", default.file_mode),
            migrate_at_start: loader.get("database.migrate_at_start", default.migrate_at_start),
        }
    }
}

fn number(loader: &mut Loader, name: &'static str, default: u32, least: u32, most: u32) -> u32 {
    let expected = format!("a whole number from {least} to {most}");
    loader.get_if(name, default, &expected, |number| (least..=most).contains(number))
}

fn seconds(loader: &mut Loader, name: &'static str, default: Duration, least: u64, most: u64) -> Duration {
    let expected = format!("a whole number of seconds from {least} to {most}");
    Duration::from_secs(loader.get_if(name, default.as_secs(), &expected, |seconds| {
        (least..=most).contains(seconds)
    }))
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

/// A database's address, on its way from the sources to [`DatabaseSettings`].
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

/// Octal, with or without zeros in front. The owner must be able to read and write; nobody can execute.
impl SettingValue for FileMode {
    const EXPECTED: &'static str = "the mode of a file in octal, such as 0600, 0640 or 0660";

    fn read(value: &Value) -> Result<Self, String> {
        // In a file, 0600 without quotes is no TOML, and 600 a number whose digits are meant.
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

/// The address of a Redis with any password hidden.
pub fn without_password(address: &str) -> String {
    let is_file = !address.contains("://") && !address.starts_with("postgres");
    if is_file {
        return address.to_owned();
    }
    if address.starts_with("sqlite") {
        return masked(address);
    }
    let all_hidden = || match address.split_once(':') {
        Some((scheme, _)) => format!("{scheme}://{HIDDEN}"),
        None => HIDDEN.to_owned(),
    };
    let Ok(mut url) = Url::parse(address) else {
        return all_hidden();
    };
    // libpq takes passwords in the query too, and an unencoded / ? # in one moves the rest of it behind the host.
    if url.cannot_be_a_base() || url.query().is_some() || url.fragment().is_some() || url.path().contains('@') {
        return all_hidden();
    }
    if url.password().is_some() && url.set_password(Some(HIDDEN)).is_err() {
        return all_hidden();
    }
    url.to_string()
}

impl Default for DatabaseSettings {
    fn default() -> Self {
        Self {
            url: "blog.db".to_owned(),
            pool_size: 10,
            prepared_statements: PreparedStatements::Auto,
            deadline: Duration::from_secs(10),
            statement_timeout: Duration::from_secs(8),
            lock_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(5),
            tcp_user_timeout: Duration::from_secs(8),
            keepalives_idle: Duration::from_secs(10),
            keepalives_interval: Duration::from_secs(5),
            keepalives_count: 3,
            search_connections: 2,
            search_queue: 16,
            search_deadline: Duration::from_secs(5),
            file_mode: FileMode(0o600),
            migrate_at_start: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
