//! An emulator with a few applications, a browser that signs in there, and a client that requests tokens.

use std::fs;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use blogctl::{
    config::{AppRegistration, AppRole, DEV_API_ID, DEV_CLIENT_ID, DEV_TENANT_ID, Settings, TokenVersion},
    serve,
};
use serde_json::{Map, Value};
use tempfile::TempDir;
use url::Url;

use super::client_assertion::{Assertion, Identity, expired, not_yet_valid, of_other_client, registered};
use crate::support::{
    cookie_jar::CookieJar,
    idp::{IdpControl, agent},
    system::TestServer,
};

pub const SITE: &str = DEV_CLIENT_ID;
pub const OTHER_SITE: &str = "c11e0000-0000-4000-8000-000000006000";
pub const PUBLIC_CLIENT: &str = "c11e0000-0000-4000-8000-000000007000";
pub const OLD_API: &str = "a9100000-0000-4000-8000-000000009000";
pub const CALLBACK: &str = "http://localhost:5000/callback";
pub const SECOND_CALLBACK: &str = "http://localhost:5000/second?kept=1";
pub const AFTER_SIGN_OUT: &str = "http://localhost:5000/";
pub const VERIFIER: &str = "a-code-verifier-of-the-tests-0123456789-0123456789";
pub const SCOPE: &str = "openid profile offline_access api://a9100000-0000-4000-8000-000000008000/access_as_user";

/// A running emulator, stopped when dropped.
pub struct Provider {
    pub server: TestServer,
    pub control: IdpControl,
    pub settings: Settings,
    folder: TempDir,
}

impl Provider {
    /// In strict mode, as for our own client.
    pub fn start() -> Self {
        Self::with(|_| {})
    }

    /// Accepts what Entra ID accepts.
    pub fn lenient() -> Self {
        Self::with(|settings| settings.idp.strict = false)
    }

    pub fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let listener = serve::listen("127.0.0.1", 0).expect("a free port");
        let mut settings = Settings::default();
        settings.idp.strict = true;
        folder.path().clone_into(&mut settings.idp.state_dir);
        settings.idp.apps = apps(&folder);
        change(&mut settings);
        let server = TestServer::idp(listener, settings.clone());
        let control = if settings.idp.tls {
            IdpControl::over_https(&server)
        } else {
            IdpControl::new(&server)
        };
        Self {
            server,
            control,
            settings,
            folder,
        }
    }

    /// The folder with its state and the registered certificates.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// A URL below the tenant.
    pub fn url(&self, path: &str) -> String {
        self.server.url(&format!("/{DEV_TENANT_ID}/{path}"))
    }

    pub fn issuer(&self) -> String {
        self.url("v2.0")
    }

    pub fn get(&self, path: &str) -> Response {
        Response::new(agent().get(self.url(path)).call())
    }

    /// A valid assertion of the site.
    pub fn assertion(&self) -> Assertion {
        Assertion::good(SITE, &self.url("oauth2/v2.0/token"))
    }

    /// Requests tokens with these fields.
    pub fn token(&self, fields: &[(&str, &str)]) -> Response {
        Response::new(
            agent()
                .post(self.url("oauth2/v2.0/token"))
                .send_form(fields.iter().copied()),
        )
    }

    /// Requests tokens as the site, with a new assertion.
    pub fn token_as_site(&self, fields: &[(&str, &str)]) -> Response {
        self.token_with(&self.assertion().sign(), fields)
    }

    /// Requests tokens as the site, with this assertion.
    pub fn token_with(&self, assertion: &str, fields: &[(&str, &str)]) -> Response {
        self.token_of(SITE, assertion, fields)
    }

    /// Requests tokens as any client, with this assertion.
    pub fn token_of(&self, client_id: &str, assertion: &str, fields: &[(&str, &str)]) -> Response {
        let credential = [
            ("client_id", client_id),
            (
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            ),
            ("client_assertion", assertion),
        ];
        self.token(&[&credential, fields].concat())
    }

    /// Requests an app-only token for the API: the shortest way to verify an assertion.
    pub fn token_for_app(&self, assertion: &str) -> Response {
        let scope = format!("api://{DEV_API_ID}/.default");
        self.token_with(assertion, &[("grant_type", "client_credentials"), ("scope", &scope)])
    }

    /// Signs Alice in to the site in a new browser, and returns the code.
    pub fn code(&self) -> String {
        self.code_for(&[])
    }

    /// Like [`Self::code`], with parameters of the authorization request added or replaced.
    pub fn code_for(&self, changes: &[(&str, &str)]) -> String {
        Browser::new(self)
            .sign_in("alice@contoso.example", changes)
            .parameter("code")
            .expect("a code")
    }

    /// Redeems a code, with fields added or replaced.
    pub fn redeem(&self, code: &str, changes: &[(&str, &str)]) -> Response {
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", CALLBACK),
            ("code_verifier", VERIFIER),
        ];
        self.token_as_site(&changed(&fields, changes))
    }

    /// Verifies a token with the published keys, and returns its header and claims.
    pub fn verified(&self, token: &str) -> (Map<String, Value>, Map<String, Value>) {
        let keys = self.get("discovery/v2.0/keys").json();
        verify(token, &keys)
    }
}

