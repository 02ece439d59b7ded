//! Fetches passwords, and caches those that do not come from a file.

use std::{fmt, num::NonZeroU32, path::PathBuf, sync::Arc, time::Duration};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use secrecy::SecretString;

use super::{Password, PasswordError, Service, command};
use crate::{
    azure::{Azure, RetryBudget, TokenSource},
    config::{IdentitySettings, PasswordOrigin, password_in_file},
    token_cache::{CachedToken, Token},
};

/// A server that rejects every password causes at most one extra fetch in this time, after [`MAX_EXTRA_FETCHES`].
const EXTRA_FETCH_INTERVAL: Duration = Duration::from_secs(2);
const MAX_EXTRA_FETCHES: NonZeroU32 = NonZeroU32::new(3).unwrap();

/// The source of one server's passwords. Clones share its cache.
#[derive(Clone)]
pub struct PasswordSource(Arc<Inner>);

struct Inner {
    kind: Kind,
    extra_fetches: DefaultDirectRateLimiter,
}

enum Kind {
    File(PathBuf),
    Command {
        command: Vec<String>,
        cache: CachedToken<PasswordError>,
    },
    Azure {
        tokens: TokenSource,
        resource: &'static str,
        /// For the Azure CLI, whose user may belong to several tenants.
        tenant: Option<String>,
    },
}

impl PasswordSource {
    /// The source that `origin` names; `None` if the password is in the URL. Fetches nothing yet.
    ///
    /// # Errors
    /// When the settings for requests to Azure cannot be used.
    pub fn new(origin: &PasswordOrigin, service: Service) -> Result<Option<Self>, PasswordError> {
        let kind = match origin {
            PasswordOrigin::Url => return Ok(None),
            PasswordOrigin::File(path) => Kind::File(path.clone()),
            PasswordOrigin::Command(command) => Kind::Command {
                command: command.clone(),
                cache: CachedToken::default(),
            },
            PasswordOrigin::Azure(identity) => {
                let IdentitySettings {
                    azure,
                    entra,
                    client_id,
                } = &**identity;
                let access = Azure::from_settings(azure, entra, entra.environment, client_id)?;
                Kind::Azure {
                    tokens: access.tokens(),
                    resource: service.resource(entra.cloud),
                    tenant: azure.tenant_id.clone(),
                }
            }
        };
        let quota = Quota::with_period(EXTRA_FETCH_INTERVAL).map(|quota| quota.allow_burst(MAX_EXTRA_FETCHES));
        let quota = quota.unwrap_or_else(|| Quota::per_minute(MAX_EXTRA_FETCHES));
        Ok(Some(Self(Arc::new(Inner {
            kind,
            extra_fetches: RateLimiter::direct(quota),
        }))))
    }

    /// The current password. A file is read each time. The password of a command and a token are cached: a token until five
    /// minutes before it expires (or half of a shorter lifetime), any other output of a command for a minute. While one caller
    /// fetches, the others use the cached password, or wait if there is none. While a renewal fails, the cached password is
    /// used until it expires, or for ten minutes if it does not say when. Blocks up to `limit`, 10 seconds for a command, 15
    /// for the Azure CLI.
    ///
    /// # Errors
    /// When there is no valid password. For five seconds, further callers get the same error.
    pub fn current(&self, limit: Duration) -> Result<Password, PasswordError> {
        let token = match &self.0.kind {
            Kind::File(path) => {
                let password = password_in_file(path).map_err(|reason| PasswordError::File {
                    path: path.clone(),
                    reason,
                })?;
                Token::undated(SecretString::from(password.as_str()))
            }
            Kind::Command { command, cache } => cache.get(|| command::run(command))?,
            Kind::Azure {
                tokens,
                resource,
                tenant,
            } => tokens.dated_token(resource, tenant.as_deref(), RetryBudget::Within(limit))?,
        };
        Ok(Password(token))
    }

