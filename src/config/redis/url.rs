//! An address of Redis, which may contain a password.

use std::fmt;

use figment::value::Value;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value as Json, json};
use url::Url;
use zeroize::Zeroizing;

use crate::{
    config::{
        redact::without_password,
        value::{self, SettingValue},
    },
    loopback::is_loopback,
};

/// Address of Redis. `Debug` and `Display` hide the password.
#[derive(Clone)]
pub struct RedisUrl(SecretString);

/// What all addresses of one Redis have in common.
#[derive(PartialEq, Eq)]
pub(super) struct SharedPart {
    scheme: String,
    user: String,
    password: Zeroizing<Option<String>>,
    database: String,
}

impl SharedPart {
    /// Whether no database or database 0 is named.
    pub(super) fn is_database_zero(&self) -> bool {
        self.database.bytes().all(|digit| digit == b'0')
    }
}

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

    /// What all addresses of one Redis have in common.
    pub(super) fn shared_part(&self) -> Option<SharedPart> {
        let url = Url::parse(self.expose()).ok()?;
        Some(SharedPart {
            scheme: url.scheme().to_owned(),
            user: url.username().to_owned(),
            password: Zeroizing::new(url.password().map(str::to_owned)),
            database: url.path().trim_matches('/').to_owned(),
        })
    }

    /// The host, without user, password and port.
    pub fn host(&self) -> String {
        Url::parse(self.expose())
            .ok()
            .and_then(|url| url.host_str().map(str::to_owned))
            .unwrap_or_default()
    }

    /// Whether the address contains a password.
    pub(super) fn has_password(&self) -> bool {
        Url::parse(self.expose()).is_ok_and(|url| url.password().is_some())
    }

    /// Whether the address names a user.
    pub(super) fn has_user(&self) -> bool {
        Url::parse(self.expose()).is_ok_and(|url| !url.username().is_empty())
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

/// In a variable: separated by commas.
impl SettingValue for Vec<RedisUrl> {
    const EXPECTED: &'static str =
        "addresses such as redis://HOST or rediss://HOST, as an array or separated by commas";

    fn read(value: &Value) -> Result<Self, String> {
        if let Some(items) = value.as_array() {
            return items.iter().map(RedisUrl::read).collect();
        }
        value::text(value)?
            .split(',')
            .map(str::trim)
            .filter(|address| !address.is_empty())
            .map(|address| RedisUrl::read(&Value::from(address)))
            .collect()
    }
    fn show(&self) -> Json {
        self.iter().map(SettingValue::show).collect()
    }
    fn quote(_: &Value) -> String {
        "contains something else, and is not shown because it may contain a password".to_owned()
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
