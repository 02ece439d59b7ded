//! `[client]`: the web site and the certificate that it proves itself with.

use std::{
    ops::RangeInclusive,
    path::{Path, PathBuf},
    time::Duration,
};

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    CredentialSettings, Environment, cookie_keys,
    credential::hidden,
    loader::Loader,
    secret_file::{secret_file, warn_of_path},
    secret_text::{SecretKind, secret_kind},
    validate::{
        A_GUID, A_REDIRECT_PATH, A_SECURE_URL, guid, host, origin, plain_url, redirect_path, secure_url, thumbprint,
        word,
    },
    value::choices,
};

/// How a client assertion names the certificate and is signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AssertionForm {
    /// `PS256` with `x5t#S256`: what Entra ID asks for.
    #[default]
    Ps256Sha256,
    /// `RS256` with `x5t`: for AD FS and old tenants.
    Rs256Sha1,
}

choices!(AssertionForm => "ps256-sha256 or rs256-sha1");

/// Where the certificate and its private key are.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CertificateSettings {
    /// `client.cert_path`, older name `CLIENT_CERT_PATH`: PFX file, or PEM file with the certificate, its chain if
    /// any, and the private key unless `key_path` names another file.
    #[serde(rename = "cert_path", skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
    /// `client.cert_base64`: the same as a PFX or PEM file holds, in base64, in place of a file.
    #[serde(
        rename = "cert_base64",
        serialize_with = "hidden",
        skip_serializing_if = "Option::is_none"
    )]
    pub base64: Option<SecretString>,
    /// `client.key_path`: PEM file with the private key (PKCS#8, PKCS#1 or encrypted PKCS#8).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_path: Option<PathBuf>,
    /// `client.key_base64`: the same as such a file holds, in base64, in place of a file.
    #[serde(serialize_with = "hidden", skip_serializing_if = "Option::is_none")]
    pub key_base64: Option<SecretString>,
    /// `client.key_passphrase`: opens an encrypted private key or PFX file.
    #[serde(serialize_with = "hidden", skip_serializing_if = "Option::is_none")]
    pub key_passphrase: Option<SecretString>,
    /// `client.key_passphrase_file`: file that holds the passphrase, in place of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key_passphrase_file: Option<PathBuf>,
    /// `client.cert_thumbprint`, older name `CLIENT_CERT_THUMBPRINT`: SHA-1 or SHA-256, hex with or without colons or
    /// spaces. Only compared with the certificate's own; it need not be set.
    #[serde(rename = "cert_thumbprint", skip_serializing_if = "Option::is_none")]
    pub thumbprint: Option<String>,
}

/// `[client]`.
#[derive(Debug, Clone)]
pub struct ClientSettings {
    /// `client.host`: address to listen on.
    pub host: String,
    /// `client.port`, older name `FLASK_PORT`; 0 picks a free one.
    pub port: u16,
    /// `client.public_url`: how browsers reach the site, such as `https://blog.example.com`. When not set:
    /// the origin of `redirect_uri`, else `http://localhost:{port}`.
    pub public_url: Option<Url>,
    /// `client.allow_plain_http`: takes an HTTP `public_url` on another host than this machine, for an inner network
    /// whose owner knows that sessions can be read there.
    pub allow_plain_http: bool,
    /// `client.redirect_uri`, older name `REDIRECT_URI`: as registered; the site takes people back at its path. When not set:
    /// `{public_url}/callback`.
    pub redirect_uri: Option<Url>,
    /// `client.client_id`, older name `CLIENT_ID`: the application (client) id of the web site, a GUID.
    pub client_id: String,
    /// The certificate, `client.cert_path` and so on.
    pub certificate: CertificateSettings,
    /// `[[client.credential]]`: what the site may prove itself with, the first that can be used; in place of
    /// `client.cert_path` and so on. See [`Self::credentials`].
    pub credential: Vec<CredentialSettings>,
    /// `client.expiry_warning_days`: days before the certificate's end at which the log warns, once each.
    pub expiry_warning_days: Vec<u32>,
    /// `client.assertion`: `ps256-sha256` or `rs256-sha1`.
    pub assertion: AssertionForm,
    /// `client.send_x5c`: put the certificate chain into each assertion, for registrations by subject name and issuer.
    pub send_x5c: bool,
    /// `client.api_scope`, older name `API_SCOPE`: such as `api://…/access_as_user`.
    pub api_scope: String,
    /// `client.api_base_url`, older name `API_BASE_URL`: where the API is.
    pub api_base_url: Url,
    /// `client.api_timeout_seconds`: longest time for one request to the API.
    pub api_timeout: Duration,
    /// `client.cookie_key`, older name `FLASK_SECRET_KEY`, or the lines of `client.cookie_key_file`: the first encrypts
    /// cookies, all of them decrypt; each 32 characters or more, and in production none that can be guessed.
    pub cookie_keys: Vec<SecretString>,
    /// `client.session_idle_minutes`: a session that nobody uses ends after this.
    pub session_idle: Duration,
    /// `client.session_max_hours`: every session ends after this.
    pub session_max: Duration,
    /// `client.max_sessions`: most sessions held in memory; the least recently used goes first.
    pub max_sessions: u64,
    /// `client.sessions_per_user`: most sessions of one user, one per browser; beyond that the least recently used of the user's own
    /// ends.
    pub sessions_per_user: usize,
}

