//! `[redis]`: what replicas of the web site share. Its URL may hold a password, which is never shown.

use std::{fmt, path::PathBuf, time::Duration};

use figment::value::Value;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value as Json, json};
use url::Url;

use super::{
    database::without_password,
    loader::Loader,
    value::{SettingValue, text},
};
use crate::loopback::is_loopback;

/// `[redis]`.
#[derive(Clone)]
pub struct RedisSettings {
    /// `redis.url`: `redis://HOST`, or `rediss://HOST` over TLS, with user, password, port and database number where
    /// needed. When not set, sessions are in the site's own memory.
    pub url: Option<RedisUrl>,
    /// `redis.ca_file`: PEM file of the certificates to trust in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// `redis.timeout_seconds`: longest time for connecting, and for an answer.
    pub timeout: Duration,
    /// `redis.key_prefix`: what the names of all keys begin with.
    pub key_prefix: String,
}

/// Where Redis is. Shown without its password.
#[derive(Clone)]
pub struct RedisUrl(SecretString);

impl RedisUrl {
    /// Of a test's own server.
    #[cfg(test)]
    pub fn of_test(address: &str) -> Self {
        Self(SecretString::from(address))
    }

    /// With the password.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// Whether it is reached over TLS, or on this very machine.
    pub fn is_private(&self) -> bool {
        Url::parse(self.expose()).is_ok_and(|url| url.scheme() == "rediss" || is_loopback(&url))
    }
}

impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&without_password(self.expose()))
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for RedisSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisSettings")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl SettingValue for RedisUrl {
    const EXPECTED: &'static str = "redis://HOST or rediss://HOST, such as rediss://:PASSWORD@cache.example.com:6380/0";

    fn read(value: &Value) -> Result<Self, String> {
        let address = text(value)?.trim();
        // What the parser says of it could repeat a part of the password.
        let url = Url::parse(address).map_err(|_| String::new())?;
        let is_database = url.path().trim_matches('/').bytes().all(|byte| byte.is_ascii_digit());
        let is_one = matches!(url.scheme(), "redis" | "rediss")
            && url.has_host()
            && is_database
            && url.query().is_none()
            && url.fragment().is_none();
        if is_one {
            Ok(Self(SecretString::from(address)))
        } else {
            Err(String::new())
        }
    }
    fn show(&self) -> Json {
        json!(self.to_string())
    }
    fn quote(value: &Value) -> String {
        value.as_str().map_or_else(
            || "is not text".to_owned(),
            |text| format!("is {:?}", without_password(text)),
        )
    }
}

impl RedisSettings {
    pub(super) fn read(loader: &mut Loader) -> Self {
        let default = Self::default();
        Self {
            url: loader.get("redis.url", default.url),
            ca_file: loader.get("redis.ca_file", default.ca_file),
            timeout: Duration::from_secs(loader.get_if(
                "redis.timeout_seconds",
                default.timeout.as_secs(),
                "a whole number of seconds from 1 to 30",
                |seconds| (1..=30).contains(seconds),
            )),
            key_prefix: loader.get_if(
                "redis.key_prefix",
                default.key_prefix,
                "1 to 64 letters, digits, hyphens, underscores, dots and colons",
                |prefix| {
                    (1..=64).contains(&prefix.len())
                        && prefix
                            .bytes()
                            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
                },
            ),
        }
    }
}

impl Default for RedisSettings {
    fn default() -> Self {
        Self {
            url: None,
            ca_file: None,
            timeout: Duration::from_secs(2),
            key_prefix: "blogctl".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<RedisUrl, String> {
        RedisUrl::read(&Value::from(text))
    }

    #[test]
    fn an_address_is_taken_and_its_password_never_shown() {
        for good in [
            "redis://localhost",
            "redis://127.0.0.1:6379/3",
            "rediss://user:hunter2@cache.example:6380",
        ] {
            let url = read(good).unwrap();
            assert_eq!(url.expose(), good);
            let shown = format!("{url} {url:?} {}", url.show());
            assert!(!shown.contains("hunter2"), "{shown}");
        }
        for bad in [
            "",
            "localhost",
            "http://localhost",
            "redis://",
            "redis://h/name",
            "redis://h?x=1",
            "rediss:h",
        ] {
            assert!(read(bad).is_err(), "{bad}");
        }
        let quoted = RedisUrl::quote(&Value::from("redis://:hunter2@h/name"));
        assert!(!quoted.contains("hunter2"), "{quoted}");
    }

    #[test]
    fn what_others_on_the_way_could_read_is_told_apart() {
        for (url, is_private) in [
            ("redis://localhost", true),
            ("redis://127.0.0.1:1", true),
            ("redis://[::1]", true),
            ("rediss://cache.example", true),
            ("redis://cache.example", false),
            ("redis://localhost.example", false),
        ] {
            assert_eq!(read(url).unwrap().is_private(), is_private, "{url}");
        }
    }
}
