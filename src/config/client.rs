//! `[client]`: the web site and the certificate that it proves itself with.

use std::{path::PathBuf, time::Duration};

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use url::Url;

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

/// Where the certificate and its private key are.
#[derive(Debug, Clone, Default)]
pub struct CertificateSettings {
    /// `client.cert_path`, older name `CLIENT_CERT_PATH`: PEM file with the certificate, its chain if any, and the
    /// private key unless `key_path` names another file.
    pub path: Option<PathBuf>,
    /// `client.key_path`: PEM file with the private key (PKCS#8, PKCS#1 or encrypted PKCS#8).
    pub key_path: Option<PathBuf>,
    /// `client.key_passphrase`: opens an encrypted private key.
    pub key_passphrase: Option<SecretString>,
    /// `client.cert_thumbprint`, older name `CLIENT_CERT_THUMBPRINT`: SHA-1 or SHA-256, hex with or without colons or
    /// spaces. Only compared with the certificate's own; it need not be set.
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
    /// `client.redirect_uri`, older name `REDIRECT_URI`: as registered. When not set: `{public_url}/callback`.
    pub redirect_uri: Option<Url>,
    /// `client.client_id`, older name `CLIENT_ID`: the application (client) id of the web site, a GUID.
    pub client_id: String,
    /// The certificate, `client.cert_path` and so on.
    pub certificate: CertificateSettings,
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
    /// `client.cookie_key`, older name `FLASK_SECRET_KEY`: signs and encrypts the session cookie; 32 characters or more.
    pub cookie_key: Option<SecretString>,
    /// `client.session_idle_minutes`: a session that nobody uses ends after this.
    pub session_idle: Duration,
    /// `client.session_max_hours`: every session ends after this.
    pub session_max: Duration,
    /// `client.max_sessions`: most sessions held in memory; the least recently used goes first.
    pub max_sessions: u64,
}

impl Default for ClientSettings {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".to_owned(),
            port: 5000,
            public_url: None,
            redirect_uri: None,
            client_id: String::new(),
            certificate: CertificateSettings::default(),
            assertion: AssertionForm::Ps256Sha256,
            send_x5c: false,
            api_scope: String::new(),
            api_base_url: default_api_base_url(),
            api_timeout: Duration::from_secs(10),
            cookie_key: None,
            session_idle: Duration::from_secs(60 * 60),
            session_max: Duration::from_secs(12 * 60 * 60),
            max_sessions: 10_000,
        }
    }
}

fn default_api_base_url() -> Url {
    #[expect(clippy::expect_used, reason = "a constant that every test parses")]
    Url::parse("http://localhost:8000").expect("the default API address is a URL")
}