/// The fields, with some replaced, added or (if empty) removed.
pub fn changed<'a>(fields: &[(&'a str, &'a str)], changes: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let is_changed = |name: &str| changes.iter().any(|(changed, _)| *changed == name);
    let kept = fields.iter().filter(|(name, _)| !is_changed(name));
    kept.chain(changes.iter().filter(|(_, value)| !value.is_empty()))
        .copied()
        .collect()
}

/// Header and claims of a token, after OpenSSL has verified its RS256 signature with one of these keys.
pub fn verify(token: &str, keys: &Value) -> (Map<String, Value>, Map<String, Value>) {
    use openssl::{bn::BigNum, hash::MessageDigest, pkey::PKey, rsa::Rsa, sign::Verifier};
    let (input, signature) = token.rsplit_once('.').expect("three parts");
    let (header, claims) = input.split_once('.').expect("three parts");
    let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).expect("base64url");
    let header: Map<String, Value> = serde_json::from_slice(&decode(header)).expect("a header");
    assert_eq!(header["alg"], "RS256");
    let key = keys["keys"]
        .as_array()
        .expect("keys")
        .iter()
        .find(|key| key["kid"] == header["kid"])
        .expect("the key");
    let number = |name: &str| BigNum::from_slice(&decode(key[name].as_str().expect("text"))).expect("a number");
    let key = Rsa::from_public_components(number("n"), number("e"))
        .and_then(PKey::from_rsa)
        .expect("a key");
    let mut verifier = Verifier::new(MessageDigest::sha256(), &key).expect("a verifier");
    assert!(
        verifier
            .verify_oneshot(&decode(signature), input.as_bytes())
            .expect("a verdict"),
        "the signature holds"
    );
    (header, serde_json::from_slice(&decode(claims)).expect("claims"))
}

/// A complete response.
#[derive(Debug)]
pub struct Response {
    pub status: u16,
    pub headers: ureq::http::HeaderMap,
    pub text: String,
}

impl Response {
    pub fn new(answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Self {
        let mut answer = answer.expect("an answer");
        let text = answer.body_mut().read_to_string().expect("text");
        Self {
            status: answer.status().as_u16(),
            headers: answer.headers().clone(),
            text,
        }
    }

    pub fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map(|value| value.to_str().expect("text"))
            .unwrap_or_default()
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub fn text_of(&self, field: &str) -> String {
        self.json()[field]
            .as_str()
            .unwrap_or_else(|| panic!("no {field}: {}", self.text))
            .to_owned()
    }

    /// The AADSTS code of the error; 0 if there is none.
    pub fn code(&self) -> u64 {
        self.json()["error_codes"][0].as_u64().unwrap_or(0)
    }

    /// The target of a redirect.
    pub fn location(&self) -> Url {
        assert_eq!(self.status, 303, "{}", self.text);
        Url::parse(self.header("Location")).expect("a URL")
    }

    /// A query parameter of the redirect target.
    pub fn parameter(&self, name: &str) -> Option<String> {
        self.location()
            .query_pairs()
            .find(|(own, _)| own == name)
            .map(|(_, value)| value.into_owned())
    }
}

/// A browser that stores cookies and submits forms, but follows no redirects.
pub struct Browser<'a> {
    provider: &'a Provider,
    agent: ureq::Agent,
    jar: CookieJar,
}

impl<'a> Browser<'a> {
    pub fn new(provider: &'a Provider) -> Self {
        Self {
            provider,
            agent: agent(),
            jar: CookieJar::default(),
        }
    }

    /// The URL of an authorization request of the site, with parameters added or replaced.
    pub fn authorize_url(&self, changes: &[(&str, &str)]) -> String {
        let challenge = URL_SAFE_NO_PAD.encode(openssl::sha::sha256(VERIFIER.as_bytes()));
        let parameters = [
            ("client_id", SITE),
            ("response_type", "code"),
            ("redirect_uri", CALLBACK),
            ("scope", SCOPE),
            ("state", "the state"),
            ("nonce", "the nonce"),
            ("code_challenge", &challenge),
            ("code_challenge_method", "S256"),
        ];
        let url = self.provider.url("oauth2/v2.0/authorize");
        Url::parse_with_params(&url, changed(&parameters, changes))
            .expect("a URL")
            .into()
    }

    pub fn get(&self, url: &str) -> Response {
        self.keeping(self.agent.get(url).header("Cookie", self.jar.header()).call())
    }

