//! The provider: the discovered endpoints and the signing keys of an authority, fetched when needed and cached.

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
    outbound::{self, OutboundError, Target},
    single_flight::SingleFlight,
};

/// Endpoints hardly ever change. One day matches the lifetime of the keys.
const METADATA_LIFETIME: Duration = Duration::from_hours(24);
/// After a failed renewal, the cached endpoints are used for this long before the next attempt.
const METADATA_RETRY: Duration = Duration::from_mins(1);

/// Limit for the check whether the authority responds: a visitor who signs out waits for it.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

/// Why a request to the provider failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ProviderError {
    /// The settings name no authority.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// The HTTP agent could not be created.
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    /// The provider did not respond, or its response was an error or invalid.
    #[error("{url}: {reason}")]
    Unreachable {
        /// The requested URL.
        url: Url,
        /// The error.
        reason: String,
    },
    /// Discovery names another issuer.
    #[error("discovery names issuer {found:?}, expected {expected:?}")]
    Issuer {
        /// The issuer that follows from the settings.
        expected: String,
        /// The issuer in the discovery document.
        found: String,
    },
    /// An endpoint uses plain HTTP.
    #[error("{name} {url} must be https")]
    Insecure {
        /// Name of the endpoint or of the setting.
        name: &'static str,
        /// Its address.
        url: Url,
    },
    /// The response of the key endpoint has no key that can verify a token.
    #[error("{url}: {error}")]
    Jwks {
        /// The requested URL.
        url: Url,
        /// What is wrong with the response.
        error: JwksError,
    },
}

/// One authority, with its endpoints and signing keys cached.
pub struct Provider {
    authority: Authority,
    agent: ureq::Agent,
    jwks_uri: Option<Url>,
    clock: Clock,
    metadata: Mutex<Option<CachedMetadata>>,
    discovery: SingleFlight<Result<(), ProviderError>>,
    discovery_failures: FailureLog,
    keys: SigningKeys,
}

