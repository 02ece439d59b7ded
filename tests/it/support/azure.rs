//! A fake of Azure as its documentation describes it: the instance metadata service, the identity endpoint of App Service, a
//! key vault, and an issuer of federated tokens, all on one small server. It shares no code with the client that it tests.
//!
//! ```ignore
//! let azure = FakeAzure::start();
//! azure.put("blog-site", registered(false, false));             // a certificate whose key stays in the vault
//! azure.fail("/keys/", 1, 503, json!({}));                      // the next signature fails once
//! // … let the site sign in …
//! assert_eq!(azure.requests_to("/keys/").len(), 2);
//! ```

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, dev::ServerHandle, http::StatusCode, web};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use blogctl::serve;
use chrono::Utc;
use openssl::{
    hash::MessageDigest,
    pkey::{PKey, Private},
    rsa::Padding,
    sign::{RsaPssSaltlen, Signer},
    x509::X509,
};
use serde_json::{Value, json};
use url::Url;

use super::{
    entra::keys,
    system::{TestServer, client_certificate},
};

/// The value that App Service puts into the container.
pub const IDENTITY_HEADER: &str = "the identity header of this container";
/// Object id of the managed identity.
pub const IDENTITY: &str = "1de00000-0000-4000-8000-00000000cafe";

/// A request that the fake received.
#[derive(Debug, Clone)]
pub struct AzureRequest {
    pub method: String,
    pub path: String,
    pub query: HashMap<String, String>,
    pub token: Option<String>,
    pub metadata: Option<String>,
    pub identity_header: Option<String>,
    pub traceparent: Option<String>,
    pub body: Value,
}

/// A certificate in the vault. The vault hands out the key of an `exportable` one.
pub struct VaultCertificate {
    pub certificate: X509,
    pub key: PKey<Private>,
    pub exportable: bool,
    /// Content type `application/x-pem-file` instead of `application/x-pkcs12`.
    pub as_pem: bool,
}

/// The site's registered certificate, with its key.
pub fn registered(exportable: bool, as_pem: bool) -> VaultCertificate {
    let both = client_certificate().1.as_bytes();
    let key = PKey::private_key_from_pem(both).expect("a key");
    VaultCertificate {
        certificate: X509::from_pem(both).expect("a certificate"),
        key,
        exportable,
        as_pem,
    }
}

pub struct FakeAzure {
    pub server: TestServer,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    base: Mutex<String>,
    /// The versions `v1`, `v2` … by name.
    certificates: Mutex<HashMap<String, Vec<VaultCertificate>>>,
    /// Tokens that the vault accepts, with their resource and expiry.
    tokens: Mutex<HashMap<String, (String, i64)>>,
    /// Number of tokens issued.
    given: Mutex<usize>,
    asked: Mutex<Vec<AzureRequest>>,
    /// Number of requests with a token that the vault rejects.
    rejected: Mutex<usize>,
    failures: Mutex<Vec<Failure>>,
    /// The resource in the vault's challenge.
    resource: Mutex<Option<String>>,
    /// Lifetime of new tokens, in seconds.
    lifetime: Mutex<Option<i64>>,
    /// Delay of each response.
    delay: Mutex<Duration>,
}

/// An error response for paths that begin with `path`, and how many times it remains. The vault checks the token first.
struct Failure {
    path: String,
    times: usize,
    status: u16,
    header: (&'static str, String),
    body: Value,
}

struct Server {
    port: u16,
    task: actix_web::dev::Server,
}

impl FakeAzure {
    pub fn start() -> Self {
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        let server = TestServer::start(
            move || Server::new(shared),
            |server: &Server| (server.port, server.handle()),
            |server| server.task,
        );
        *lock(&state.base) = format!("http://localhost:{}", server.port);
        Self { server, state }
    }

    pub fn url(&self) -> Url {
        Url::parse(&self.server.url("")).expect("a URL")
    }

    /// Puts a certificate into the vault, as a new version if the name exists.
    pub fn put(&self, name: &str, in_vault: VaultCertificate) {
        lock(&self.state.certificates)
            .entry(name.to_owned())
            .or_default()
            .push(in_vault);
    }

    /// Replaces the key of the newest version.
    pub fn swap_key(&self, name: &str, key: PKey<Private>) {
        let mut certificates = lock(&self.state.certificates);
        certificates
            .get_mut(name)
            .and_then(|versions| versions.last_mut())
            .expect("there")
            .key = key;
    }

