//! `[client]`: the web site and its client certificate.

use std::{path::PathBuf, time::Duration};

use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    certificate::CertificateSettings,
    cookie_keys,
    credential::{CredentialSettings, credentials},
    database::FileMode,
    environment::Environment,
    loader::Loader,
    rules::{hours, minutes, number, only, optional_url, seconds, text, text_or_empty},
    secret_file::{secret_file, warn_of_path},
    section::section,
    socket_path::socket_path,
    validate::{
        A_GUID, A_HOST, A_REDIRECT_PATH, A_SECURE_URL, A_USABLE_URL, guid, host, origin, plain_url, public_uri,
        redirect_path, secure_url, usable_url,
    },
    value::choices,
};

/// How a client assertion is signed and identifies the certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum AssertionForm {
    /// `PS256` with `x5t#S256`, which Entra ID recommends.
    #[default]
    Ps256Sha256,
    /// `RS256` with `x5t`, for AD FS and old tenants.
    Rs256Sha1,
}

choices!(AssertionForm => "ps256-sha256 or rs256-sha1");

section! {
    /// The web site.
    #[derive(Debug, Clone)]
    pub struct ClientSettings = "client" (environment: Environment) {
        /// Address that the web site listens on.
        pub host: String = "127.0.0.1".to_owned(), text(A_HOST, host);

        /// Port that the web site listens on. 0 picks a free one. `PORT` and `WEBSITES_PORT`, as platforms set them, set
        /// it for `serve-client` and `health`: [sockets.md](sockets.md#port-and-websites_port).
        #[alias(FLASK_PORT)]
        pub port: u16 = 5000;

        /// Unix socket that the web site listens on, instead of `client.host` and `client.port`: for a reverse proxy on the same
        /// machine. A socket that a stopped process left behind is replaced. See [sockets.md](sockets.md).
        pub socket_path: Option<PathBuf> = None, socket_path;

        /// Mode of that socket, in octal. To connect, a process needs write permission.
        pub socket_mode: FileMode = FileMode(0o660);

        /// Allow an HTTP `client.public_url` on another host than localhost. On the way, others can read and take over
        /// sessions, and Entra ID accepts no such redirect URI: only for a closed network with another identity provider.
        pub allow_plain_http: bool = false;

        /// How browsers reach the site, such as `https://blog.example.com`: HTTPS, or HTTP on localhost, with nothing after host
        /// and port. Default: the origin of `client.redirect_uri`, else `http://localhost:{port}`.
        pub public_url: Option<Url> = None, optional_url(
            "an https URL with nothing after host and port (http on localhost only, unless client.allow_plain_http)",
            |url| (secure_url(url) || (allow_plain_http && plain_url(url))) && origin(url),
        );

        /// The redirect URI as registered, on the same origin as `client.public_url`. Its path, such as `/getAToken`, must not
        /// be that of a page of the site: not `/`, `/login`, `/logout`, `/profile`, `/posts…`, `/static…` or `/health…`.
        /// Default: `{public_url}/callback`.
        #[alias(REDIRECT_URI)]
        pub redirect_uri: Option<Url> = None, optional_url(A_SECURE_URL, |url| {
            // Entra ID itself accepts HTTP redirect URIs on localhost only.
            secure_url(url) || (allow_plain_http && plain_url(url))
        });

        /// Application (client) ID of the web site's app registration, a GUID.
        #[alias(CLIENT_ID)]
        pub client_id: String = String::new(), text_or_empty(A_GUID, guid);

        /// Folder of PFX files without a passphrase whose names are thumbprints: without `client.cert_path`, the site uses
        /// `{client.cert_thumbprint}.p12` in it. App Service puts the certificates there that its setting
        /// `WEBSITE_LOAD_CERTIFICATES` lists.
        pub cert_folder: PathBuf = PathBuf::from("/var/ssl/private");

        /// What the site authenticates with, in order of preference, instead of `client.cert_path` and the related settings:
        /// tables with `source` and its keys: `file` (the keys of `client.cert_path` and so on), `key_vault_sign` or
        /// `key_vault_certificate` (`vault_url`, `certificate`), `workload_identity` (`token_file`), `managed_identity`
        /// (`client_id`). See [certificates.md](certificates.md).
        ///
        /// ```toml
        /// [[client.credential]]
        /// source = "key_vault_sign"
        /// vault_url = "https://NAME.vault.azure.net"
        /// certificate = "blog-site"
        /// ```
        pub credential: Vec<CredentialSettings> = Vec::new(), credentials;

        /// Days before the end of the certificate on which the log warns, once each. The log always reports the end itself.
        pub expiry_warning_days: Vec<u32> = vec![30, 14, 7, 1], only(
            "up to ten numbers of days from 0 to 3650",
            |days: &Vec<u32>| days.len() <= 10 && days.iter().all(|days| *days <= 3650),
        );

        /// Signature of the client assertion: `ps256-sha256`, which Entra ID recommends, or `rs256-sha1` for AD FS and old
        /// tenants.
        pub assertion: AssertionForm = AssertionForm::Ps256Sha256;

        /// Put the certificate chain into each assertion, for app registrations that identify the certificate by subject name
        /// and issuer.
        pub send_x5c: bool = false;

        /// Scope of the API that the site requests, such as `api://GUID/access_as_user`.
        #[alias(API_SCOPE)]
        pub api_scope: String = String::new(), text_or_empty(
            "one scope with its API's URI, such as api://GUID/access_as_user",
            |scope| public_uri(scope) && scope.contains('/'),
        );

        /// URL of the API. The site sends access tokens there, so it must be HTTPS or on this machine; in development, any
        /// host.
        #[alias(API_BASE_URL)]
        pub api_base_url: Url = default_api_base_url(), only(A_USABLE_URL, move |url| usable_url(environment, url));

        /// Timeout of one request to the API.
        #[key(api_timeout_seconds)]
        pub api_timeout: Duration = Duration::from_secs(10), seconds(1..=120);

        /// PEM file with the certificates to trust for `client.api_base_url`, in addition to the system's and those of
        /// `entra.ca_file`: for an API whose certificate is from a private CA.
        pub api_ca_file: Option<PathBuf> = None;

        /// PFX file, or PEM file with the certificate and its private key, with which the site identifies itself to an API
        /// that has `server.tls.client_ca`. A replaced file is loaded without a restart. Not the certificate for Entra ID,
        /// though it may be the same file.
        pub api_tls_cert_path: Option<PathBuf> = None;

        /// PEM file with the private key, if it is not in `client.api_tls_cert_path`.
        pub api_tls_key_path: Option<PathBuf> = None;

        /// Decrypts an encrypted key of `client.api_tls_cert_path`. Secret.
        pub api_tls_key_passphrase: Option<SecretString> = None;

        /// File with the passphrase, instead of `client.api_tls_key_passphrase`.
        pub api_tls_key_passphrase_file: Option<PathBuf> = None, secret_file;

        /// Encrypts the cookies: 32 random characters or more, such as `openssl rand -base64 48` prints. An array of such keys:
        /// the first encrypts, all of them decrypt. In production, a key that can be guessed (words, keyboard rows,
        /// repetition) is rejected. Secret.
        #[key(cookie_key)]
        #[alias(FLASK_SECRET_KEY)]
        pub cookie_keys: Vec<SecretString> = Vec::new(), cookie_keys::given;

        /// File with the cookie key, instead of `client.cookie_key`. It may hold several keys, one per line.
        pub cookie_key_file: Option<PathBuf> = None, secret_file;

        /// An unused session ends after this time.
        #[key(session_idle_minutes)]
        pub session_idle: Duration = Duration::from_hours(1), minutes(1..=10_080);

        /// Every session ends after this time.
        #[key(session_max_hours)]
        pub session_max: Duration = Duration::from_hours(12), hours(1..=720);

        /// Most sessions in memory (not in Redis). Beyond it, the least recently used session ends.
        pub max_sessions: u64 = 10_000, number(1..=10_000_000);

        /// Most sessions of one user, one per browser, in memory and in Redis. Beyond it, the user's least recently used
        /// session ends.
        pub sessions_per_user: usize = 32, number(1..=1000);
    }
    also {
        /// The client certificate: `client.cert_path` and the related settings.
        pub certificate: CertificateSettings = CertificateSettings::default();
    }
}

