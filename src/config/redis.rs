//! `[redis]`: what replicas of the web site share. Its addresses may contain a password, which is never shown.

mod url;

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use secrecy::SecretString;
use serde::{Deserialize, Serialize};

pub use self::url::RedisUrl;
use super::{
    loader::Loader,
    password::{A_COMMAND, IdentitySettings, PasswordNames, PasswordOrigin, PasswordValues, password_command},
    rules::{only, optional, seconds, text},
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

        /// File with the password, instead of a password in the addresses. It is read for each new connection. A line break at
        /// the end of the file is ignored.
        pub password_file: Option<PathBuf> = None, secret_file;

        /// Program that prints the password, and its arguments, as a list; it runs without a shell. Requires `rediss://`. See
        /// [redis.md](redis.md#without-a-password).
        pub password_command: Vec<String> = Vec::new(), only(A_COMMAND, |command: &Vec<String>| password_command(command));

        /// Connect to Azure Managed Redis with a token of the identity in `[azure]` instead of a password. The addresses must
        /// name the user, which is the object ID of the identity, and start with `rediss://`. See
        /// [redis.md](redis.md#without-a-password).
        pub azure: bool = false;

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
    also {
        /// The identity and its tenant, if `azure` is set.
        pub identity: Option<Arc<IdentitySettings>> = None;
    }
}

const PASSWORD_NAMES: PasswordNames = PasswordNames {
    url: "redis.url",
    file: "redis.password_file",
    command: "redis.password_command",
    azure: "redis.azure",
};

impl RedisSettings {
    /// The addresses: those of `redis.urls`, else `redis.url`. Empty if sessions are in memory.
    pub fn addresses(&self) -> &[RedisUrl] {
        if self.urls.is_empty() {
            self.url.as_slice()
        } else {
            &self.urls
        }
    }

    /// Reads the section, and checks the settings that depend on each other.
    pub(super) fn load(loader: &mut Loader) -> Self {
        let mut settings = Self::read(loader);
        settings.check_addresses(loader);
        settings.load_sentinel(loader);
        settings.check_password(loader);
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

    /// Where the password comes from.
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

    fn check_password(&self, loader: &mut Loader) {
        let PasswordNames {
            file, command, azure, ..
        } = PASSWORD_NAMES;
        if let Some(path) = &self.password_file {
            // Reports a file that cannot be used at the start, and not at the first connection.
            read_password(loader, file, path);
        }
        let fetched = [(command, !self.password_command.is_empty()), (azure, self.azure)];
        let mut set = fetched.into_iter().chain([(file, self.password_file.is_some())]);
        if self.addresses().is_empty() {
            if let Some((name, _)) = set.find(|(_, is_set)| *is_set) {
                loader.reject(
                    name,
                    "is set, but redis.url is not",
                    "set redis.url, or remove this setting",
                );
            }
            return;
        }
        let has_password = self.addresses().iter().any(RedisUrl::has_password);
        self.password_values(has_password).reject_second(loader, PASSWORD_NAMES);
        for (name, _) in fetched.into_iter().filter(|(_, is_set)| *is_set) {
            if !self.addresses().iter().all(RedisUrl::is_private) {
                loader.reject(
                    name,
                    "is set, but redis.url has no TLS: an attacker in the network could read the token",
                    "write rediss:// instead of redis://, with the port for TLS",
                );
            }
        }
        if self.azure && !self.addresses().iter().all(RedisUrl::has_user) {
            loader.reject(
                azure,
                "is set, but redis.url names no user",
                "set redis.url to rediss://OBJECT_ID@HOST:10000, with the object ID of the identity",
            );
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
