//! The provider: an authority's discovered endpoints and signing keys, fetched when needed and kept.

mod discovery;

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta};
use parking_lot::Mutex;
use url::Url;

pub use discovery::Metadata;

use super::{
    Authority,
    aadsts::EntraError,
    authority::AuthorityError,
    clock::Clock,
    signing_keys::{FetchedKeys, JwksError, KeyCacheFile, KeyLookup, KeyPolicy, KeySet, SigningKeys},
};
use crate::{
    background,
    config::EntraSettings,
    failure_log::FailureLog,
    loopback::is_secure,
    outbound::{self, OutboundError},
    single_flight::SingleFlight,
};

/// Endpoints change about never; a day matches the keys' own lifetime.
const METADATA_LIFETIME: Duration = Duration::from_hours(24);
/// After a failed renewal, the endpoints known so far serve for so long before the next try.
const METADATA_RETRY: Duration = Duration::from_mins(1);

/// Longest time to find out whether the authority answers: somebody waits who only wants to sign out.
const LOOK: Duration = Duration::from_secs(3);

/// Why the provider could not be asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ProviderError {
    /// The settings name no authority.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// No HTTP agent.
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    /// The provider did not answer, or not with what was asked for.
    #[error("{url}: {reason}")]
    Unreachable {
        /// What was fetched.
        url: Url,
        /// What came instead.
        reason: String,
    },
    /// Discovery names another issuer.
    #[error("discovery names issuer {found:?}, expected {expected:?}")]
    Issuer {
        /// What the settings lead to.
        expected: String,
        /// What discovery says.
        found: String,
    },
    /// An endpoint would be reached over plain HTTP.
    #[error("{name} {url} must be https")]
    Insecure {
        /// Which endpoint, or which setting.
        name: &'static str,
        /// Its address.
        url: Url,
    },
    /// The key endpoint answered, but with no keys that verify our tokens.
    #[error("{url}: {error}")]
    Jwks {
        /// What was fetched.
        url: Url,
        /// What is wrong with the answer.
        error: JwksError,
    },
}

/// One authority over one HTTP agent, with what it told cached.
pub struct Provider {
    authority: Authority,
    agent: ureq::Agent,
    jwks_uri: Option<Url>,
    clock: Clock,
    metadata: Mutex<Option<KnownMetadata>>,
    discovery: SingleFlight<Result<(), ProviderError>>,
    discovery_failures: FailureLog,
    keys: SigningKeys,
}

struct KnownMetadata {
    metadata: Arc<Metadata>,
    /// On [`Clock::elapsed`].
    renew_at: Duration,
}

