//! Creates the components of the site from the settings. Contacts neither Entra ID nor the API: the site starts while
//! they are down. A credential that is in Azure must be reachable.

use std::sync::Arc;

use actix_web::web;
use secrecy::ExposeSecret;

use super::{
    addresses::Addresses,
    api_client::ApiClient,
    blocking_pools::BlockingPools,
    cookies::CookieAttributes,
    drafts::Drafts,
    health_checks::HealthChecks,
    sealed_cookies::SealedCookies,
    security_headers::SecurityHeaders,
    session::lifetime::Lifetime,
    session_store::{RevocationList, Sessions},
    sign_in::{FailureLimit, PendingSignIns, SignInLoopGuard, SignIns},
    start_error::{SettingError, StartError},
    static_files::StaticFiles,
    storage::{KeyRing, RedisStore, StorageExecutor},
    templates::Templates,
    token_store::{self, AccessTokens, MemoryTokens, RedisTokens, TokenStore},
    user_sessions::UserSessions,
};
use crate::{
    audit::AuditLog,
    config::{A_REDIRECT_PATH, Role, Settings, redirect_path},
    entra::{ConfidentialClient, Provider},
    guid,
    serve::{RequestAudit, TrustedProxies},
    tls::ApiAgent,
};

/// Fewest characters of `client.cookie_key`: key derivation needs 32 bytes.
const MIN_COOKIE_KEY: usize = 32;

/// The components of the site. Each handler and middleware takes those that it needs as `web::Data`.
#[derive(Clone)]
pub struct AppState {
    /// The site's own addresses.
    pub addresses: web::Data<Addresses>,
    /// Seals cookies and records.
    pub keys: web::Data<KeyRing>,
    /// The attributes of all cookies.
    pub cookies: web::Data<CookieAttributes>,
    /// The session store.
    pub sessions: Sessions,
    /// This site as a client of Entra ID.
    pub client: web::Data<ConfidentialClient>,
    provider: web::Data<Provider>,
    api: web::Data<ApiClient>,
    user_sessions: web::Data<UserSessions>,
    drafts: web::Data<Drafts>,
    sign_ins: web::Data<SignIns>,
    health: web::Data<HealthChecks>,
    pools: web::Data<BlockingPools>,
    proxies: web::Data<TrustedProxies>,
    /// The audit trail.
    pub audit: web::Data<RequestAudit>,
    templates: web::Data<Templates>,
    static_files: web::Data<StaticFiles>,
    security_headers: web::Data<SecurityHeaders>,
}

impl AppState {
    /// Checks the settings, loads the credential and creates all components. `port` is the one that the site listens
    /// on.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn new(settings: &Settings, port: u16) -> Result<Self, StartError> {
        let client_settings = &settings.client;
        let errors = check(settings);
        if !errors.is_empty() {
            return Err(StartError::Settings(errors));
        }
        let audit = AuditLog::start(&settings.audit, Role::Client)?;
        let addresses = Addresses::from_settings(settings, port)?;
        let provider = Arc::new(Provider::new(&settings.entra)?);
        let security_headers = SecurityHeaders::new(
            &addresses,
            &provider.authority().browser_origins(),
            settings.server.tls.hsts_seconds,
        )
        .map_err(|error| StartError::Header(error.to_string()))?;
        let client = ConfidentialClient::new(Arc::clone(&provider), settings, addresses.redirect_uri.clone())?;
        let client = Arc::new(client.with_audit(audit.clone()));
        let pools = Arc::new(BlockingPools::new().map_err(StartError::Threads)?);
        let keys = KeyRing::new(&client_settings.cookie_keys);
        let cookies = CookieAttributes {
            is_secure: addresses.public_url.scheme() == "https",
        };

        let redis = RedisStore::from_settings(&settings.redis, &keys)?;
        let executor = StorageExecutor::new(redis.clone());
        let token_store = token_store(settings, redis.as_ref());
        let revocations = RevocationList::new(client_settings.session_max, redis.clone());
        let sessions = Sessions::new(client_settings, redis.as_ref(), &token_store, &revocations);
        let tokens = Arc::new(AccessTokens::new(
            token_store,
            Arc::clone(&client),
            Arc::clone(&pools),
            executor.clone(),
            token_store::lock_timeout(settings.entra.timeout),
        ));
        let failures = redis.as_ref().map(|redis| redis.client().clone());
        let drafts = Drafts::new(client_settings.session_max, redis, executor.clone());

