//! `[idp]`: the Entra ID emulator for development: its users and app registrations.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    loader::Loader,
    quote::{quotable, secret_in_place_of_path},
    rules::{between, optional_url, text},
    section::section,
    validate::{self, A_GUID, A_HOST, guid, host, origin, plain_url, word},
    value::tables,
};

/// Version of the access tokens that an API accepts, `accessTokenAcceptedVersion` in Entra ID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenVersion {
    /// Issuer `https://sts.windows.net/{tid}/`, the default of Entra ID.
    V1,
    /// Issuer `…/v2.0`.
    #[default]
    V2,
}

/// A user of the emulator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdpUser {
    /// Object ID, a GUID.
    pub oid: String,
    /// Display name, the `name` claim of tokens.
    pub name: String,
    /// E-mail address, also the user principal name.
    pub email: String,
    /// Values of the user's app roles.
    #[serde(default)]
    pub roles: Vec<String>,
}

/// An app role that an API defines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppRole {
    /// The value in the `roles` claim.
    pub value: String,
    /// Client IDs that have the role as an application permission.
    #[serde(default)]
    pub granted_to: Vec<String>,
}

/// A federated credential of an app registration: the app authenticates with tokens of this issuer instead of a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FederatedIdentity {
    /// `iss`. OpenID Connect discovery returns its keys.
    pub issuer: String,
    /// `sub`, such as `system:serviceaccount:NAMESPACE:NAME`.
    pub subject: String,
    /// `aud`.
    #[serde(default = "token_exchange")]
    pub audience: String,
}

fn token_exchange() -> String {
    "api://AzureADTokenExchange".to_owned()
}

/// An app registration of the emulator. An app with `app_id_uri` is an API.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AppRegistration {
    /// Application (client) ID, a GUID.
    pub client_id: String,
    /// Display name, as on sign-in pages.
    pub name: String,
    /// PEM files; the first certificate in each is registered for the app.
    pub certificates: Vec<PathBuf>,
    /// Issuers and subjects of tokens with which the app can authenticate as well.
    pub federated_credentials: Vec<FederatedIdentity>,
    /// "Allow public client flows" in Entra ID: the app cannot keep a key, so it does not authenticate, and must use PKCE.
    pub public_client: bool,
    /// Redirect URIs. A request must match one exactly.
    pub redirect_uris: Vec<String>,
    /// Where a browser may be redirected after sign-out.
    pub post_logout_redirect_uris: Vec<String>,
    /// The emulator loads this URL in the browser at sign-out.
    pub front_channel_logout_uri: Option<String>,
    /// App ID URI, for an API.
    pub app_id_uri: Option<String>,
    /// Delegated scopes that an API exposes, such as `access_as_user`.
    pub scopes: Vec<String>,
    /// App roles that an API defines.
    pub app_roles: Vec<AppRole>,
    /// Version of the access tokens for the API.
    pub token_version: TokenVersion,
}

tables!(IdpUser => "tables [[idp.users]] with oid, name, email and roles (in the environment: an array of objects in JSON)");
tables!(AppRegistration => "tables [[idp.apps]] (in the environment: an array of objects in JSON)");