impl Provider {
    /// No I/O beyond reading the CA file.
    ///
    /// # Errors
    /// When the settings name no authority or the CA file is unusable.
    pub fn new(settings: &EntraSettings) -> Result<Self, ProviderError> {
        Self::for_tenants(settings, &[])
    }
    /// As [`Self::new`], with signing keys for tokens of these tenants too, as in `api.tenants`. An entry that is not a GUID
    /// names no tenant.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn for_tenants(settings: &EntraSettings, others: &[String]) -> Result<Self, ProviderError> {
        let policy = KeyPolicy {
            expire_after: settings.keys_max_age,
            ..KeyPolicy::default()
        };
        Self::with_policy(settings, others, policy, Clock::default())
    }
    /// As [`Self::for_tenants`], with other intervals for the signing keys and another clock.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_policy(
        settings: &EntraSettings,
        others: &[String],
        policy: KeyPolicy,
        clock: Clock,
    ) -> Result<Self, ProviderError> {
        if let Some(url) = settings.jwks_uri.as_ref().filter(|url| !is_secure(url)) {
            return Err(ProviderError::Insecure {
                name: "entra.jwks_uri",
                url: url.clone(),
            });
        }
        let authority = Authority::new(settings)?;
        let cache_file = settings.keys_cache_file.clone().map(|path| {
            let source = settings.jwks_uri.clone().unwrap_or_else(|| authority.discovery_url());
            KeyCacheFile::new(path, source.to_string())
        });
        Ok(Self {
            agent: outbound::agent(settings.timeout, settings.ca_file.as_deref())?,
            jwks_uri: settings.jwks_uri.clone(),
            metadata: Mutex::new(None),
            discovery: SingleFlight::default(),
            discovery_failures: FailureLog::default(),
            keys: SigningKeys::new(policy, clock.clone(), cache_file, authority.with_tenants(others)),
            authority,
            clock,
        })
    }
    /// The authority.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }
    /// The discovered endpoints; fetched at first use and once a day. May block.
    ///
    /// # Errors
    /// When discovery fails or names another issuer, and there are no endpoints from an earlier time.
    pub fn metadata(&self) -> Result<Arc<Metadata>, ProviderError> {
        let fresh = || self.known_metadata(|known| self.clock.elapsed() < known.renew_at);
        if let Some(metadata) = fresh() {
            return Ok(metadata);
        }
        let outcome = self.discovery.run(|| {
            if fresh().is_some() {
                return Ok(());
            }
            let url = self.authority.discovery_url();
            let metadata = Metadata::parse(&self.authority, &url, &self.get(&url)?.body)?;
            self.keep(Arc::new(metadata), METADATA_LIFETIME);
            self.discovery_failures.recovered("discovery works again");
            Ok(())
        });
        match (outcome, self.known_metadata(|_| true)) {
            (Ok(()), Some(metadata)) => Ok(metadata),
            (Err(error), Some(metadata)) => {
                let message = format!("discovery failed, going on with the endpoints known so far: {error}");
                self.discovery_failures.failed(self.clock.elapsed(), &message);
                self.keep(Arc::clone(&metadata), METADATA_RETRY);
                Ok(metadata)
            }
            (Err(error), None) => Err(error),
            (Ok(()), None) => {
                let (url, reason) = (self.authority.discovery_url(), "discovery found nothing".to_owned());
                Err(ProviderError::Unreachable { url, reason })
            }
        }
    }
    /// The agent for requests to the provider.
    pub(super) fn agent(&self) -> &ureq::Agent {
        &self.agent
    }
    /// What time it is here.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }
    /// The signing keys in memory. Starts a refresh in the background when one is due; never blocks.
    pub(super) fn keys_in_memory(self: &Arc<Self>) -> Option<Arc<KeySet>> {
        if self.keys.begin_refresh() {
            let provider = Arc::clone(self);
            let ends = EndsRefresh(Arc::clone(self));
            let refresh = move || {
                let _ends = ends;
                // A failure is logged there, and the keys at hand go on serving.
                let _ = provider.keys.refresh(|| provider.fetch_keys());
            };
            // Without a thread it ends at once.
            let _ = background::spawn_once("signing-keys", refresh);
        }
        self.keys.current()
    }
    /// What memory says of a `kid`. Never blocks.
    pub(super) fn look_up_key(&self, kid: &str) -> KeyLookup {
        self.keys.look_up(kid)
    }
    /// What the provider says of a `kid`. May block.
    pub(super) fn find_key(&self, kid: &str) -> KeyLookup {
        self.keys.find(kid, || self.fetch_keys())
    }
    /// Fetches the signing keys if there are none. May block.
    pub(super) fn prepare_keys(&self) -> Result<(), ProviderError> {
        self.keys.prepare(|| self.fetch_keys())
    }
    /// Fetches the signing keys now, whatever their age. Blocks.
    ///
    /// # Errors
    /// When discovery or the key endpoint does not answer as it should; the keys known so far stay.
    pub fn refresh_keys(&self) -> Result<(), ProviderError> {
        self.keys.refresh(|| self.fetch_keys())
    }

    /// Whether the authority answers just now, whatever is known of it already. Blocks for three seconds at most.
    pub fn answers(&self) -> bool {
        let url = self.authority.discovery_url();
        let request = self.agent.get(url.as_str()).config().timeout_global(Some(LOOK)).build();
        request.call().is_ok_and(|answer| answer.status().is_success())
    }

    /// How far the authority's clock is ahead of this machine's, by the `Date` of its answer, to about a second; `None`
    /// when it tells no time. Blocks.
    ///
    /// # Errors
    /// When the authority does not answer at all.
    pub fn clock_difference(&self) -> Result<Option<TimeDelta>, ProviderError> {
        let url = self.authority.discovery_url();
        let asked = self.clock.now();
        let response = self
            .agent
            .get(url.as_str())
            .call()
            .map_err(|error| ProviderError::Unreachable {
                url: url.clone(),
                reason: error.to_string(),
            })?;
        // The answer was written about half-way between question and arrival.
        let here = asked + (self.clock.now() - asked) / 2;
        let date = response.headers().get("date").and_then(|date| date.to_str().ok());
        Ok(date
            .and_then(|date| DateTime::parse_from_rfc2822(date).ok())
            .map(|there| there.to_utc() - here))
    }
    /// How many of the published keys, as last fetched, can verify tokens.
    pub fn usable_keys(&self) -> usize {
        self.keys.current().map_or(0, |keys| keys.len())
    }

    fn fetch_keys(&self) -> Result<FetchedKeys, ProviderError> {
        let url = match &self.jwks_uri {
            Some(url) => url.clone(),
            None => self.metadata()?.jwks_uri.clone(),
        };
        let answer = self.get(&url)?;
        Ok(FetchedKeys {
            url,
            jwks: answer.body,
            max_age: answer.max_age,
        })
    }

    fn get(&self, url: &Url) -> Result<Answer, ProviderError> {
        let unreachable = |reason: String| ProviderError::Unreachable {
            url: url.clone(),
            reason,
        };
        let mut response = self
            .agent
            .get(url.as_str())
            .header("accept", "application/json")
            .call()
            .map_err(|error| unreachable(error.to_string()))?;
        // Redirects too: whoever answers for the provider must do so itself.
        let status = response.status();
        let max_age = response
            .headers()
            .get("cache-control")
            .and_then(|value| max_age(value.to_str().ok()?));
        let body = outbound::read_body(&mut response).map_err(|error| unreachable(error.to_string()));
        if status != 200 {
            // An unknown tenant, for instance, is told as on the token endpoint.
            let told = body.ok().and_then(|body| EntraError::from_token_endpoint(&body));
            let told = told.map_or_else(String::new, |error| format!(" ({}: {})", error.label(), error.cause()));
            return Err(unreachable(format!("answered {status}{told}")));
        }
        Ok(Answer { body: body?, max_age })
    }

    fn known_metadata(&self, wanted: impl FnOnce(&KnownMetadata) -> bool) -> Option<Arc<Metadata>> {
        let known = self.metadata.lock();
        known
            .as_ref()
            .filter(|known| wanted(known))
            .map(|known| Arc::clone(&known.metadata))
    }

    fn keep(&self, metadata: Arc<Metadata>, lifetime: Duration) {
        let renew_at = self.clock.elapsed() + lifetime;
        *self.metadata.lock() = Some(KnownMetadata { metadata, renew_at });
    }
}

