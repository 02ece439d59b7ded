//! The HTTP interface of the vault and of the metadata service, as in their references (Key Vault REST API 7.4, IMDS
//! 2018-02-01). A separate thread serves it, because the site calls it during its start.

use std::{io, net::TcpListener, path::Path, sync::mpsc, thread::JoinHandle, time::Duration};

use actix_web::{
    App, Error, HttpRequest, HttpResponse,
    body::{EitherBody, MessageBody},
    dev::{ServerHandle, ServiceRequest, ServiceResponse},
    http::{
        StatusCode,
        header::{AUTHORIZATION, WWW_AUTHENTICATE},
    },
    middleware::{Next, from_fn},
    rt, web,
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde::Deserialize;
use serde_json::json;

use super::{
    key::{KeyError, VaultKey},
    tokens::Tokens,
};
use crate::{
    background,
    config::ServerSettings,
    serve::{
        self, Options, access_log,
        loopback_guard::{self, Rejection},
        request_guard, request_id,
    },
};

const API_VERSION: &str = "7.4";
/// Largest request body: a request to sign a digest has some 100 bytes.
const MAX_BODY_BYTES: usize = 16 * 1024;
const IMDS_VERSION: &str = "2018-02-01";

/// Why the vault did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The socket cannot be used, or the system starts no thread.
    #[error("the key vault emulator cannot serve: {0}")]
    Socket(#[from] io::Error),
}

struct Vault {
    url: String,
    name: String,
    key: VaultKey,
    tokens: Tokens,
}

/// The running vault. Stops when dropped.
pub struct Server {
    handle: ServerHandle,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves the certificate in the PEM file `key` under `name`.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn start(listener: TcpListener, name: &str, key: &Path) -> Result<Self, StartError> {
        let port = listener.local_addr()?.port();
        let vault = web::Data::new(Vault {
            url: format!("http://localhost:{port}"),
            name: name.to_owned(),
            key: VaultKey::read(key)?,
            tokens: Tokens::default(),
        });
        let (send, started) = mpsc::channel();
        let thread = background::spawn_once("vault", move || {
            rt::System::new().block_on(async move {
                let app = move || {
                    App::new()
                        .app_data(vault.clone())
                        .app_data(web::PayloadConfig::new(MAX_BODY_BYTES))
                        .wrap(from_fn(only_local_programs))
                        .wrap(from_fn(request_guard::check))
                        .wrap(from_fn(access_log::log))
                        .wrap(from_fn(request_id::assign))
                        .configure(routes)
                };
                let settings = ServerSettings {
                    shutdown_timeout: Duration::from_secs(1),
                    ..ServerSettings::default()
                };
                let options = Options {
                    name: "key vault",
                    workers: 1,
                    settings: &settings,
                    tls: None,
                };
                let server = serve::server::listen(listener, &options, app);
                let handle = server.as_ref().map(serve::Server::handle);
                // Cannot fail: the receiver waits for this.
                let _ = send.send(handle.map_err(|error| io::Error::new(error.kind(), error.to_string())));
                if let Ok(server) = server
                    && let Err(error) = server.run().await
                {
                    log::error!("the key vault emulator stopped: {error}");
                }
            });
        })?;
        let handle = started.recv().map_err(io::Error::other)??;
        Ok(Self {
            handle,
            thread: Some(thread),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.handle.stop(false));
        if let Some(thread) = self.thread.take() {
            // A panic has been logged already.
            let _ = thread.join();
        }
    }
}

/// Middleware: rejects requests that a web page sent, also through a DNS name that points to this machine. Such a page
/// could get assertions signed: like Azure's, the metadata service gives its token to every client.
async fn only_local_programs<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let message = match loopback_guard::rejection(&request) {
        None => return Ok(next.call(request).await?.map_into_left_body()),
        Some(Rejection::RemoteAddress) => "Only this machine may use this vault.",
        Some(Rejection::WebPage) => "No web page may use this vault.",
        Some(Rejection::ForeignHost) => "Address this vault as localhost or 127.0.0.1.",
    };
    Ok(request.into_response(error(StatusCode::FORBIDDEN, "ForbiddenByFirewall", message).map_into_right_body()))
}

fn routes(config: &mut web::ServiceConfig) {
    config
        .route("/metadata/identity/oauth2/token", web::get().to(token))
        .route("/certificates/{name}", web::get().to(certificate))
        .route("/keys/{name}/{version}/sign", web::post().to(sign))
        .route("/secrets/{name}/{version}", web::get().to(secret));
}

#[derive(Deserialize)]
struct TokenQuery {
    #[serde(rename = "api-version")]
    api_version: String,
    resource: String,
}

/// Demands a header that browsers do not let a web page send without permission, so that only programs get tokens.
async fn token(request: HttpRequest, query: web::Query<TokenQuery>, vault: web::Data<Vault>) -> HttpResponse {
    let has_header = request.headers().get("Metadata").is_some_and(|value| value == "true");
    if !has_header || query.api_version != IMDS_VERSION {
        let description = "Required metadata header not specified, or api-version not known";
        return HttpResponse::BadRequest()
            .json(json!({ "error": "bad_request_102", "error_description": description }));
    }
    match vault.tokens.issue(&query.resource) {
        Ok((token, expires_on)) => HttpResponse::Ok().json(json!({
            "access_token": token,
            "expires_on": expires_on.to_string(),
            "resource": query.resource,
            "token_type": "Bearer",
        })),
        Err(_) => HttpResponse::InternalServerError().json(json!({ "error": "unknown" })),
    }
}

async fn certificate(request: HttpRequest, name: web::Path<String>, vault: web::Data<Vault>) -> HttpResponse {
    if let Some(rejection) = vault.check(&request, &name, "Certificate") {
        return rejection;
    }
    let Vault { url, key, .. } = vault.get_ref();
    let id = |kind: &str| format!("{url}/{kind}/{name}/{}", key.version);
    HttpResponse::Ok().json(json!({
        "id": id("certificates"), "kid": id("keys"), "sid": id("secrets"),
        "cer": STANDARD.encode(&key.certificate),
        "attributes": { "enabled": true },
    }))
}

#[derive(Deserialize)]
struct SignRequest {
    alg: String,
    value: String,
}

async fn sign(
    request: HttpRequest,
    path: web::Path<(String, String)>,
    body: web::Bytes,
    vault: web::Data<Vault>,
) -> HttpResponse {
    let (name, version) = path.into_inner();
    // A request without a token and without a body asks for the challenge.
    if let Some(rejection) = vault.check(&request, &name, "Key") {
        return rejection;
    }
    if version != vault.key.version {
        return error(
            StatusCode::NOT_FOUND,
            "KeyNotFound",
            "There is no such version of the key.",
        );
    }
    let signature = serde_json::from_slice::<SignRequest>(&body)
        .ok()
        .and_then(|SignRequest { alg, value }| vault.key.sign(&alg, &URL_SAFE_NO_PAD.decode(value).ok()?));
    match signature {
        Some(signature) => HttpResponse::Ok().json(json!({
            "kid": format!("{}/keys/{name}/{version}", vault.url),
            "value": URL_SAFE_NO_PAD.encode(signature),
        })),
        None => error(
            StatusCode::BAD_REQUEST,
            "BadParameter",
            "alg must be PS256 or RS256, value a SHA-256 digest.",
        ),
    }
}

async fn secret(request: HttpRequest, path: web::Path<(String, String)>, vault: web::Data<Vault>) -> HttpResponse {
    let rejection = vault.check(&request, &path.0, "Secret");
    rejection.unwrap_or_else(|| {
        error(
            StatusCode::FORBIDDEN,
            "Forbidden",
            "The key cannot be exported from this vault.",
        )
    })
}

impl Vault {
    /// Without a valid token, the response is a challenge; for another name or API version, an error.
    fn check(&self, request: &HttpRequest, name: &str, kind: &str) -> Option<HttpResponse> {
        let header = request
            .headers()
            .get(AUTHORIZATION)
            .and_then(|value| value.to_str().ok());
        let token = header.and_then(|value| value.strip_prefix("Bearer "));
        if !token.is_some_and(|token| self.tokens.is_valid(token, &self.url)) {
            let challenge = format!(r#"Bearer authorization="{0}", resource="{0}""#, self.url);
            let message = "AKV10000: Request is missing a Bearer or PoP token.";
            let body = json!({ "error": { "code": "Unauthorized", "message": message } });
            return Some(
                HttpResponse::Unauthorized()
                    .insert_header((WWW_AUTHENTICATE, challenge))
                    .json(body),
            );
        }
        let versions: Vec<_> = url::form_urlencoded::parse(request.query_string().as_bytes()).collect();
        if !versions
            .iter()
            .any(|(name, value)| name == "api-version" && value == API_VERSION)
        {
            return Some(error(
                StatusCode::BAD_REQUEST,
                "BadParameter",
                "api-version must be 7.4.",
            ));
        }
        let is_there = name == self.name;
        let message = format!("There is no {name} in this vault.");
        (!is_there).then(|| error(StatusCode::NOT_FOUND, &format!("{kind}NotFound"), &message))
    }
}

fn error(status: StatusCode, code: &str, message: &str) -> HttpResponse {
    HttpResponse::build(status).json(json!({ "error": { "code": code, "message": message } }))
}
