//! `[idp]`: the development identity provider: who can sign in, and which applications it knows.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use url::Url;

use super::{
    loader::Loader,
    quote::{quotable, secret_in_place_of_path},
    validate::{A_GUID, guid, host, plain_url, word},
    value::tables,
};

/// Which form an API's access tokens have, Entra's `accessTokenAcceptedVersion`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenVersion {
    /// Issuer `https://sts.windows.net/{tid}/`, Entra's default.
    V1,
    /// Issuer `…/v2.0`.
    #[default]
    V2,
}

/// A user of the development identity provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdpUser {
    /// Object id, a GUID.
    pub oid: String,
    /// Display name.
    pub name: String,
    /// E-mail address, also the user principal name.
    pub email: String,
    /// Values of the app roles that the user has.
    #[serde(default)]
    pub roles: Vec<String>,
}

/// An app role that an API defines.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AppRole {
    /// Value that appears in `roles`.
    pub value: String,
    /// Client ids to which the role is granted as an application permission.
    #[serde(default)]
    pub granted_to: Vec<String>,
}

/// A federated credential of an app registration: tokens of this issuer, for this subject, in place of a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FederatedIdentity {
    /// `iss`; its keys are found by OpenID Connect discovery.
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

/// An app registration of the development identity provider. One that has `app_id_uri` is an API.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AppRegistration {
    /// Application (client) id, a GUID.
    pub client_id: String,
    /// Display name.
    pub name: String,
    /// PEM files whose first certificate each is registered for the application.
    pub certificates: Vec<PathBuf>,
    /// Whose tokens prove the application, too.
    pub federated_credentials: Vec<FederatedIdentity>,
    /// Entra's "Allow public client flows": the application cannot keep a key, so it proves nothing, and must use PKCE.
    pub public_client: bool,
    /// Redirect URIs, compared exactly.
    pub redirect_uris: Vec<String>,
    /// Where the browser may be sent after sign-out.
    pub post_logout_redirect_uris: Vec<String>,
    /// Front-channel logout URL.
    pub front_channel_logout_uri: Option<String>,
    /// App ID URI, for an API.
    pub app_id_uri: Option<String>,
    /// Delegated scopes that an API exposes, such as `access_as_user`.
    pub scopes: Vec<String>,
    /// App roles that an API defines.
    pub app_roles: Vec<AppRole>,
    /// Form of the access tokens issued for an API.
    pub token_version: TokenVersion,
}

tables!(IdpUser => "tables [[idp.users]] with oid, name, email and roles (in the environment: an array of objects in JSON)");
tables!(AppRegistration => "tables [[idp.apps]] (in the environment: an array of objects in JSON)");

/// `[idp]`.
#[derive(Debug, Clone)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a setting of its own, and any combination is meaningful"
)]
pub struct IdpSettings {
    /// `idp.host`: address to listen on; loopback unless `--i-know-this-is-not-a-real-identity-provider` is given.
    pub host: String,
    /// `idp.port`; 0 picks a free one.
    pub port: u16,
    /// `idp.tenant_id`: the tenant it plays, a GUID.
    pub tenant_id: String,
    /// `idp.domain`: the tenant's domain name, taken in URLs in place of the GUID.
    pub domain: String,
    /// `idp.strict`: demand the best form of a client assertion, not just one that Entra takes.
    pub strict: bool,
    /// `idp.require_pkce`: refuse an authorization request without `code_challenge`.
    pub require_pkce: bool,
    /// `idp.access_token_seconds`: how long access tokens live.
    pub access_token_seconds: u64,
    /// `idp.tls`: serve HTTPS with a certificate for localhost under a CA made once in `state_dir`.
    pub tls: bool,
    /// `idp.state_dir`: folder of the signing keys, and with `tls` of the CA and the localhost certificate.
    pub state_dir: PathBuf,
    /// `idp.signing_keys_file`: the private keys that sign tokens, kept over a restart, mode 0600. When not set, `serve-idp`
    /// keeps them in `idp-signing-keys.json` in `state_dir`, and a server made in code in memory.
    pub signing_keys_file: Option<PathBuf>,
    /// `[[idp.users]]`: who can sign in.
    pub users: Vec<IdpUser>,
    /// `[[idp.apps]]`: the app registrations.
    pub apps: Vec<AppRegistration>,
    /// `--i-know-this-is-not-a-real-identity-provider`: listen beyond loopback all the same. A flag, never a file's key.
    pub allow_remote: bool,
}

/// Name of the file of signing keys in `idp.state_dir`, unless `idp.signing_keys_file` names another.
pub const SIGNING_KEYS_FILE: &str = "idp-signing-keys.json";

