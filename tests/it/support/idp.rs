//! Controls the identity provider through its `/_control/` interface: mints valid and invalid tokens, rotates keys, makes it
//! fail.
//!
//! ```ignore
//! let control = IdpControl::new(&system.idp);
//! control.fail_next(1, 700_027);                                // the next token request is rejected
//! let token = control.token().user(BOB).without_claim("name").mint();
//! ```

use std::time::Duration;

use blogctl::config::{DEV_API_ID, DEV_CLIENT_ID};
use serde_json::{Map, Value, json};

use super::{stall::patiently, system::TestServer};

/// Commands one identity provider.
pub struct IdpControl {
    base: String,
    agent: ureq::Agent,
}

impl IdpControl {
    pub fn new(idp: &TestServer) -> Self {
        Self::at(&idp.url(""))
    }

    /// For a provider in another process, by its base URL.
    pub fn at(base_url: &str) -> Self {
        Self {
            base: format!("{base_url}/_control"),
            agent: agent(),
        }
    }

    /// For a provider that serves HTTPS, without checking its certificate.
    pub fn over_https(idp: &TestServer) -> Self {
        let tls = ureq::tls::TlsConfig::builder().disable_verification(true).build();
        let agent = ureq::Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .proxy(None)
            .build()
            .into();
        Self {
            base: format!("https://localhost:{}/_control", idp.port),
            agent,
        }
    }

    /// Starts a valid token: a user's access token for the API, issued to the site, with the default registrations.
    pub fn token(&self) -> TokenBuilder<'_> {
        let request = json!({
            "client_id": DEV_CLIENT_ID,
            "scope": format!("api://{DEV_API_ID}/access_as_user"),
            "claims": {}, "remove_claims": [], "header": {}, "remove_header": [],
        });
        TokenBuilder { control: self, request }
    }

    /// Ids of the published keys; the last one signs.
    pub fn kids(&self) -> Vec<String> {
        kids(&self.send("GET", "/keys", None))
    }

    /// Switches to a new signing key, and returns its id.
    pub fn rotate_keys(&self) -> String {
        kids(&self.send("POST", "/keys/rotate", None)).pop().expect("a key")
    }

    /// Removes a key from the published ones.
    pub fn remove_key(&self, kid: &str) {
        self.send("DELETE", &format!("/keys/{kid}"), None);
    }

    /// Replaces the registered certificates (PEM) of a client.
    pub fn replace_certificates(&self, client_id: &str, certificates: &[&str]) {
        let body = json!({ "certificates": certificates });
        self.send("PUT", &format!("/apps/{client_id}/certificates"), Some(&body));
    }

    /// Like [`Self::replace_certificates`], with certificates that their issuer has revoked.
    pub fn revoke_certificates(&self, client_id: &str, certificates: &[&str]) {
        let body = json!({ "certificates": certificates, "revoked": true });
        self.send("PUT", &format!("/apps/{client_id}/certificates"), Some(&body));
    }

    /// Removes all certificates of a client.
    pub fn remove_certificates(&self, client_id: &str) {
        self.send("DELETE", &format!("/apps/{client_id}/certificates"), None);
    }

    /// Answers every request with 503.
    pub fn down(&self) {
        self.send("PUT", "/fault", Some(&json!({ "down": true })));
    }

    /// Answers requests whose path contains `path` with 503.
    pub fn down_at(&self, path: &str) {
        self.send("PUT", "/fault", Some(&json!({ "down": true, "only_path": path })));
    }

    /// Delays every response.
    pub fn slow(&self, delay: Duration) {
        self.send("PUT", "/fault", Some(&json!({ "slow_ms": delay.as_millis() })));
    }

    /// Rejects the next token requests with an AADSTS code.
    pub fn fail_next(&self, count: u32, code: u32) {
        self.send(
            "PUT",
            "/fault",
            Some(&json!({ "fail_next": { "count": count, "code": code } })),
        );
    }

    /// Ends all failures and delays.
    pub fn clear_faults(&self) {
        self.send("DELETE", "/fault", None);
    }

    /// Moves the provider's clock ahead of the machine's.
    pub fn advance_clock(&self, by: Duration) {
        self.send("PUT", "/clock", Some(&json!({ "offset_seconds": by.as_secs() })));
    }

    /// The last requests, oldest first: `method`, `path`, `query_fields`, `status`, and of token requests `form_fields`,
    /// `grant_type`, `client_id`, `scope`, `assertion_header` and `assertion_claims`.
    pub fn requests(&self) -> Vec<Value> {
        self.send("GET", "/requests", None)
            .as_array()
            .expect("an array")
            .clone()
    }

    /// The last requests whose path ends with `path`.
    pub fn requests_to(&self, path: &str) -> Vec<Value> {
        let ends = |request: &Value| request["path"].as_str().is_some_and(|own| own.ends_with(path));
        self.requests().into_iter().filter(ends).collect()
    }

    pub fn forget_requests(&self) {
        self.send("DELETE", "/requests", None);
    }

    fn send(&self, method: &str, path: &str, body: Option<&Value>) -> Value {
        let url = format!("{}{path}", self.base);
        let mut answer = patiently(&url, || {
            let request = ureq::http::Request::builder().method(method).uri(&url);
            match body {
                Some(body) => {
                    let request = request
                        .header("Content-Type", "application/json")
                        .body(body.to_string());
                    self.agent.run(request.expect("a request"))
                }
                None => self.agent.run(request.body(()).expect("a request")),
            }
        });
        let text = answer.body_mut().read_to_string().expect("text");
        assert!(
            answer.status().is_success(),
            "{method} {path}: {} {text}",
            answer.status()
        );
        if text.is_empty() {
            Value::Null
        } else {
            serde_json::from_str(&text).expect("JSON")
        }
    }
}