impl CertificateSettings {
    /// Whether they name a certificate at all.
    pub fn is_given(&self) -> bool {
        self.path.is_some() || self.base64.is_some()
    }

    /// What holds the certificate, for messages: the file, or the name of the setting that stands for one.
    pub fn place(&self) -> PathBuf {
        self.path.clone().unwrap_or_else(|| PathBuf::from("client.cert_base64"))
    }

    fn read(loader: &mut Loader) -> Self {
        let default = Self::default();
        let settings = Self {
            path: loader.get("client.cert_path", default.path),
            base64: loader.get_if(
                "client.cert_base64",
                default.base64,
                "the content of a PEM or PFX file, in base64; the path of a file belongs into client.cert_path",
                is_content,
            ),
            key_path: loader.get("client.key_path", default.key_path),
            key_base64: loader.get_if(
                "client.key_base64",
                default.key_base64,
                "the content of a key file, in base64; the path of a file belongs into client.key_path",
                is_content,
            ),
            key_passphrase: loader.get("client.key_passphrase", default.key_passphrase),
            key_passphrase_file: secret_file(loader, "client.key_passphrase_file"),
            thumbprint: loader.get_if(
                "client.cert_thumbprint",
                default.thumbprint,
                "40 (SHA-1) or 64 (SHA-256) hex digits, with or without colons or spaces",
                |text| text.as_deref().is_none_or(thumbprint),
            ),
        };
        warn_of_path(
            loader,
            "client.key_passphrase",
            "client.key_passphrase_file",
            settings.key_passphrase.as_ref(),
        );
        if settings.path.is_some() && settings.base64.is_some() {
            let hint = "set client.cert_path or client.cert_base64, and leave out the other";
            loader.refuse(
                "client.cert_base64",
                "is set beside client.cert_path, and only one can be meant",
                hint,
            );
        }
        if settings.key_path.is_some() && settings.key_base64.is_some() {
            let hint = "set client.key_path or client.key_base64, and leave out the other";
            loader.refuse(
                "client.key_base64",
                "is set beside client.key_path, and only one can be meant",
                hint,
            );
        }
        if settings.key_passphrase.is_some() && settings.key_passphrase_file.is_some() {
            let hint = "set client.key_passphrase or client.key_passphrase_file, and leave out the other";
            loader.refuse(
                "client.key_passphrase_file",
                "is set beside client.key_passphrase",
                hint,
            );
        }
        settings
    }
}

impl ClientSettings {
    /// What the site may prove itself with, in order; `client.cert_path` and its like are a list of one.
    pub fn credentials(&self) -> Vec<CredentialSettings> {
        match &*self.credential {
            [] if self.certificate.is_given() => vec![CredentialSettings::File(self.certificate.clone())],
            list => list.to_vec(),
        }
    }

    /// Days before its end from which a certificate ends soon: those of the first warning.
    pub fn soon_days(&self) -> i64 {
        self.expiry_warning_days.iter().max().copied().map_or(0, i64::from)
    }