    /// Answers the next `times` requests whose path begins with `path` with this status and body.
    pub fn fail(&self, path: &str, times: usize, status: u16, body: Value) {
        self.fail_with(path, times, status, ("Retry-After", "0"), body);
    }

    /// Like [`Self::fail`], with a header.
    pub fn fail_with(&self, path: &str, times: usize, status: u16, header: (&'static str, &str), body: Value) {
        let (path, header) = (path.to_owned(), (header.0, header.1.to_owned()));
        lock(&self.state.failures).push(Failure {
            path,
            times,
            status,
            header,
            body,
        });
    }

    pub fn clear_failures(&self) {
        lock(&self.state.failures).clear();
    }

    /// Delays each response from now on.
    pub fn delay_responses(&self, delay: Duration) {
        *lock(&self.state.delay) = delay;
    }

    /// Makes the vault reject all tokens issued so far.
    pub fn revoke_tokens(&self) {
        lock(&self.state.tokens).clear();
    }

    /// Sets the resource in the vault's challenge.
    pub fn demand_tokens_for(&self, resource: &str) {
        *lock(&self.state.resource) = Some(resource.to_owned());
    }

    pub fn tokens_live(&self, seconds: i64) {
        *lock(&self.state.lifetime) = Some(seconds);
    }

    /// The requests whose path begins with `path`, oldest first.
    pub fn requests_to(&self, path: &str) -> Vec<AzureRequest> {
        lock(&self.state.asked)
            .iter()
            .filter(|asked| asked.path.starts_with(path))
            .cloned()
            .collect()
    }

    /// Number of requests with a token that the vault rejects.
    pub fn rejected(&self) -> usize {
        *lock(&self.state.rejected)
    }

    pub fn forget_requests(&self) {
        lock(&self.state.asked).clear();
    }

    /// A token of the cluster's issuer, which this server plays as well.
    pub fn federated_token(&self, subject: &str, change: impl FnOnce(&mut Value)) -> String {
        self.state
            .federated_token(subject, "api://AzureADTokenExchange", change)
    }
}

impl State {
    /// Issues a token for the vault.
    fn token_for(&self, resource: &str, of: &str) -> String {
        let mut given = lock(&self.given);
        *given += 1;
        let token = format!("token-{given}-of-{of}");
        let end = Utc::now().timestamp() + self.lifetime();
        lock(&self.tokens).insert(token.clone(), (resource.to_owned(), end));
        token
    }

    fn lifetime(&self) -> i64 {
        lock(&self.lifetime).unwrap_or(3600)
    }

    fn takes(&self, token: &str) -> bool {
        let base = lock(&self.base).clone();
        lock(&self.tokens)
            .get(token)
            .is_some_and(|(resource, end)| *resource == base && Utc::now().timestamp() < *end)
    }

    fn federated_token(&self, subject: &str, audience: &str, change: impl FnOnce(&mut Value)) -> String {
        let now = Utc::now().timestamp();
        let mut claims = json!({
            "iss": *lock(&self.base), "sub": subject, "aud": [audience], "iat": now, "nbf": now, "exp": now + 3600,
        });
        change(&mut claims);
        keys()[0].sign(&claims)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("not poisoned")
}

impl Server {
    fn new(state: Arc<State>) -> Self {
        let listener = serve::listen("127.0.0.1", 0).expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let task = HttpServer::new(move || {
            App::new()
                .app_data(web::Data::from(Arc::clone(&state)))
                .default_service(web::to(answer))
        })
        .workers(2)
        .disable_signals()
        .listen(listener)
        .expect("it listens")
        .run();
        Self { port, task }
    }