impl ClientSettings {
    /// What the site can authenticate with, in order of preference. `client.cert_path` and the related settings make a list
    /// of one.
    pub fn credentials(&self) -> Vec<CredentialSettings> {
        match &*self.credential {
            [] if self.certificate.is_given() => vec![CredentialSettings::File(self.certificate.clone())],
            list => list.to_vec(),
        }
    }

    /// The certificate with which the site identifies itself to the API, if it has one.
    pub fn api_tls_certificate(&self) -> Option<CertificateSettings> {
        self.api_tls_cert_path.as_ref().map(|path| CertificateSettings {
            path: Some(path.clone()),
            key_path: self.api_tls_key_path.clone(),
            key_passphrase: self.api_tls_key_passphrase.clone(),
            key_passphrase_file: self.api_tls_key_passphrase_file.clone(),
            ..CertificateSettings::default()
        })
    }

    /// A certificate with at most this many days left expires soon: the days of the first warning.
    pub fn soon_days(&self) -> i64 {
        self.expiry_warning_days.iter().max().copied().map_or(0, i64::from)
    }

    /// Reads the section, and checks the settings that depend on each other.
    pub(super) fn load(loader: &mut Loader, environment: Environment) -> Self {
        let mut settings = Self::read(loader, environment);
        settings.certificate = CertificateSettings::load(loader);
        settings.cookie_keys = cookie_keys::resolve(
            loader,
            environment,
            settings.cookie_keys,
            settings.cookie_key_file.as_deref(),
        );
        if settings.credential.is_empty() {
            settings.certificate.find_in(&settings.cert_folder, loader);
        }
        settings.check_api_tls(loader);
        if settings.certificate.is_given() && !settings.credential.is_empty() {
            loader.reject(
                "client.credential",
                "is set together with client.cert_path or client.cert_base64",
                "put the file into an entry with source = \"file\", or remove client.credential",
            );
        }
        if let (Some(public), Some(redirect)) = (&settings.public_url, &settings.redirect_uri)
            && public.origin() != redirect.origin()
        {
            loader.reject(
                "client.redirect_uri",
                "is on another host or port than client.public_url, so the browser would not send its cookie there",
                "give both the same origin, or remove one of them",
            );
        }
        if let Some(uri) = settings.redirect_uri.as_ref().filter(|uri| !redirect_path(uri.path())) {
            let problem = format!(
                "has the path {}, where the site cannot receive the response of a sign-in",
                uri.path()
            );
            loader.reject("client.redirect_uri", &problem, A_REDIRECT_PATH);
        }
        settings
    }

