//! `[redis]`: what replicas of the web site share. Its URL may contain a password, which is never shown.

use std::{fmt, path::PathBuf, time::Duration};

use figment::value::Value;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value as Json, json};
use url::Url;

use super::{
    loader::Loader,
    redact::without_password,
    rules::{seconds, text},
    secret_file::{read_password, secret_file},
    section::section,
    value::{self, SettingValue},
};
use crate::loopback::is_loopback;

section! {
    /// What replicas of the web site share: sessions and tokens, encrypted. See [replicas.md](replicas.md).
    #[derive(Clone)]
    pub struct RedisSettings = "redis" {
        /// `redis://HOST`, or `rediss://HOST` over TLS, with user, password, port and database number if needed. If it is not
        /// set, sessions are in the memory of the site. A password in it is secret.
        pub url: Option<RedisUrl> = None;

        /// File with the password, instead of a password in `redis.url`. A line break at the end of the file is ignored.
        pub password_file: Option<PathBuf> = None, secret_file;

        /// PEM file with the certificates to trust instead of the system's.
        pub ca_file: Option<PathBuf> = None;

        /// Timeout of connecting, and of one response.
        #[key(timeout_seconds)]
        pub timeout: Duration = Duration::from_secs(2), seconds(1..=30);

        /// Prefix of the names of all keys.
        pub key_prefix: String = "blogctl".to_owned(), text(
            "1 to 64 letters, digits, hyphens, underscores, dots and colons",
            key_prefix,
        );
    }
}

impl RedisSettings {
    /// Reads the section, and puts the password of the file into the URL.
    pub(super) fn load(loader: &mut Loader) -> Self {
        const FILE: &str = "redis.password_file";
        let mut settings = Self::read(loader);
        let Some(path) = &settings.password_file else {
            return settings;
        };
        let Some(url) = &settings.url else {
            loader.reject(
                FILE,
                "is set, but redis.url is not",
                "set redis.url, or remove this setting",
            );
            return settings;
        };
        let Some(password) = read_password(loader, FILE, path) else {
            return settings;
        };
        match url.with_password(&password) {
            Some(url) => settings.url = Some(url),
            None => loader.reject(
                FILE,
                "is set, but redis.url contains a password, too",
                "remove the password from redis.url, or this setting",
            ),
        }
        settings
    }
}

fn key_prefix(prefix: &str) -> bool {
    (1..=64).contains(&prefix.len())
        && prefix
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte))
}

/// Address of Redis. `Debug` and `Display` hide the password.
#[derive(Clone)]
pub struct RedisUrl(SecretString);

impl RedisUrl {
    /// The address of a test's server.
    #[cfg(test)]
    pub fn of_test(address: &str) -> Self {
        Self(SecretString::from(address))
    }

    /// The address with the password.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// The host, without user, password and port.
    pub fn host(&self) -> String {
        Url::parse(self.expose())
            .ok()
            .and_then(|url| url.host_str().map(str::to_owned))
            .unwrap_or_default()
    }

    /// The address with a password; `None` if it has one already.
    fn with_password(&self, password: &str) -> Option<Self> {
        let mut url = Url::parse(self.expose()).ok().filter(|url| url.password().is_none())?;
        // `set_password` leaves a percent sign as it is.
        let encoded = utf8_percent_encode(password, NON_ALPHANUMERIC).to_string();
        url.set_password(Some(&encoded)).ok()?;
        Some(Self(SecretString::from(String::from(url))))
    }

    /// Whether the connection uses TLS or stays on this machine.
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

    fn read(given: &Value) -> Result<Self, String> {
        let address = value::text(given)?.trim();
        // The parser's error could repeat a part of the password.
        let url = Url::parse(address).map_err(|_| String::new())?;
        let is_database = url.path().trim_matches('/').bytes().all(|byte| byte.is_ascii_digit());
        let is_valid = matches!(url.scheme(), "redis" | "rediss")
            && url.has_host()
            && is_database
            && url.query().is_none()
            && url.fragment().is_none();
        if is_valid {
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
    fn a_password_is_added_in_encoded_form() {
        for (url, password, expected) in [
            (
                "redis://cache:6379/3",
                "p/w@:#%41 x",
                "redis://:p%2Fw%40%3A%23%2541%20x@cache:6379/3",
            ),
            ("rediss://app@cache", "p", "rediss://app:p@cache"),
        ] {
            assert_eq!(read(url).unwrap().with_password(password).unwrap().expose(), expected);
        }
        assert!(read("redis://:a@cache").unwrap().with_password("b").is_none());
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