section! {
    /// The Entra ID emulator for development, `blogctl serve-idp`. Never let a production system trust it.
    #[derive(Debug, Clone)]
    pub struct IdpSettings = "idp" {
        /// Address that the emulator listens on. Any address but loopback needs the flag
        /// `--i-know-this-is-not-a-real-identity-provider`.
        pub host: String = "127.0.0.1".to_owned(), text(A_HOST, host);

        /// Port that the emulator listens on. 0 picks a free one.
        pub port: u16 = 9000;

        /// Base URL at which site and API reach the emulator, such as `http://idp:9000` for a container of that name, if it is
        /// not `http://localhost:{port}`. Tokens are issued in this name, so it must equal their `entra.authority_host`.
        /// Browsers still use localhost.
        pub server_url: Option<Url> = None, optional_url("an http or https URL with nothing after host and port", origin);

        /// ID of the tenant that it emulates, a GUID.
        pub tenant_id: String = DEV_TENANT_ID.to_owned(), text(A_GUID, guid);

        /// Domain name of the tenant. URLs may contain it instead of the GUID.
        pub domain: String = "contoso.example".to_owned(), text("a domain name such as contoso.example", |name| {
            validate::host(name) && name.contains('.')
        });

        /// Require the best form of a client assertion, not just one that Entra ID accepts.
        pub strict: bool = false;

        /// Reject an authorization request without `code_challenge` (PKCE).
        pub require_pkce: bool = false;

        /// Lifetime of access tokens, in seconds. At most 28 hours, the longest that Entra ID issues, under continuous access
        /// evaluation.
        pub access_token_seconds: u64 = 3600, between("a whole number of seconds", 1..=MAX_TOKEN_SECONDS);

        /// Serve HTTPS, with a certificate for localhost. The emulator creates the CA for it once, in `idp.state_dir`.
        pub tls: bool = false;

        /// Folder of the signing keys, and of the CA and the certificate of `idp.tls`.
        pub state_dir: PathBuf = PathBuf::from(".blogctl");

        /// File with the private keys that sign tokens, so that they survive a restart; mode 0600. Default:
        /// `idp-signing-keys.json` in `idp.state_dir`. It is used only if no other account may read or write it. If it is
        /// damaged, `serve-idp` reports that and does not start.
        pub signing_keys_file: Option<PathBuf> = None;

        /// Who can sign in: `oid` (object ID, a GUID), `name`, `email`, and `roles` (values of app roles). If you list your
        /// own users, these four are gone.
        pub users: Vec<IdpUser> = default_users();

        /// App registrations. If you list your own, these two are gone. `certificates`: PEM files whose first certificate is
        /// registered. `federated_credentials`: `issuer`, `subject`, `audience`. `public_client`: the app has no credential
        /// and must use PKCE. `redirect_uris`, `post_logout_redirect_uris`, and `front_channel_logout_uri`, which is called at
        /// sign-out. An app with `app_id_uri` is an API: it can have `scopes`, `app_roles` (`value`, and `granted_to`, the client
        /// IDs that have the role as an application permission) and `token_version` (`v1` or `v2`).
        pub apps: Vec<AppRegistration> = default_apps();
    }
    also {
        /// Listen on other addresses than loopback: `--i-know-this-is-not-a-real-identity-provider`. Only a flag, never a
        /// setting in a file.
        pub allow_remote: bool = false;
    }
}

fn default_users() -> Vec<IdpUser> {
    let user = |n: u32, name: &str, email: &str, roles: &[&str]| IdpUser {
        oid: format!("0a11ce00-0000-4000-8000-{n:012}"),
        name: name.to_owned(),
        email: email.to_owned(),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
    };
    vec![
        user(1, "Alice Archer", "alice@contoso.example", &["Blog.Writer"]),
        user(2, "Bob Brandt", "bob@contoso.example", &["Blog.Writer"]),
        user(3, "Chiara Conti", "chiara@contoso.example", &["Blog.Admin"]),
        user(4, "Dana Dorn", "dana@contoso.example", &["Blog.Reader"]),
    ]
}

fn default_apps() -> Vec<AppRegistration> {
    let role = |value: &str| AppRole {
        value: value.to_owned(),
        granted_to: Vec::new(),
    };
    vec![
        AppRegistration {
            client_id: DEV_CLIENT_ID.to_owned(),
            name: "Blog (web site)".to_owned(),
            certificates: vec![PathBuf::from(".blogctl/client-cert.pem")],
            redirect_uris: vec!["http://localhost:5000/callback".to_owned()],
            post_logout_redirect_uris: vec!["http://localhost:5000/".to_owned()],
            ..AppRegistration::default()
        },
        AppRegistration {
            client_id: DEV_API_ID.to_owned(),
            name: "Blog (API)".to_owned(),
            app_id_uri: Some(format!("api://{DEV_API_ID}")),
            scopes: vec!["access_as_user".to_owned()],
            app_roles: ["Blog.Reader", "Blog.Writer", "Blog.Admin"].map(role).to_vec(),
            token_version: TokenVersion::V2,
            ..AppRegistration::default()
        },
    ]
}