struct CachedMetadata {
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
        Self::with_role("client", settings, &[], default_policy(settings), Clock::default())
    }
    /// As [`Self::new`], with signing keys for the tokens of these tenants too, as in `api.tenants`. Entries that are not GUIDs are
    /// ignored.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn for_tenants(settings: &EntraSettings, others: &[String]) -> Result<Self, ProviderError> {
        Self::with_policy(settings, others, default_policy(settings), Clock::default())
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
        Self::with_role("api", settings, others, policy, clock)
    }

    fn with_role(
        role: &'static str,
        settings: &EntraSettings,
        others: &[String],
        policy: KeyPolicy,
        clock: Clock,
    ) -> Result<Self, ProviderError> {
        let environment = settings.environment;
        if let Some(url) = settings.jwks_uri.as_ref().filter(|url| !environment.may_use(url)) {
            return Err(ProviderError::Insecure {
                name: "entra.jwks_uri",
                url: url.clone(),
            });
        }
        let authority = Authority::new(settings)?;
        if authority.is_exposed() {
            log::warn!(
                "{} is plain http on another host, so an attacker in the network can sign in as any user: for development only",
                authority.discovery_url()
            );
        }
        let cache_file = settings.keys_cache_file.clone().map(|path| {
            let source = settings.jwks_uri.clone().unwrap_or_else(|| authority.discovery_url());
            KeyCacheFile::new(path, source.to_string())
        });
        Ok(Self {
            agent: outbound::agent(Target::Entra, settings.timeout, settings.ca_file.as_deref())?,
            jwks_uri: settings.jwks_uri.clone(),
            metadata: Mutex::new(None),
            discovery: SingleFlight::default(),
            discovery_failures: FailureLog::default(),
            keys: SigningKeys::new(role, policy, clock.clone(), cache_file, authority.with_tenants(others)),
            authority,
            clock,
        })
    }
    /// The authority.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }
    /// The discovered endpoints, fetched at first use and once a day. May block.
    ///
    /// # Errors
    /// When discovery fails or names another issuer, and no endpoints are cached.
    pub fn metadata(&self) -> Result<Arc<Metadata>, ProviderError> {
        let fresh = || self.cached_metadata(|cached| self.clock.elapsed() < cached.renew_at);
        if let Some(metadata) = fresh() {
            return Ok(metadata);
        }
        let outcome = self.discovery.run(|| {
            if fresh().is_some() {
                return Ok(());
            }
            let url = self.authority.discovery_url();
            let metadata = Metadata::parse(&self.authority, &url, &self.get(&url)?.body)?;
            self.cache_metadata(Arc::new(metadata), METADATA_LIFETIME);
            self.discovery_failures.recovered("discovery works again");
            Ok(())
        });
        match (outcome, self.cached_metadata(|_| true)) {
            (Ok(()), Some(metadata)) => Ok(metadata),
            (Err(error), Some(metadata)) => {
                let message = format!("discovery failed; the cached endpoints stay in use: {error}");
                self.discovery_failures.failed(self.clock.elapsed(), &message);
                self.cache_metadata(Arc::clone(&metadata), METADATA_RETRY);
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
    /// The clock for token times and intervals.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }
    /// The signing keys in memory. Starts a due refresh in the background; never blocks.
    pub(super) fn keys_in_memory(self: &Arc<Self>) -> Option<Arc<KeySet>> {
        if self.keys.begin_refresh() {
            let provider = Arc::clone(self);
            let guard = RefreshGuard(Arc::clone(self));
            let refresh = move || {
                let _guard = guard;
                // `refresh` logs a failure, and the cached keys stay in use.
                let _ = provider.keys.refresh(|| provider.fetch_keys());
            };
            // If the thread cannot start, the dropped guard ends the refresh.
            let _ = background::spawn_once("signing-keys", refresh);
        }
        self.keys.current()
    }
    /// Looks up a `kid` in memory. Never blocks.
    pub(super) fn look_up_key(&self, kid: &str) -> KeyLookup {
        self.keys.look_up(kid)
    }
    /// Looks up a `kid`, and fetches the keys if needed. May block.
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
    /// When discovery or the key endpoint fails; the cached keys stay in use.
    pub fn refresh_keys(&self) -> Result<(), ProviderError> {
        self.keys.refresh(|| self.fetch_keys())
    }

    /// Whether the authority responds now, regardless of the caches. Blocks for three seconds at most.
    pub fn is_reachable(&self) -> bool {
        let url = self.authority.discovery_url();
        let request = self
            .agent
            .get(url.as_str())
            .config()
            .timeout_global(Some(PROBE_TIMEOUT))
            .build();
        request.call().is_ok_and(|response| response.status().is_success())
    }

    /// How far the authority's clock is ahead of this machine's, from the `Date` header, to about a second; `None` without that
    /// header. Blocks.
    ///
    /// # Errors
    /// When the authority does not respond.
    pub fn clock_difference(&self) -> Result<Option<TimeDelta>, ProviderError> {
        let url = self.authority.discovery_url();
        let sent_at = self.clock.now();
        let response = self
            .agent
            .get(url.as_str())
            .call()
            .map_err(|error| ProviderError::Unreachable {
                url: url.clone(),
                reason: error.to_string(),
            })?;
        // The server wrote the response about half-way between request and arrival.
        let here = sent_at + (self.clock.now() - sent_at) / 2;
        let date = response.headers().get("date").and_then(|date| date.to_str().ok());
        Ok(date
            .and_then(|date| DateTime::parse_from_rfc2822(date).ok())
            .map(|there| there.to_utc() - here))
    }
    /// The number of cached keys that can verify tokens.
    pub fn usable_keys(&self) -> usize {
        self.keys.current().map_or(0, |keys| keys.len())
    }

    fn fetch_keys(&self) -> Result<FetchedKeys, ProviderError> {
        let url = match &self.jwks_uri {
            Some(url) => url.clone(),
            None => self.metadata()?.jwks_uri.clone(),
        };
        let response = self.get(&url)?;
        Ok(FetchedKeys {
            url,
            jwks: response.body,
            max_age: response.max_age,
        })
    }

    fn get(&self, url: &Url) -> Result<ProviderResponse, ProviderError> {
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
        // A redirect is an error too: no other server may answer for the provider.
        let status = response.status();
        let max_age = response
            .headers()
            .get("cache-control")
            .and_then(|value| max_age(value.to_str().ok()?));
        let body = outbound::read_body(&mut response).map_err(|error| unreachable(error.to_string()));
        if status != 200 {
            // The error has the token endpoint's form, for example for an unknown tenant.
            let detail = body.ok().and_then(|body| EntraError::from_token_endpoint(&body));
            let detail = detail.map_or_else(String::new, |error| format!(" ({}: {})", error.label(), error.cause()));
            return Err(unreachable(format!("answered {status}{detail}")));
        }
        Ok(ProviderResponse { body: body?, max_age })
    }

    fn cached_metadata(&self, condition: impl FnOnce(&CachedMetadata) -> bool) -> Option<Arc<Metadata>> {
        let cached = self.metadata.lock();
        cached
            .as_ref()
            .filter(|cached| condition(cached))
            .map(|cached| Arc::clone(&cached.metadata))
    }

    fn cache_metadata(&self, metadata: Arc<Metadata>, lifetime: Duration) {
        let renew_at = self.clock.elapsed() + lifetime;
        *self.metadata.lock() = Some(CachedMetadata { metadata, renew_at });
    }
}

fn default_policy(settings: &EntraSettings) -> KeyPolicy {
    KeyPolicy {
        expire_after: settings.keys_max_age,
        ..KeyPolicy::default()
    }
}

struct ProviderResponse {
    body: Vec<u8>,
    max_age: Option<Duration>,
}

/// How long a response may be cached (RFC 9111 §5.2.2); `None` when the header does not say.
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

/// Ends the refresh of the signing keys even if it panics: otherwise no other refresh would ever start.
struct RefreshGuard(Arc<Provider>);

impl Drop for RefreshGuard {
    fn drop(&mut self) {
        self.0.keys.end_refresh();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caching_time_is_read_from_cache_control() {
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