    /// The password that follows `rejected`, which the server did not accept; `None` if there is no other one. Fetches once,
    /// however many callers present the same rejected password. Blocks as [`Self::current`].
    ///
    /// # Errors
    /// As [`Self::current`].
    pub fn replace_rejected(&self, rejected: &Password, limit: Duration) -> Result<Option<Password>, PasswordError> {
        let current = self.current(limit)?;
        if !current.is_same(rejected) {
            return Ok(Some(current));
        }
        if matches!(self.0.kind, Kind::File(_)) || self.0.extra_fetches.check().is_err() {
            return Ok(None);
        }
        match &self.0.kind {
            Kind::File(_) => {}
            Kind::Command { cache, .. } => {
                cache.invalidate(rejected.value());
            }
            Kind::Azure {
                tokens,
                resource,
                tenant,
            } => tokens.invalidate(resource, tenant.as_deref(), rejected.value()),
        }
        let newer = self.current(limit)?;
        Ok((!newer.is_same(rejected)).then_some(newer))
    }

    /// Where the password comes from, for messages.
    pub fn describe(&self) -> String {
        match &self.0.kind {
            Kind::File(path) => format!("the file {}", path.display()),
            Kind::Command { command, .. } => format!("the command {}", command::program(command)),
            Kind::Azure { tokens, .. } => format!("a token of {}", tokens.identity()),
        }
    }
}