    fn check_api_tls(&self, loader: &mut Loader) {
        warn_of_path(
            loader,
            "client.api_tls_key_passphrase",
            "client.api_tls_key_passphrase_file",
            self.api_tls_key_passphrase.as_ref(),
        );
        if self.api_tls_key_passphrase.is_some() && self.api_tls_key_passphrase_file.is_some() {
            loader.reject_both("client.api_tls_key_passphrase", "client.api_tls_key_passphrase_file");
        }
        if self.api_tls_key_path.is_some() && self.api_tls_cert_path.is_none() {
            loader.reject(
                "client.api_tls_key_path",
                "is set without client.api_tls_cert_path, so it has no effect",
                "set client.api_tls_cert_path to the certificate of this key, or remove this setting",
            );
        }
        if self.api_tls_cert_path.is_some() && self.api_base_url.scheme() != "https" {
            loader.reject(
                "client.api_tls_cert_path",
                "is set, but client.api_base_url is not HTTPS, so no certificate would be sent",
                "set client.api_base_url to the https URL of the API, or remove this setting",
            );
        }
    }
}

fn default_api_base_url() -> Url {
    #[expect(clippy::expect_used, reason = "a constant that every test parses")]
    Url::parse("http://localhost:8000").expect("the default API address is a URL")
}