        let agent = ApiAgent::start(settings)?;
        let api = Arc::new(ApiClient::new(
            agent,
            &client_settings.api_base_url,
            Arc::clone(&tokens),
            Arc::clone(&pools),
        ));
        let health = HealthChecks::new(
            Arc::clone(&provider),
            Arc::clone(&api),
            sessions.clone(),
            Arc::clone(&pools),
            client_settings.soon_days(),
        );
        let proxies = TrustedProxies::new(&settings.server.trusted_proxies);
        let sealed_cookies = SealedCookies::new(keys.clone(), cookies);
        let sign_ins = SignIns {
            pending: PendingSignIns::new(sealed_cookies.clone()),
            failure_limit: FailureLimit::new(proxies.clone(), failures),
            loop_guard: SignInLoopGuard::new(sealed_cookies),
        };
        let user_sessions = UserSessions::new(sessions.clone(), tokens, revocations, executor);
        Ok(Self {
            addresses: web::Data::new(addresses),
            keys: web::Data::new(keys),
            cookies: web::Data::new(cookies),
            sessions,
            client: client.into(),
            provider: provider.into(),
            api: api.into(),
            user_sessions: web::Data::new(user_sessions),
            drafts: web::Data::new(drafts),
            sign_ins: web::Data::new(sign_ins),
            health: web::Data::new(health),
            pools: pools.into(),
            audit: web::Data::new(RequestAudit::new(audit, proxies.clone())),
            proxies: web::Data::new(proxies),
            templates: web::Data::new(Templates::parse()?),
            static_files: web::Data::new(StaticFiles::load()),
            security_headers: web::Data::new(security_headers),
        })
    }

    /// Makes the components available to handlers and middleware.
    pub fn register(&self, app: &mut web::ServiceConfig) {
        app.app_data(self.addresses.clone())
            .app_data(self.keys.clone())
            .app_data(self.cookies.clone())
            .app_data(self.client.clone())
            .app_data(self.provider.clone())
            .app_data(self.api.clone())
            .app_data(self.user_sessions.clone())
            .app_data(self.drafts.clone())
            .app_data(self.sign_ins.clone())
            .app_data(self.health.clone())
            .app_data(self.pools.clone())
            .app_data(self.proxies.clone())
            .app_data(self.audit.clone())
            .app_data(self.templates.clone())
            .app_data(self.static_files.clone())
            .app_data(self.security_headers.clone());
    }
}

/// The token store in Redis if the settings name one, else in memory.
fn token_store(settings: &Settings, redis: Option<&RedisStore>) -> Arc<dyn TokenStore> {
    let client = &settings.client;
    match redis {
        Some(redis) => Arc::new(RedisTokens::new(
            redis.clone(),
            client.session_idle,
            settings.entra.timeout,
        )),
        None => Arc::new(MemoryTokens::new(client.max_sessions, Lifetime::from_settings(client))),
    }
}

/// All errors in the settings at once.
fn check(settings: &Settings) -> Vec<SettingError> {
    let mut found = Vec::new();
    let mut report = |setting, problem: &str| {
        found.push(SettingError {
            setting,
            problem: problem.to_owned(),
        });
    };
    for required in Role::Client.missing(settings) {
        report(required.name, &format!("is not set: {}", required.description));
    }
    let settings = &settings.client;
    if !settings.client_id.is_empty() && guid::parse(settings.client_id.trim()).is_none() {
        report(
            "client.client_id",
            "is not a GUID with hyphens: the portal shows it as Application (client) ID",
        );
    }
    if settings
        .cookie_keys
        .iter()
        .any(|key| key.expose_secret().chars().count() < MIN_COOKIE_KEY)
    {
        report("client.cookie_key", "is too short: 32 or more random characters");
    }
    for (setting, url) in [
        ("client.public_url", &settings.public_url),
        ("client.redirect_uri", &settings.redirect_uri),
    ] {
        if url
            .as_ref()
            .is_some_and(|url| !matches!(url.scheme(), "http" | "https") || !url.has_host())
        {
            report(setting, "is not an http or https address");
        }
    }
    if settings
        .redirect_uri
        .as_ref()
        .is_some_and(|uri| !redirect_path(uri.path()))
    {
        report(
            "client.redirect_uri",
            &format!("has the path of another page of the site: {A_REDIRECT_PATH}"),
        );
    }
    if !matches!(settings.api_base_url.scheme(), "http" | "https") {
        report("client.api_base_url", "is not an http or https address");
    }
    found
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;

    #[test]
    fn all_missing_settings_are_reported_at_once() {
        let found: Vec<_> = check(&Settings::default())
            .into_iter()
            .map(|found| found.setting)
            .collect();
        assert_eq!(
            found,
            [
                "entra.tenant_id",
                "client.client_id",
                "client.cert_path",
                "client.api_scope",
                "client.cookie_key"
            ]
        );
    }

    #[test]
    fn a_short_cookie_key_is_rejected() {
        let has_problem = |key: &str| {
            let mut settings = Settings::default();
            settings.client.cookie_keys = vec![SecretString::from(key)];
            check(&settings)
                .iter()
                .any(|found| found.setting == "client.cookie_key")
        };
        assert!(has_problem(""));
        assert!(has_problem(&"k".repeat(31)));
        assert!(!has_problem(&"k".repeat(32)));
    }
}