    /// Submits a form with these headers.
    pub fn post(&self, url: &str, headers: &[(&str, &str)], form: &[(&str, &str)]) -> Response {
        let request = self.agent.post(url).header("Cookie", self.jar.header());
        let request = headers
            .iter()
            .fold(request, |request, (name, value)| request.header(*name, *value));
        self.keeping(request.send_form(form.iter().copied()))
    }

    fn keeping(&self, answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Response {
        let answer = Response::new(answer);
        self.jar.store_from(&answer.headers);
        answer
    }

    pub fn authorize(&self, changes: &[(&str, &str)]) -> Response {
        self.get(&self.authorize_url(changes))
    }

    /// Submits the form of the account picker with one more field, as its buttons do.
    pub fn submit(&self, page: &Response, name: &str, value: &str) -> Response {
        let action = self
            .provider
            .server
            .url(&unescape(between(&page.text, "action=\"", "\"")));
        let token = between(&page.text, "name=\"form_token\" value=\"", "\"");
        self.post(&action, &[], &[("form_token", token), (name, value)])
    }

    /// Opens the account picker, and picks the user with this email address by the button's object id.
    pub fn sign_in(&self, email: &str, changes: &[(&str, &str)]) -> Response {
        let page = self.authorize(changes);
        assert_eq!(page.status, 200, "{}", page.text);
        let user = self
            .provider
            .settings
            .idp
            .users
            .iter()
            .find(|user| user.email == email)
            .expect("a user");
        assert!(
            page.text
                .contains(&format!("value=\"{}\" data-user=\"{email}\"", user.oid)),
            "{}",
            page.text
        );
        self.submit(&page, "oid", &user.oid)
    }

    pub fn log_out(&self, parameters: &[(&str, &str)]) -> Response {
        let url = self.provider.url("oauth2/v2.0/logout");
        self.get(Url::parse_with_params(&url, parameters).expect("a URL").as_str())
    }
}

pub fn between<'a>(text: &'a str, start: &str, end: &str) -> &'a str {
    let (_, rest) = text.split_once(start).unwrap_or_else(|| panic!("no {start} in {text}"));
    rest.split_once(end).expect("its end").0
}

/// Decodes an HTML attribute value as a browser does.
fn unescape(text: &str) -> String {
    [
        ("&#x2F;", "/"),
        ("&#x27;", "'"),
        ("&#39;", "'"),
        ("&quot;", "\""),
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&amp;", "&"),
    ]
    .iter()
    .fold(text.to_owned(), |text, (entity, character)| {
        text.replace(entity, character)
    })
}

fn apps(folder: &TempDir) -> Vec<AppRegistration> {
    let file = |identity: &Identity, name: &str| {
        let path = folder.path().join(name);
        fs::write(&path, identity.pem()).expect("written");
        path
    };
    vec![
        AppRegistration {
            client_id: SITE.to_owned(),
            name: "The <Site>".to_owned(),
            certificates: vec![
                file(registered(), "site.pem"),
                file(expired(), "expired.pem"),
                file(not_yet_valid(), "not-yet-valid.pem"),
            ],
            redirect_uris: vec![CALLBACK.to_owned(), SECOND_CALLBACK.to_owned()],
            post_logout_redirect_uris: vec![AFTER_SIGN_OUT.to_owned()],
            ..AppRegistration::default()
        },
        AppRegistration {
            client_id: OTHER_SITE.to_owned(),
            name: "Another site".to_owned(),
            certificates: vec![file(of_other_client(), "other.pem")],
            redirect_uris: vec!["http://localhost:6000/callback".to_owned()],
            post_logout_redirect_uris: vec!["http://localhost:6000/".to_owned()],
            front_channel_logout_uri: Some("http://localhost:6000/front-channel?a=b".to_owned()),
            app_roles: vec![AppRole {
                value: "Blog.Writer".to_owned(),
                granted_to: Vec::new(),
            }],
            ..AppRegistration::default()
        },
        AppRegistration {
            client_id: PUBLIC_CLIENT.to_owned(),
            name: "A command line tool".to_owned(),
            public_client: true,
            redirect_uris: vec!["http://localhost:7000/".to_owned()],
            ..AppRegistration::default()
        },
        AppRegistration {
            client_id: DEV_API_ID.to_owned(),
            name: "The API".to_owned(),
            app_id_uri: Some(format!("api://{DEV_API_ID}")),
            scopes: vec!["access_as_user".to_owned(), "posts.read".to_owned()],
            app_roles: vec![
                AppRole {
                    value: "Blog.Writer".to_owned(),
                    granted_to: Vec::new(),
                },
                AppRole {
                    value: "Posts.Read.All".to_owned(),
                    granted_to: vec![SITE.to_owned()],
                },
            ],
            ..AppRegistration::default()
        },
        AppRegistration {
            client_id: OLD_API.to_owned(),
            name: "An older API".to_owned(),
            app_id_uri: Some("api://older".to_owned()),
            scopes: vec!["use".to_owned()],
            token_version: TokenVersion::V1,
            ..AppRegistration::default()
        },
    ]
}