/// Tenant that the look-alike plays unless told otherwise.
pub const DEV_TENANT_ID: &str = "11111111-2222-4333-8444-555555555555";
/// Client id of the web site in the look-alike's default registrations.
pub const DEV_CLIENT_ID: &str = "c11e0000-0000-4000-8000-000000005000";
/// Client id of the API in the look-alike's default registrations.
pub const DEV_API_ID: &str = "a9100000-0000-4000-8000-000000008000";

impl IdpSettings {
    pub(super) fn read(loader: &mut Loader) -> Self {
        let default = Self::default();
        let settings = Self {
            host: loader.get_if("idp.host", default.host, "an IP address or a host name", |name| {
                host(name)
            }),
            port: loader.get("idp.port", default.port),
            tenant_id: loader.get_if("idp.tenant_id", default.tenant_id, A_GUID, |id| guid(id)),
            domain: loader.get_if(
                "idp.domain",
                default.domain,
                "a domain name such as contoso.example",
                |name| host(name) && name.contains('.'),
            ),
            strict: loader.get("idp.strict", default.strict),
            require_pkce: loader.get("idp.require_pkce", default.require_pkce),
            access_token_seconds: loader.get_if(
                "idp.access_token_seconds",
                default.access_token_seconds,
                "a whole number of seconds from 1 to 100800",
                |seconds| (1..=MAX_TOKEN_SECONDS).contains(seconds),
            ),
            tls: loader.get("idp.tls", default.tls),
            state_dir: loader.get("idp.state_dir", default.state_dir),
            signing_keys_file: loader.get("idp.signing_keys_file", default.signing_keys_file),
            users: loader.get("idp.users", default.users),
            apps: loader.get("idp.apps", default.apps),
            allow_remote: default.allow_remote,
        };
        if let Some(problem) = wrong_user(&settings.users) {
            loader.refuse(
                "idp.users",
                &problem,
                "give each user an oid of its own (a GUID), a name and an e-mail address",
            );
        }
        if let Some(problem) = wrong_app(&settings.apps) {
            loader.refuse(
                "idp.apps",
                &problem,
                "give each app a client_id of its own (a GUID), and URIs as registered",
            );
        }
        settings
    }
}

/// Entra's own longest: 28 hours, under continuous access evaluation.
const MAX_TOKEN_SECONDS: u64 = 28 * 3600;

fn wrong_user(users: &[IdpUser]) -> Option<String> {
    if users.is_empty() {
        return Some("is empty: nobody could sign in".to_owned());
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

fn wrong_app(apps: &[AppRegistration]) -> Option<String> {
    apps.iter().enumerate().find_map(|(n, app)| {
        let id = &app.client_id;
        let uris = app
            .redirect_uris
            .iter()
            .chain(&app.post_logout_redirect_uris)
            .chain(&app.front_channel_logout_uri);
        let wrong_uri = |text: &&String| !Url::parse(text).is_ok_and(|url| plain_url(&url));
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
                "has an app {id} with a certificate's content in place of the path of its file"
            ))
        } else if apps
            .iter()
            .take(n)
            .any(|other| other.client_id.eq_ignore_ascii_case(id))
        {
            Some(format!("has the client_id {id} twice"))
        } else {
            uris.clone().find(wrong_uri).map(|uri| {
                format!(
                    "has an app {id} whose URI {:?} is not an http or https URL",
                    quotable(uri)
                )
            })
        }
    })
}

impl Default for IdpSettings {
    fn default() -> Self {
        let user = |n: u32, name: &str, email: &str, roles: &[&str]| IdpUser {
            oid: format!("0a11ce00-0000-4000-8000-{n:012}"),
            name: name.to_owned(),
            email: email.to_owned(),
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        };
        let role = |value: &str| AppRole {
            value: value.to_owned(),
            granted_to: Vec::new(),
        };
        Self {
            host: "127.0.0.1".to_owned(),
            port: 9000,
            tenant_id: DEV_TENANT_ID.to_owned(),
            domain: "contoso.example".to_owned(),
            strict: false,
            require_pkce: false,
            access_token_seconds: 3600,
            tls: false,
            state_dir: PathBuf::from(".blogctl"),
            signing_keys_file: None,
            users: vec![
                user(1, "Alice Archer", "alice@contoso.example", &["Blog.Writer"]),
                user(2, "Bob Brandt", "bob@contoso.example", &["Blog.Writer"]),
                user(3, "Chiara Conti", "chiara@contoso.example", &["Blog.Admin"]),
                user(4, "Dana Dorn", "dana@contoso.example", &["Blog.Reader"]),
            ],
            apps: vec![
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
            ],
            allow_remote: false,
        }
    }
}