    fn handle(&self) -> ServerHandle {
        self.task.handle()
    }
}

async fn answer(request: HttpRequest, body: web::Bytes, state: web::Data<State>) -> HttpResponse {
    let header = |name: &str| {
        request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::to_owned)
    };
    let asked = AzureRequest {
        method: request.method().to_string(),
        path: request.path().to_owned(),
        query: url::form_urlencoded::parse(request.query_string().as_bytes())
            .into_owned()
            .collect(),
        token: header("authorization").and_then(|value| value.strip_prefix("Bearer ").map(str::to_owned)),
        metadata: header("metadata"),
        identity_header: header("x-identity-header"),
        traceparent: header("traceparent"),
        body: serde_json::from_slice(&body).unwrap_or_default(),
    };
    lock(&state.asked).push(asked.clone());
    let delay = *lock(&state.delay);
    actix_web::rt::time::sleep(delay).await;
    if let Some(failure) = failure(&state, &asked) {
        return failure;
    }
    match asked.path.as_str() {
        "/metadata/identity/oauth2/token" => imds(&state, &asked),
        "/msi/token" => app_service(&state, &asked),
        "/.well-known/openid-configuration" => {
            let base = lock(&state.base).clone();
            HttpResponse::Ok().json(json!({ "issuer": base, "jwks_uri": format!("{base}/openid/v1/jwks") }))
        }
        "/openid/v1/jwks" => HttpResponse::Ok().json(json!({ "keys": [keys()[0].jwk()] })),
        path if path.ends_with("/oauth2/v2.0/token") => token_endpoint(&state, &body),
        _ => vault(&state, &asked),
    }
}

/// Entra ID's token endpoint for workload identities: the assertion must be a token of this issuer.
fn token_endpoint(state: &State, body: &[u8]) -> HttpResponse {
    let form: HashMap<String, String> = url::form_urlencoded::parse(body).into_owned().collect();
    let resource = form["scope"].strip_suffix("/.default").expect("a scope");
    let is_whole = form["grant_type"] == "client_credentials"
        && form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        && form["client_assertion"].split('.').count() == 3;
    if !is_whole {
        return HttpResponse::BadRequest().json(json!({ "error": "invalid_request" }));
    }
    let token = state.token_for(resource, &form["client_id"]);
    HttpResponse::Ok().json(json!({ "access_token": token, "expires_in": state.lifetime(), "token_type": "Bearer" }))
}

fn failure(state: &State, asked: &AzureRequest) -> Option<HttpResponse> {
    let mut failures = lock(&state.failures);
    let is_vault = ["/certificates/", "/keys/", "/secrets/"]
        .iter()
        .any(|start| asked.path.starts_with(start));
    let failure = failures
        .iter_mut()
        .find(|one| asked.path.starts_with(&one.path) && one.times > 0)?;
    if is_vault && failure.status < 429 && asked.token.is_none() {
        return None;
    }
    failure.times -= 1;
    let Failure {
        status,
        header: (name, value),
        body,
        ..
    } = failure;
    let status = StatusCode::from_u16(*status).expect("a status");
    Some(
        HttpResponse::build(status)
            .insert_header((*name, value.as_str()))
            .json(body.clone()),
    )
}

fn imds(state: &State, asked: &AzureRequest) -> HttpResponse {
    if asked.metadata.as_deref() != Some("true") {
        return error(400, "bad_request_102", "Required metadata header not specified");
    }
    if asked.query.get("api-version").map(String::as_str) != Some("2018-02-01") {
        return error(400, "invalid_request", "api-version");
    }
    token(state, asked)
}

fn app_service(state: &State, asked: &AzureRequest) -> HttpResponse {
    if asked.identity_header.as_deref() != Some(IDENTITY_HEADER) {
        return error(401, "unauthorized", "X-IDENTITY-HEADER");
    }
    if asked.query.get("api-version").map(String::as_str) != Some("2019-08-01") {
        return error(400, "invalid_request", "api-version");
    }
    token(state, asked)
}

/// `expires_on` is text in both services.
fn token(state: &State, asked: &AzureRequest) -> HttpResponse {
    let Some(resource) = asked.query.get("resource") else {
        return error(400, "invalid_resource", "resource");
    };
    let token = if resource.starts_with("api://AzureADTokenExchange") {
        *lock(&state.given) += 1;
        let number = *lock(&state.given);
        state.federated_token(IDENTITY, resource, |claims| {
            claims["aud"] = json!(resource);
            claims["uti"] = json!(number);
        })
    } else {
        state.token_for(resource, "the-machine")
    };
    let expires_on = (Utc::now().timestamp() + state.lifetime()).to_string();
    HttpResponse::Ok().json(json!({
        "access_token": token, "expires_on": expires_on, "resource": resource, "token_type": "Bearer",
    }))
}

fn vault(state: &State, asked: &AzureRequest) -> HttpResponse {
    if !asked.token.as_ref().is_some_and(|token| state.takes(token)) {
        if asked.token.is_some() {
            *lock(&state.rejected) += 1;
        }
        let resource = lock(&state.resource)
            .clone()
            .unwrap_or_else(|| lock(&state.base).clone());
        let challenge = format!(
            r#"Bearer authorization="https://login.microsoftonline.com/11111111-2222-4333-8444-555555555555", resource="{resource}""#
        );
        let body = json!({ "error": { "code": "Unauthorized", "message": "AKV10000: Request is missing a Bearer or PoP token." }});
        return HttpResponse::Unauthorized()
            .insert_header(("WWW-Authenticate", challenge))
            .json(body);
    }
    if asked.query.get("api-version").map(String::as_str) != Some("7.4") {
        return error(400, "BadParameter", "api-version must be specified");
    }
    let parts: Vec<&str> = asked.path.trim_start_matches('/').split('/').collect();
    let certificates = lock(&state.certificates);
    let Some((name, versions)) = parts.get(1).and_then(|name| certificates.get_key_value(*name)) else {
        return error(
            404,
            "CertificateNotFound",
            "A certificate with (name/id) was not found in this key vault.",
        );
    };
    let newest = format!("v{}", versions.len());
    let version = parts.get(2).copied().unwrap_or(&newest);
    let number: Option<usize> = version.strip_prefix('v').and_then(|number| number.parse().ok());
    let Some(found) = number.and_then(|number| versions.get(number.checked_sub(1)?)) else {
        return error(404, "KeyNotFound", "no such version");
    };
    let base = lock(&state.base).clone();
    match (asked.method.as_str(), &*parts) {
        ("GET", ["certificates", _]) => HttpResponse::Ok().json(json!({
            "id": format!("{base}/certificates/{name}/{version}"),
            "kid": format!("{base}/keys/{name}/{version}"),
            "sid": format!("{base}/secrets/{name}/{version}"),
            "cer": STANDARD.encode(found.certificate.to_der().expect("DER")),
            "attributes": { "enabled": true },
        })),
        ("POST", ["keys", _, _, "sign"]) => sign(found, asked),
        ("GET", ["secrets", _] | ["secrets", _, _]) => HttpResponse::Ok().json(secret(found)),
        _ => error(404, "NotFound", "no such address"),
    }
}

/// Signs the digest in the request.
fn sign(found: &VaultCertificate, asked: &AzureRequest) -> HttpResponse {
    let digest = URL_SAFE_NO_PAD
        .decode(asked.body["value"].as_str().unwrap_or(""))
        .unwrap_or_default();
    if digest.len() != 32 {
        return error(400, "BadParameter", "Invalid length of 'value'");
    }
    let mut signature = vec![0; 512];
    let mut context = openssl::pkey_ctx::PkeyCtx::new(&found.key).expect("a context");
    context.sign_init().expect("signing");
    match asked.body["alg"].as_str() {
        Some("PS256") => {
            context.set_rsa_padding(Padding::PKCS1_PSS).expect("PSS");
            context.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH).expect("PSS");
        }
        Some("RS256") => context.set_rsa_padding(Padding::PKCS1).expect("PKCS#1"),
        _ => return error(400, "BadParameter", "alg"),
    }
    context.set_signature_md(openssl::md::Md::sha256()).expect("SHA-256");
    let length = context.sign(&digest, Some(&mut signature)).expect("a signature");
    signature.truncate(length);
    HttpResponse::Ok().json(json!({ "kid": "…", "value": URL_SAFE_NO_PAD.encode(signature) }))
}

fn secret(found: &VaultCertificate) -> Value {
    let certificate = found.certificate.to_pem().expect("PEM");
    if found.as_pem {
        let key = found.key.private_key_to_pem_pkcs8().expect("PEM");
        let both = if found.exportable {
            [key, certificate].concat()
        } else {
            certificate
        };
        return json!({ "value": String::from_utf8(both).expect("text"), "contentType": "application/x-pem-file" });
    }
    let mut builder = openssl::pkcs12::Pkcs12::builder();
    builder.cert(&found.certificate);
    if found.exportable {
        builder.pkey(&found.key);
    }
    let pfx = builder.build2("").expect("a PFX").to_der().expect("DER");
    json!({ "value": STANDARD.encode(pfx), "contentType": "application/x-pkcs12" })
}

fn error(status: u16, code: &str, message: &str) -> HttpResponse {
    let status = StatusCode::from_u16(status).expect("a status");
    HttpResponse::build(status).json(json!({ "error": { "code": code, "message": message } }))
}

/// Signs RS256 with any key, for tokens that must be rejected.
pub fn signed_by(key: &PKey<Private>, header: &Value, claims: &Value) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let input = format!("{}.{}", encode(header), encode(claims));
    let mut signer = Signer::new(MessageDigest::sha256(), key).expect("a signer");
    let signature = signer.sign_oneshot_to_vec(input.as_bytes()).expect("a signature");
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
}