/// File name of the signing keys in `idp.state_dir`, unless `idp.signing_keys_file` is set.
pub const SIGNING_KEYS_FILE: &str = "idp-signing-keys.json";

/// Default tenant of the emulator.
pub const DEV_TENANT_ID: &str = "11111111-2222-4333-8444-555555555555";
/// Client ID of the web site in the emulator's default app registrations.
pub const DEV_CLIENT_ID: &str = "c11e0000-0000-4000-8000-000000005000";
/// Client ID of the API in the emulator's default app registrations.
pub const DEV_API_ID: &str = "a9100000-0000-4000-8000-000000008000";

impl IdpSettings {
    /// Reads the section, and checks users and apps.
    pub(super) fn load(loader: &mut Loader) -> Self {
        let settings = Self::read(loader);
        if let Some(problem) = invalid_user(&settings.users) {
            loader.reject(
                "idp.users",
                &problem,
                "give each user a unique oid (a GUID), a name and a unique e-mail address",
            );
        }
        if let Some(problem) = invalid_app(&settings.apps) {
            loader.reject(
                "idp.apps",
                &problem,
                "give each app a unique client_id (a GUID), and URIs as registered",
            );
        }
        settings
    }
}

/// 28 hours: the longest lifetime that Entra ID issues, under continuous access evaluation.
const MAX_TOKEN_SECONDS: u64 = 28 * 3600;

fn invalid_user(users: &[IdpUser]) -> Option<String> {
    if users.is_empty() {
        return Some("is empty, so that no user could sign in".to_owned());
    }
    users.iter().enumerate().find_map(|(n, user)| {
        let (oid, name) = (&user.oid, &user.name);
        let twice =
            |other: &IdpUser| other.oid.eq_ignore_ascii_case(oid) || other.email.eq_ignore_ascii_case(&user.email);
        if !guid(oid) {
            Some(format!(
                "has a user {:?} whose oid {:?} is not a GUID",
                quotable(name),
                quotable(oid)
            ))
        } else if name.trim().is_empty() || !word(&user.email) {
            Some(format!("has a user {oid} without a name or an e-mail address"))
        } else if users.iter().take(n).any(twice) {
            Some(format!(
                "has the oid or the e-mail address of {:?} twice",
                quotable(name)
            ))
        } else {
            None
        }
    })
}

fn invalid_app(apps: &[AppRegistration]) -> Option<String> {
    apps.iter().enumerate().find_map(|(n, app)| {
        let id = &app.client_id;
        let uris = app
            .redirect_uris
            .iter()
            .chain(&app.post_logout_redirect_uris)
            .chain(&app.front_channel_logout_uri);
        let is_invalid_uri = |text: &&String| !Url::parse(text).is_ok_and(|url| plain_url(&url));
        if !guid(id) {
            Some(format!(
                "has an app {:?} whose client_id {:?} is not a GUID",
                quotable(&app.name),
                quotable(id)
            ))
        } else if app.certificates.iter().any(|path| {
            path.to_str()
                .is_some_and(|text| secret_in_place_of_path(text).is_some())
        }) {
            Some(format!(
                "has an app {id} with the content of a certificate instead of the path of its file"
            ))
        } else if apps
            .iter()
            .take(n)
            .any(|other| other.client_id.eq_ignore_ascii_case(id))
        {
            Some(format!("has the client_id {id} twice"))
        } else {
            uris.clone().find(is_invalid_uri).map(|uri| {
                format!(
                    "has an app {id} whose URI {:?} is not an http or https URL",
                    quotable(uri)
                )
            })
        }
    })
}