impl fmt::Debug for PasswordSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("PasswordSource").field(&self.describe()).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path, thread};

    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

    use chrono::Utc;
    use secrecy::ExposeSecret as _;

    use super::*;
    use crate::{config::Cloud, hint::Hint as _};

    const LIMIT: Duration = Duration::from_secs(30);

    /// A command that counts its runs in `folder`, and then runs `script`.
    fn command(folder: &Path, script: &str) -> PasswordSource {
        let script = format!(
            "echo run >> {0}/runs; n=$(grep -c run {0}/runs); {script}",
            folder.display()
        );
        let command = ["sh", "-c", &script].map(str::to_owned).to_vec();
        PasswordSource::new(&PasswordOrigin::Command(command), Service::Postgres)
            .unwrap()
            .unwrap()
    }

    fn runs(folder: &Path) -> usize {
        fs::read_to_string(folder.join("runs"))
            .unwrap_or_default()
            .lines()
            .count()
    }

    fn value(password: &Password) -> &str {
        password.value().expose_secret()
    }

    #[test]
    fn callers_that_come_together_share_one_run() {
        let folder = tempfile::tempdir().unwrap();
        let source = command(folder.path(), "sleep 1; echo \"p$n\"");
        thread::scope(|scope| {
            let callers: Vec<_> = (0..16)
                .map(|_| scope.spawn(|| source.current(LIMIT).unwrap()))
                .collect();
            for caller in callers {
                assert_eq!(value(&caller.join().unwrap()), "p1");
            }
        });
        let password = source.current(LIMIT).unwrap();
        assert_eq!((value(&password), password.time_left()), ("p1", None));
        assert_eq!(runs(folder.path()), 1);
    }

    #[test]
    fn a_rejected_password_is_fetched_again_once_and_a_server_that_rejects_all_does_not_cause_a_run_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let source = command(folder.path(), "echo \"p$n\"");
        let first = source.current(LIMIT).unwrap();
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let newer = source.replace_rejected(&first, LIMIT).unwrap();
                    assert_eq!(newer.as_ref().map(value), Some("p2"));
                });
            }
        });
        let mut rejected = source.current(LIMIT).unwrap();
        for _ in 0..50 {
            if let Some(newer) = source.replace_rejected(&rejected, LIMIT).unwrap() {
                rejected = newer;
            }
        }
        assert!((3..20).contains(&runs(folder.path())), "{}", runs(folder.path()));
    }

    #[test]
    fn the_same_password_after_a_rejection_is_not_another_one() {
        let folder = tempfile::tempdir().unwrap();
        let source = command(folder.path(), "echo same");
        let password = source.current(LIMIT).unwrap();
        assert!(source.replace_rejected(&password, LIMIT).unwrap().is_none());
        assert_eq!(runs(folder.path()), 2);
    }

    #[test]
    fn a_token_is_kept_until_it_expires_soon() {
        let folder = tempfile::tempdir().unwrap();
        let token = |seconds: i64| {
            let claims = format!("{{\"exp\":{}}}", Utc::now().timestamp() + seconds);
            format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims))
        };
        let source = command(folder.path(), &format!("echo {}", token(3600)));
        let password = source.current(LIMIT).unwrap();
        let left = password.time_left().unwrap();
        assert!(
            left > Duration::from_mins(50) && left <= Duration::from_hours(1),
            "{left:?}"
        );
        let expired = command(folder.path(), &format!("echo {}", token(-10)));
        let error = expired.current(LIMIT).unwrap_err();
        assert!(error.to_string().contains("expired already"), "{error}");
    }

    #[test]
    fn what_is_not_a_password_is_an_error_that_shows_no_output_and_is_not_repeated_at_once() {
        for (script, reason) in [
            ("echo hunter2; exit 1", "ended with exit status: 1"),
            ("echo hunter2; echo why >&2; exit 1", "ended with exit status: 1: why"),
            ("echo hunter2; echo hunter2", "did not print one line"),
            ("true", "did not print one line"),
            ("printf 'hunter2\\000'", "did not print one line"),
            ("head -c 60001 /dev/zero | tr '\\0' x", "did not print one line"),
            ("yes hunter2", "ended with"),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let source = command(folder.path(), script);
            let error = source.current(LIMIT).unwrap_err();
            assert!(
                error.to_string().contains(reason) && error.hint().is_some(),
                "{script}: {error}"
            );
            assert!(
                !format!("{error} {error:?} {source:?}").contains("hunter2"),
                "{script}: {error:?}"
            );
            assert_eq!(source.current(LIMIT).unwrap_err(), error);
            assert_eq!(runs(folder.path()), 1, "{script}");
        }
        let missing = PasswordOrigin::Command(vec!["/nonexistent/program".to_owned()]);
        let source = PasswordSource::new(&missing, Service::Postgres).unwrap().unwrap();
        let error = source.current(LIMIT).unwrap_err().to_string();
        assert!(
            error.contains("/nonexistent/program cannot be run: No such file"),
            "{error}"
        );
    }

    #[test]
    fn a_file_is_read_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("password");
        let source = PasswordSource::new(&PasswordOrigin::File(path.clone()), Service::Postgres)
            .unwrap()
            .unwrap();
        assert!(
            source
                .current(LIMIT)
                .unwrap_err()
                .to_string()
                .contains("cannot be read")
        );
        fs::write(&path, "one\n").unwrap();
        let first = source.current(LIMIT).unwrap();
        assert_eq!(value(&first), "one");
        assert!(source.replace_rejected(&first, LIMIT).unwrap().is_none());
        fs::write(&path, "two\r\n").unwrap();
        let newer = source.replace_rejected(&first, LIMIT).unwrap();
        assert_eq!(newer.as_ref().map(value), Some("two"));
    }

    #[test]
    fn tokens_are_for_the_servers_of_the_cloud() {
        let resource = |cloud| Service::Postgres.resource(cloud);
        assert_eq!(resource(Cloud::Public), "https://ossrdbms-aad.database.windows.net");
        assert_eq!(
            resource(Cloud::UsGovernment),
            "https://ossrdbms-aad.database.usgovcloudapi.net"
        );
        assert_eq!(resource(Cloud::China), "https://ossrdbms-aad.database.chinacloudapi.cn");
        assert_eq!(Service::Redis.resource(Cloud::Public), "https://redis.azure.com");
        assert!(
            PasswordSource::new(&PasswordOrigin::Url, Service::Redis)
                .unwrap()
                .is_none()
        );
    }
}