/// What the provider answered.
struct Answer {
    body: Vec<u8>,
    max_age: Option<Duration>,
}

/// How long an answer may be kept (RFC 9111 §5.2.2); `None` when it does not say.
fn max_age(cache_control: &str) -> Option<Duration> {
    let mut directives = cache_control.split(',').map(str::trim);
    if directives
        .clone()
        .any(|directive| matches!(directive.to_ascii_lowercase().as_str(), "no-store" | "no-cache"))
    {
        return Some(Duration::ZERO);
    }
    directives.find_map(|directive| {
        let (name, seconds) = directive.split_once('=')?;
        let seconds = seconds.trim_matches('"').parse().ok()?;
        name.eq_ignore_ascii_case("max-age")
            .then(|| Duration::from_secs(seconds))
    })
}

/// Ends the refresh of the signing keys also when it panics: otherwise there would never be another one.
struct EndsRefresh(Arc<Provider>);

impl Drop for EndsRefresh {
    fn drop(&mut self) {
        self.0.keys.end_refresh();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn how_long_an_answer_may_be_kept_is_read_from_cache_control() {
        for (header, seconds) in [
            ("max-age=600", Some(600)),
            ("public, Max-Age=\"60\", must-revalidate", Some(60)),
            ("no-store", Some(0)),
            ("private, No-Cache, max-age=600", Some(0)),
            ("private", None),
            ("max-age=x", None),
            ("max-age=-1", None),
            ("s-maxage=5", None),
            ("", None),
        ] {
            assert_eq!(max_age(header), seconds.map(Duration::from_secs), "{header:?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_header_makes_it_panic(header in "(max-age=[0-9\"]{0,30}|\\PC{0,60})") {
            let _ = max_age(&header);
        }
    }
}
