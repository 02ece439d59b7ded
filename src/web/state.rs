//! What all requests share, made once from the settings. Neither Entra nor the API is asked: the site starts while they are
//! down. A credential that is in Azure must be there.

use std::{fmt, sync::Arc};

use secrecy::ExposeSecret;
use url::Url;

use super::{
    api_client::ApiClient,
    blocking_pools::Lanes,
    cookies::Flags,
    drafts::Drafts,
    pages::health::HealthMemory,
    security_headers::SecurityHeaders,
    server::StartError,
    session_store::revocations::SignOuts,
    session_store::{Lifetime, Sessions},
    sign_in::failure_limit::FailedSignIns,
    sign_in::loop_guard::LostSessions,
    sign_in::pending::PendingSignIns,
    sign_in::return_path::ReturnPath,
    static_files::StaticFiles,
    storage::key_ring::KeyRing,
    storage::redis::RedisStore,
    templates::Templates,
    token_store::refresh::AccessTokens,
    token_store::{self, MemoryTokens, RedisTokens, TokenStore},
};
use crate::{
    config::{A_REDIRECT_PATH, ClientSettings, Settings, redirect_path},
    entra::{ConfidentialClient, Provider},
    guid, outbound,
    serve::TrustedProxies,
};

/// Fewest characters of `client.cookie_key`: 32 bytes are what key derivation asks for.
const MIN_COOKIE_KEY: usize = 32;

/// A setting that is missing or wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingProblem {
    /// Such as `client.client_id`.
    pub setting: &'static str,
    /// What is wrong with it, and what is expected.
    pub problem: String,
}

impl fmt::Display for SettingProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.setting, self.problem)
    }
}

/// Everything that requests share.
pub struct Site {
    /// The pages.
    pub templates: Templates,
    /// Style sheet and icon.
    pub assets: StaticFiles,
    /// On every answer.
    pub headers: SecurityHeaders,
    /// Entra, as this site knows it.
    pub provider: Arc<Provider>,
    /// This site, as Entra knows it.
    pub client: Arc<ConfidentialClient>,
    /// The users' tokens.
    pub tokens: Arc<AccessTokens>,
    /// The API.
    pub api: Arc<ApiClient>,
    /// The users' sessions.
    pub sessions: Sessions,
    /// Where sessions, tokens and drafts are, unless they are in this process.
    pub redis: Option<RedisStore>,
    /// Threads for what blocks.
    pub lanes: Arc<Lanes>,
    /// Which sign-ins were ended.
    pub sign_outs: SignOuts,
    /// What people typed and could not send.
    pub drafts: Drafts,
    /// Sign-ins that have not come back yet.
    pub pending_sign_ins: PendingSignIns,
    /// Which browsers sign in again and again.
    pub lost_sessions: LostSessions,
    /// How many sign-ins have failed.
    pub failed_sign_ins: FailedSignIns,
    /// What seals cookies.
    pub keys: KeyRing,
    /// What cookies have in common.
    pub cookies: Flags,
    /// How browsers reach the site.
    pub public_url: Url,
    /// Path of the redirect URI: where Entra sends browsers back to.
    pub redirect_path: String,
    /// Who may say how a browser came, in place of the request itself.
    pub proxies: TrustedProxies,
    /// So many days before its end the certificate ends soon.
    pub soon_days: i64,
    /// What `/health` found out last.
    pub health: HealthMemory,
}

impl Site {
    /// Checks the settings and loads the credential. `port` is the one that the site listens on.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn new(settings: &Settings, port: u16) -> Result<Self, StartError> {
        let problems = problems(&settings.client);
        if !problems.is_empty() {
            return Err(StartError::Settings(problems));
        }
        let client_settings = &settings.client;
        let Addresses {
            public_url,
            redirect_uri,
        } = Addresses::of(client_settings, port)?;
        let provider = Arc::new(Provider::new(&settings.entra)?);
        let headers = SecurityHeaders::new(&public_url, &provider.authority().discovery_url())
            .map_err(|error| StartError::Header(error.to_string()))?;
        let redirect_path = redirect_uri.path().to_owned();
        let client = Arc::new(ConfidentialClient::new(Arc::clone(&provider), settings, redirect_uri)?);
        let (keys, cookies) = (
            KeyRing::new(&client_settings.cookie_keys),
            Flags {
                is_secure: public_url.scheme() == "https",
            },
        );
        let redis = RedisStore::of(&settings.redis, &keys)?;
        let store: Arc<dyn TokenStore> = match &redis {
            Some(redis) => Arc::new(RedisTokens::new(
                redis.clone(),
                client_settings.session_idle,
                settings.entra.timeout,
            )),
            None => Arc::new(MemoryTokens::new(
                client_settings.max_sessions,
                Lifetime::of(client_settings),
            )),
        };
        let sign_outs = SignOuts::new(client_settings.session_max, redis.clone());
        let sessions = Sessions::new(client_settings, redis.as_ref(), &store, &sign_outs);
        let lanes = Arc::new(Lanes::new().map_err(StartError::Threads)?);
        let patience = token_store::patience(settings.entra.timeout);
        let tokens = Arc::new(AccessTokens::new(
            store,
            Arc::clone(&client),
            Arc::clone(&lanes),
            redis.clone(),
            patience,
        ));
        let agent = outbound::agent(client_settings.api_timeout, settings.entra.ca_file.as_deref())?;
        let proxies = TrustedProxies::new(&settings.server.trusted_proxies);
        Ok(Self {
            templates: Templates::parse()?,
            assets: StaticFiles::load(),
            headers,
            provider,
            client,
            api: Arc::new(ApiClient::new(
                agent,
                &client_settings.api_base_url,
                Arc::clone(&tokens),
                Arc::clone(&lanes),
            )),
            tokens,
            sessions,
            sign_outs,
            drafts: Drafts::new(client_settings.session_max, redis.clone()),
            redis,
            lanes,
            pending_sign_ins: PendingSignIns::new(keys.clone(), cookies),
            lost_sessions: LostSessions::new(keys.clone(), cookies),
            keys,
            cookies,
            public_url,
            redirect_path,
            failed_sign_ins: FailedSignIns::new(proxies.clone()),
            proxies,
            soon_days: client_settings.soon_days(),
            health: HealthMemory::default(),
        })
    }
}

