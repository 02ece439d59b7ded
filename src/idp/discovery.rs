//! Discovery: the OpenID configuration and the public keys. Also the pages that describe the emulator.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{CACHE_CONTROL, DATE},
    web,
};
use serde_json::{Value, json};
use tera::Context;

use super::{
    authority::Authority,
    clock::{Clock, http_date},
    error::OAuthError,
    pages::{CspSources, Pages},
    paths,
    registrations::Registrations,
    signing_keys::KeyRing,
};
use crate::serve::RequestId;

/// `GET /{tenant}/v2.0/.well-known/openid-configuration` (OpenID Connect Discovery §4).
pub async fn configuration(
    authority: web::Data<Authority>,
    clock: web::Data<Clock>,
    tenant: web::Path<String>,
    request: HttpRequest,
) -> HttpResponse {
    if let Err(error) = authority.check_tenant(&tenant) {
        return error_response(&authority, &clock, &request, &error);
    }
    let endpoint = |path: &str| authority.endpoint(&tenant, path);
    let browser_endpoint = |path: &str| authority.browser_endpoint(&tenant, path);
    let mut response = HttpResponse::Ok();
    // The emulator's own clock: clients compare it with theirs to find that theirs is wrong.
    response.insert_header((DATE, http_date(clock.now())));
    response.insert_header((CACHE_CONTROL, "max-age=86400, private")).json(json!({
        "issuer": authority.discovered_issuer(&tenant),
        "authorization_endpoint": browser_endpoint(paths::AUTHORIZE),
        "token_endpoint": endpoint(paths::TOKEN),
        "end_session_endpoint": browser_endpoint(paths::LOGOUT),
        "jwks_uri": endpoint(paths::KEYS),
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "token_endpoint_auth_methods_supported": ["private_key_jwt"],
        "token_endpoint_auth_signing_alg_values_supported": ["PS256", "RS256"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": ["openid", "profile", "email", "offline_access"],
        "subject_types_supported": ["pairwise"],
        "claims_supported": [
            "sub", "iss", "aud", "exp", "iat", "nbf", "nonce", "name", "tid", "ver", "oid", "preferred_username", "email",
            "sid", "login_hint", "roles", "uti"
        ],
        "request_uri_parameter_supported": false,
        "http_logout_supported": true,
        "frontchannel_logout_supported": true,
        "frontchannel_logout_session_supported": true,
    }))
}

/// `GET /{tenant}/discovery/v2.0/keys`: the keys without `alg`, as with Entra (`signing-key-rollover.md`).
pub async fn keys(
    authority: web::Data<Authority>,
    clock: web::Data<Clock>,
    keys: web::Data<KeyRing>,
    tenant: web::Path<String>,
    request: HttpRequest,
) -> HttpResponse {
    if let Err(error) = authority.check_tenant(&tenant) {
        return error_response(&authority, &clock, &request, &error);
    }
    let issuer = authority.issuer_v2();
    let keys: Result<Vec<Value>, _> = keys.all().iter().map(|key| key.jwk(&issuer)).collect();
    match keys {
        Ok(keys) => HttpResponse::Ok()
            .insert_header((CACHE_CONTROL, "max-age=86400, private"))
            .json(json!({ "keys": keys })),
        Err(error) => {
            log::error!("cannot publish the signing keys: {error}");
            HttpResponse::InternalServerError().finish()
        }
    }
}

/// `GET /`: describes the emulator to a person who opens it in a browser.
pub async fn home(
    authority: web::Data<Authority>,
    registrations: web::Data<Registrations>,
    pages: web::Data<Pages>,
) -> HttpResponse {
    let mut context = Context::new();
    context.insert("tenant_id", authority.tenant_id());
    context.insert("domain", authority.domain());
    context.insert(
        "authority",
        &format!("{}/{}/v2.0", authority.base_url(), authority.tenant_id()),
    );
    context.insert("users", registrations.users());
    let apps: Vec<_> = registrations.apps().iter().map(|app| &app.registration).collect();
    context.insert("apps", &apps);
    pages.render(
        actix_web::http::StatusCode::OK,
        "home.html",
        &context,
        &CspSources::default(),
    )
}

/// `GET /error?code=NNNNN`: the target of `error_uri`.
pub async fn error(pages: web::Data<Pages>, request: HttpRequest) -> HttpResponse {
    let code = url::form_urlencoded::parse(request.query_string().as_bytes())
        .find(|(name, _)| name == "code")
        .and_then(|(_, value)| value.parse().ok())
        .unwrap_or(0);
    let mut context = Context::new();
    context.insert("code", &code);
    context.insert("message", "The meaning of this number is on Microsoft Learn.");
    context.insert("request_id", RequestId::get(&request).as_str());
    pages.render(
        actix_web::http::StatusCode::OK,
        "error.html",
        &context,
        &CspSources::default(),
    )
}

fn error_response(authority: &Authority, clock: &Clock, request: &HttpRequest, error: &OAuthError) -> HttpResponse {
    let id = RequestId::get(request);
    HttpResponse::build(error.status()).json(error.body(authority.base_url(), id.as_str(), clock.now()))
}