    pub(super) fn read(loader: &mut Loader, environment: Environment) -> Self {
        let default = Self::default();
        let between = |range: RangeInclusive<u64>| move |number: &u64| range.contains(number);
        let allow_plain_http = loader.get("client.allow_plain_http", default.allow_plain_http);
        let is_secure = |url: &Url| secure_url(url) || (allow_plain_http && plain_url(url));
        let settings = Self {
            allow_plain_http,
            host: loader.get_if("client.host", default.host, "an IP address or a host name", |name| host(name)),
            port: loader.get("client.port", default.port),
            public_url: loader.get_if(
                "client.public_url",
                default.public_url,
                "an https URL with nothing after host and port (http on localhost only, unless client.allow_plain_http)",
                |url| url.as_ref().is_none_or(|url| is_secure(url) && origin(url)),
            ),
            // Entra ID itself takes http redirect URIs on localhost only.
            redirect_uri: loader.get_if("client.redirect_uri", default.redirect_uri, A_SECURE_URL, |url| {
                url.as_ref().is_none_or(is_secure)
            }),
            client_id: loader.get_if("client.client_id", default.client_id, A_GUID, |id| id.is_empty() || guid(id)),
            certificate: CertificateSettings::read(loader),
            credential: read_credentials(loader, default.credential),
            expiry_warning_days: loader.get_if(
                "client.expiry_warning_days",
                default.expiry_warning_days,
                "up to ten numbers of days from 0 to 3650",
                |days| days.len() <= 10 && days.iter().all(|days| *days <= 3650),
            ),
            assertion: loader.get("client.assertion", default.assertion),
            send_x5c: loader.get("client.send_x5c", default.send_x5c),
            api_scope: loader.get_if(
                "client.api_scope",
                default.api_scope,
                "one scope with its API's URI, such as api://GUID/access_as_user",
                |scope| scope.is_empty() || (word(scope) && scope.contains('/')),
            ),
            // Access tokens travel to it; in development it may be a container's name.
            api_base_url: loader.get_if("client.api_base_url", default.api_base_url, A_SECURE_URL, |url| {
                match environment {
                    Environment::Production => secure_url(url),
                    Environment::Development => plain_url(url),
                }
            }),
            api_timeout: Duration::from_secs(loader.get_if(
                "client.api_timeout_seconds",
                default.api_timeout.as_secs(),
                "a whole number of seconds from 1 to 120",
                between(1..=120),
            )),
            cookie_keys: cookie_keys::read(loader, environment),
            session_idle: Duration::from_mins(loader.get_if(
                "client.session_idle_minutes",
                default.session_idle.as_secs() / 60,
                "a whole number of minutes from 1 to 10080",
                between(1..=10_080),
            )),
            session_max: Duration::from_hours(loader.get_if(
                "client.session_max_hours",
                default.session_max.as_secs() / 3600,
                "a whole number of hours from 1 to 720",
                between(1..=720),
            )),
            max_sessions: loader.get_if(
                "client.max_sessions",
                default.max_sessions,
                "a whole number from 1 to 10000000",
                between(1..=10_000_000),
            ),
            sessions_per_user: loader.get_if(
                "client.sessions_per_user",
                default.sessions_per_user,
                "a whole number from 1 to 1000",
                |number| (1..=1000).contains(number),
            ),
        };
        if settings.certificate.is_given() && !settings.credential.is_empty() {
            let hint = "put the file into an entry with source = \"file\", or leave out client.credential";
            loader.refuse(
                "client.credential",
                "is set beside client.cert_path or client.cert_base64",
                hint,
            );
        }
        if let (Some(public), Some(redirect)) = (&settings.public_url, &settings.redirect_uri)
            && public.origin() != redirect.origin()
        {
            loader.refuse(
                "client.redirect_uri",
                "is on another host or port than client.public_url, so that the browser would not send its cookie there",
                "make both begin the same, or leave one of them out",
            );
        }
        if let Some(uri) = settings.redirect_uri.as_ref().filter(|uri| !redirect_path(uri.path())) {
            let problem = format!(
                "has the path {}, at which the site cannot take people back from a sign-in",
                uri.path()
            );
            loader.refuse("client.redirect_uri", &problem, A_REDIRECT_PATH);
        }
        settings
    }
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 5000,
            public_url: None,
            allow_plain_http: false,
            redirect_uri: None,
            client_id: String::new(),
            certificate: CertificateSettings::default(),
            credential: Vec::new(),
            expiry_warning_days: vec![30, 14, 7, 1],
            assertion: AssertionForm::Ps256Sha256,
            send_x5c: false,
            api_scope: String::new(),
            api_base_url: default_api_base_url(),
            api_timeout: Duration::from_secs(10),
            cookie_keys: Vec::new(),
            session_idle: Duration::from_hours(1),
            session_max: Duration::from_hours(12),
            max_sessions: 10_000,
            sessions_per_user: 32,
        }
    }
}

/// Whether a setting that takes what a file holds has something else than the path of one. Base64 has no dots, and no file is
/// called so.
#[expect(clippy::ref_option, reason = "the loader hands out the whole value")]
fn is_content(value: &Option<SecretString>) -> bool {
    value.as_ref().is_none_or(|value| {
        let text = value.expose_secret().trim();
        matches!(secret_kind(text), Some(SecretKind::Pem | SecretKind::EncodedKey))
            || !(text.contains('.') || text.starts_with(['~', '/']) || text.contains(":\\"))
                && (text.len() > 255 || Path::new(text).symlink_metadata().is_err())
    })
}

fn read_credentials(loader: &mut Loader, default: Vec<CredentialSettings>) -> Vec<CredentialSettings> {
    let list: Vec<CredentialSettings> = loader.get("client.credential", default);
    for (n, problem) in list
        .iter()
        .enumerate()
        .filter_map(|(n, entry)| Some((n + 1, entry.problem()?)))
    {
        let hint = "see docs/certificates.md for each source and its keys";
        loader.refuse("client.credential", &format!("entry {n} {problem}"), hint);
    }
    list
}

fn default_api_base_url() -> Url {
    #[expect(clippy::expect_used, reason = "a constant that every test parses")]
    Url::parse("http://localhost:8000").expect("the default API address is a URL")
}
