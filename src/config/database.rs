//! `[database]`: where the API keeps posts. Its URL may hold a password, which is never shown.

use std::fmt;

use figment::value::Value;
use serde_json::{Value as Json, json};
use url::Url;

use super::{
    loader::Loader,
    masked::masked,
    value::{HIDDEN, SettingValue, text},
};

/// `[database]`.
#[derive(Clone)]
pub struct DatabaseSettings {
    /// `database.url`, older name `DATABASE_URL`: a path, `sqlite:///./blog.db`, or `postgres://…`.
    pub url: String,
    /// `database.pool_size`: most connections to PostgreSQL.
    pub pool_size: u32,
    /// `database.migrate_at_start`: apply pending migrations when the API starts. When not set: yes on SQLite, no on
    /// PostgreSQL.
    pub migrate_at_start: Option<bool>,
}

impl DatabaseSettings {
    pub(super) fn read(loader: &mut Loader) -> Self {
        let default = Self::default();
        Self {
            url: loader.get("database.url", DatabaseUrl(default.url)).0,
            pool_size: loader.get_if(
                "database.pool_size",
                default.pool_size,
                "a whole number from 1 to 1000",
                |size| (1..=1000).contains(size),
            ),
            migrate_at_start: loader.get("database.migrate_at_start", default.migrate_at_start),
        }
    }
}

impl fmt::Debug for DatabaseSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseSettings")
            .field("url", &without_password(&self.url))
            .field("pool_size", &self.pool_size)
            .field("migrate_at_start", &self.migrate_at_start)
            .finish()
    }
}

/// A database's address, on its way from the sources to [`DatabaseSettings`].
#[derive(Clone)]
struct DatabaseUrl(String);

impl SettingValue for DatabaseUrl {
    const EXPECTED: &'static str = "the path of an SQLite file, sqlite:///FILE, or postgres://USER@HOST/DATABASE";

    fn read(value: &Value) -> Result<Self, String> {
        let address = text(value)?;
        let known = match address.split_once("://") {
            Some((scheme, rest)) => {
                let database = scheme.split_once('+').map_or(scheme, |(database, _driver)| database);
                matches!(database, "sqlite" | "postgres" | "postgresql") && !rest.is_empty()
            }
            None => !address.trim().is_empty(),
        };
        if known { Ok(Self(address.to_owned())) } else { Err(String::new()) }
    }
    fn show(&self) -> Json {
        json!(without_password(&self.0))
    }
    fn quote(value: &Value) -> String {
        value.as_str().map_or_else(|| "is not text".to_owned(), |text| format!("is {:?}", without_password(text)))
    }
}

/// The address with any password hidden.
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
    let Ok(mut url) = Url::parse(address) else { return all_hidden() };
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
        Self { url: "blog.db".to_owned(), pool_size: 10, migrate_at_start: None }
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
            let settings = DatabaseSettings { url: address.to_owned(), ..DatabaseSettings::default() };
            let quoted = DatabaseUrl::quote(&Value::from(address));
            for shown in [without_password(address), format!("{settings:?}"), quoted] {
                assert!(!shown.contains("hunter2"), "{shown}");
                assert!(shown.contains(HIDDEN), "{shown}");
            }
        }
    }

    #[test]
    fn an_address_without_a_password_is_shown_as_it_is() {
        for address in ["blog.db", "sqlite:///./blog.db", "postgres://blog@db.example/blog"] {
            assert_eq!(without_password(address), address);
        }
    }
}