/// A valid token, except for what the test changes.
pub struct TokenBuilder<'a> {
    control: &'a IdpControl,
    request: Value,
}

impl TokenBuilder<'_> {
    /// Issued to another application.
    pub fn client(self, client_id: &str) -> Self {
        self.set("client_id", json!(client_id))
    }

    /// For another API, as in an authorization request.
    pub fn resource_scope(self, scope: &str) -> Self {
        self.set("scope", json!(scope))
    }

    /// For this user, by object id; by default for the first user.
    pub fn user(self, oid: &str) -> Self {
        self.set("oid", json!(oid))
    }

    /// For a user that the provider does not know.
    pub fn oid(self, oid: &str) -> Self {
        self.claim("oid", json!(oid))
    }

    /// With this `scp`, even if the API does not expose it.
    pub fn scope(self, scp: &str) -> Self {
        self.claim("scp", json!(scp))
    }

    /// For the application itself: no user, no `scp`.
    pub fn app_only(self) -> Self {
        self.set("kind", json!("app_only"))
            .set("scope", json!(format!("api://{DEV_API_ID}/.default")))
    }

    /// An ID token instead of an access token.
    pub fn id_token(self) -> Self {
        self.set("kind", json!("id"))
    }

    /// In Entra's v1 form.
    pub fn v1(self) -> Self {
        self.set("token_version", json!("v1"))
    }

    /// Expired an hour ago.
    pub fn expired(self) -> Self {
        let now = chrono::Utc::now().timestamp();
        self.claim("iat", json!(now - 7200))
            .claim("nbf", json!(now - 7200))
            .claim("exp", json!(now - 3600))
    }

    /// Valid from one hour from now.
    pub fn not_yet_valid(self) -> Self {
        let now = chrono::Utc::now().timestamp();
        self.claim("nbf", json!(now + 3600)).claim("exp", json!(now + 7200))
    }

    pub fn claim(mut self, name: &str, value: Value) -> Self {
        self.request["claims"][name] = value;
        self
    }

    pub fn without_claim(mut self, name: &str) -> Self {
        self.request["remove_claims"]
            .as_array_mut()
            .expect("an array")
            .push(json!(name));
        self
    }

    pub fn header(mut self, name: &str, value: Value) -> Self {
        self.request["header"][name] = value;
        self
    }

    pub fn without_header(mut self, name: &str) -> Self {
        self.request["remove_header"]
            .as_array_mut()
            .expect("an array")
            .push(json!(name));
        self
    }

    /// `current`, `oldest`, `foreign`, `none`, `hmac_with_public_key`, `ps256` or `rs384`.
    pub fn sign_with(self, how: &str) -> Self {
        self.set("sign_with", json!(how))
    }

    /// The token.
    pub fn mint(self) -> String {
        self.mint_with_claims().0
    }

    /// The token and its claims.
    pub fn mint_with_claims(self) -> (String, Map<String, Value>) {
        let made = self.control.send("POST", "/tokens", Some(&self.request));
        let token = made["token"].as_str().expect("a token").to_owned();
        (token, made["claims"].as_object().expect("claims").clone())
    }

    fn set(mut self, name: &str, value: Value) -> Self {
        self.request[name] = value;
        self
    }
}

/// An HTTP client that returns error responses too, and follows no redirects.
pub fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .allow_non_standard_methods(true)
        .timeout_global(Some(Duration::from_mins(1)))
        .build();
    config.into()
}

fn kids(answer: &Value) -> Vec<String> {
    let kids = answer["kids"].as_array().expect("an array");
    kids.iter().map(|kid| kid.as_str().expect("text").to_owned()).collect()
}