impl Site {
    /// The page to return to after a sign-in, if `text` names one: never the page that takes people back from it.
    pub fn return_path(&self, text: &str) -> Option<ReturnPath> {
        ReturnPath::parse(text).filter(|path| path.without_query() != self.redirect_path)
    }
}

/// All that is wrong with the settings, at once.
fn problems(settings: &ClientSettings) -> Vec<SettingProblem> {
    let mut found = Vec::new();
    let mut report = |setting, problem: &str| {
        found.push(SettingProblem {
            setting,
            problem: problem.to_owned(),
        })
    };
    if settings.client_id.trim().is_empty() {
        report(
            "client.client_id",
            "is not set: the application (client) id of the web site's registration, a GUID",
        );
    } else if guid::parse(settings.client_id.trim()).is_none() {
        report(
            "client.client_id",
            "is not a GUID: the portal shows it as Application (client) ID",
        );
    }
    if settings.api_scope.trim().is_empty() {
        report(
            "client.api_scope",
            "is not set: the API's scope, such as api://…/access_as_user",
        );
    }
    if settings.credentials().is_empty() {
        report(
            "client.cert_path",
            "is not set: a PEM or PFX file with the certificate and its private key",
        );
    }
    if settings.cookie_keys.is_empty() {
        report("client.cookie_key", "is not set: 32 or more random characters");
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

/// Where browsers find the site, and where Entra sends them back to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    /// Ends with a slash.
    pub public_url: Url,
    /// `client.redirect_uri`, else `callback` under the public URL.
    pub redirect_uri: Url,
}

impl Addresses {
    /// What the settings say, or what follows from them. `port` is the one that the site listens on.
    ///
    /// # Errors
    /// When an address cannot be that of a site.
    pub fn of(settings: &ClientSettings, port: u16) -> Result<Self, StartError> {
        let public_url = public_url(settings, port)?;
        let redirect_uri = match &settings.redirect_uri {
            Some(uri) => uri.clone(),
            None => public_url.join("callback").map_err(|_| not_a_base(&public_url))?,
        };
        Ok(Self {
            public_url,
            redirect_uri,
        })
    }
}

/// `client.public_url`, else the origin of `client.redirect_uri`, else `http://localhost:{port}`; ends with a slash.
fn public_url(settings: &ClientSettings, port: u16) -> Result<Url, StartError> {
    let mut url = match (&settings.public_url, &settings.redirect_uri) {
        (Some(url), _) => url.clone(),
        (None, Some(uri)) => uri.join("/").map_err(|_| not_a_base(uri))?,
        (None, None) => {
            let local = format!("http://localhost:{port}/");
            Url::parse(&local).map_err(|_| StartError::Header(local))?
        }
    };
    url.set_query(None);
    url.set_fragment(None);
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(url)
}

fn not_a_base(url: &Url) -> StartError {
    StartError::Settings(vec![SettingProblem {
        setting: "client.public_url",
        problem: format!("cannot be used as the address of a site: {url}"),
    }])
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::*;

    fn settings(public_url: Option<&str>, redirect_uri: Option<&str>) -> ClientSettings {
        let parse = |text: &str| Url::parse(text).unwrap();
        ClientSettings {
            public_url: public_url.map(parse),
            redirect_uri: redirect_uri.map(parse),
            ..ClientSettings::default()
        }
    }

    #[test]
    fn the_public_url_is_the_one_set_or_follows_from_what_is_set() {
        for (public_url_set, redirect_uri, expected) in [
            (
                Some("https://blog.example.com"),
                Some("https://other.example/callback"),
                "https://blog.example.com/",
            ),
            (
                None,
                Some("https://blog.example.com/auth/callback?x"),
                "https://blog.example.com/",
            ),
            (None, None, "http://localhost:5123/"),
        ] {
            let url = public_url(&settings(public_url_set, redirect_uri), 5123).unwrap();
            assert_eq!(url.as_str(), expected);
        }
    }

    #[test]
    fn all_missing_settings_are_reported_at_once() {
        let found: Vec<_> = problems(&ClientSettings::default())
            .into_iter()
            .map(|found| found.setting)
            .collect();
        assert_eq!(
            found,
            [
                "client.client_id",
                "client.api_scope",
                "client.cert_path",
                "client.cookie_key"
            ]
        );
    }

    #[test]
    fn a_short_cookie_key_is_refused() {
        let has_problem = |key: &str| {
            let settings = ClientSettings {
                cookie_keys: vec![SecretString::from(key)],
                ..ClientSettings::default()
            };
            problems(&settings)
                .iter()
                .any(|found| found.setting == "client.cookie_key")
        };
        assert!(has_problem(""));
        assert!(has_problem(&"k".repeat(31)));
        assert!(!has_problem(&"k".repeat(32)));
    }
}
