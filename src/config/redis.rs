//! `[redis]`: what replicas of the web site share. Its addresses may contain a password, which is never shown.

mod url;

use std::{fmt, path::PathBuf, time::Duration};

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

pub use self::url::RedisUrl;
use super::{
    loader::Loader,
    rules::{optional, seconds, text},
    secret_file::{read_password, secret_file, warn_of_path},
    section::section,
    value::choices,
};

/// How the servers of Redis work together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RedisMode {
    /// One address: one server, or a service that hides its servers.
    #[default]
    Single,
    /// Sentinels know which server is the primary.
    Sentinel,
    /// Redis Cluster: each node has a part of the keys.
    Cluster,
}

choices!(RedisMode => "single, sentinel or cluster");

section! {
    /// What replicas of the web site share: sessions and tokens, encrypted. See [redis.md](redis.md).
    #[derive(Clone)]
    pub struct RedisSettings = "redis" {
        /// `redis://HOST`, or `rediss://HOST` over TLS, with user, password, port and database number if needed. If neither it
        /// nor `redis.urls` is set, sessions are in the memory of the site. A password in it is secret.
        pub url: Option<RedisUrl> = None;

        /// Several addresses instead of `redis.url`: nodes of a cluster, or Sentinels. Any of them is enough to find the others.
        /// User, password, database number and scheme are those of Redis, and the same in each. A password in them is secret.
        pub urls: Vec<RedisUrl> = Vec::new();

        /// `single` for one address, `sentinel` if the addresses are those of Sentinels, which know the primary, or `cluster`
        /// for Redis Cluster.
        pub mode: RedisMode = RedisMode::Single;

        /// Name that the Sentinels have for the primary, such as `mymaster`.
        pub sentinel_master: Option<String> = None, optional(
            "1 to 64 letters, digits, hyphens, underscores and dots",
            |name: &str| is_name(name, b"-_."),
        );

        /// User at the Sentinels, if they require one.
        pub sentinel_user: Option<String> = None;

        /// Password of the Sentinels, if they require one. Secret.
        pub sentinel_password: Option<SecretString> = None;

        /// File with the password of the Sentinels, instead of `redis.sentinel_password`.
        pub sentinel_password_file: Option<PathBuf> = None, secret_file;

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
            |prefix| is_name(prefix, b"-_.:"),
        );
    }
}

impl RedisSettings {
    /// The addresses: those of `redis.urls`, else `redis.url`. Empty if sessions are in memory.
    pub fn addresses(&self) -> &[RedisUrl] {
        if self.urls.is_empty() {
            self.url.as_slice()
        } else {
            &self.urls
        }
    }

    /// Reads the section, checks the settings that depend on each other, and puts the password of the file into the
    /// addresses.
    pub(super) fn load(loader: &mut Loader) -> Self {
        let mut settings = Self::read(loader);
        settings.check_addresses(loader);
        settings.load_sentinel(loader);
        settings.load_password(loader);
        settings
    }

    fn check_addresses(&self, loader: &mut Loader) {
        if self.url.is_some() && !self.urls.is_empty() {
            loader.reject_both("redis.url", "redis.urls");
            return;
        }
        let Some(first) = self.addresses().first() else {
            if self.mode != RedisMode::Single {
                loader.reject(
                    "redis.mode",
                    "is set, but redis.urls is not",
                    "set redis.urls, or remove this setting",
                );
            }
            return;
        };
        if self.urls.iter().any(|url| url.shared_part() != first.shared_part()) {
            loader.reject(
                "redis.urls",
                "has addresses with different schemes, users, passwords or database numbers",
                "write all addresses with the same ones: they are those of Redis, not of one server",
            );
        }
        match self.mode {
            RedisMode::Single if self.urls.len() > 1 => loader.reject(
                "redis.urls",
                "has several addresses, but redis.mode is single",
                "set redis.mode to cluster or sentinel, or set redis.url to the one address to use",
            ),
            RedisMode::Cluster if first.shared_part().is_some_and(|part| !part.is_database_zero()) => loader.reject(
                "redis.mode",
                "is cluster, but the addresses have a database number",
                "remove the number: a cluster has only database 0. redis.key_prefix separates applications",
            ),
            RedisMode::Single | RedisMode::Cluster | RedisMode::Sentinel => {}
        }
    }

    fn load_sentinel(&mut self, loader: &mut Loader) {
        const PASSWORD: &str = "redis.sentinel_password";
        const FILE: &str = "redis.sentinel_password_file";
        if self.mode == RedisMode::Sentinel && self.sentinel_master.is_none() {
            loader.require(
                "redis.sentinel_master",
                &[],
                "the name that the Sentinels have for the primary",
            );
        }
        for (setting, is_set) in [
            ("redis.sentinel_master", self.sentinel_master.is_some()),
            ("redis.sentinel_user", self.sentinel_user.is_some()),
            (PASSWORD, self.sentinel_password.is_some()),
            (FILE, self.sentinel_password_file.is_some()),
        ] {
            if is_set && self.mode != RedisMode::Sentinel {
                loader.reject(
                    setting,
                    "is set, but redis.mode is not sentinel",
                    "set redis.mode to sentinel, or remove this setting",
                );
            }
        }
        warn_of_path(loader, PASSWORD, FILE, self.sentinel_password.as_ref());
        let Some(path) = &self.sentinel_password_file else {
            return;
        };
        if self.sentinel_password.is_some() {
            loader.reject_both(PASSWORD, FILE);
        } else if let Some(password) = read_password(loader, FILE, path) {
            self.sentinel_password = Some(SecretString::from(password.as_str()));
        }
    }

    fn load_password(&mut self, loader: &mut Loader) {
        const FILE: &str = "redis.password_file";
        let Some(path) = &self.password_file else { return };
        if self.addresses().is_empty() {
            loader.reject(
                FILE,
                "is set, but redis.url is not",
                "set redis.url, or remove this setting",
            );
            return;
        }
        let Some(password) = read_password(loader, FILE, path) else {
            return;
        };
        for url in self.url.iter_mut().chain(&mut self.urls) {
            match url.with_password(&password) {
                Some(with_password) => *url = with_password,
                None => {
                    loader.reject(
                        FILE,
                        "is set, but redis.url contains a password, too",
                        "remove the password from redis.url, or this setting",
                    );
                    return;
                }
            }
        }
    }
}

fn is_name(name: &str, punctuation: &[u8]) -> bool {
    (1..=64).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || punctuation.contains(&byte))
}

impl fmt::Debug for RedisSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisSettings")
            .field("mode", &self.mode)
            .field("addresses", &self.addresses())
            .finish_non_exhaustive()
    }
}
