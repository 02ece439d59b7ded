//! What the provider says about itself: OpenID configuration and public keys.

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{CACHE_CONTROL, DATE},
    web,
};
use serde_json::{Value, json};
use tera::Context;

use super::{authority::TOKEN, clock::http_date, error::Refusal, pages::Allowed, state::Idp};
use crate::serve::RequestId;

/// `GET /{tenant}/v2.0/.well-known/openid-configuration` (OpenID Connect Discovery §4).
pub async fn configuration(idp: web::Data<Idp>, tenant: web::Path<String>, request: HttpRequest) -> HttpResponse {
    if let Err(refusal) = idp.authority.check_tenant(&tenant) {
        return refused(&idp, &request, &refusal);
    }
    let endpoint = |path: &str| idp.authority.endpoint(&tenant, path);
    let mut answer = HttpResponse::Ok();
    // By the provider's own clock, which is how callers notice that theirs is wrong.
    answer.insert_header((DATE, http_date(idp.clock.now())));
    answer.insert_header((CACHE_CONTROL, "max-age=86400, private")).json(json!({
        "issuer": idp.authority.discovered_issuer(&tenant),
        "authorization_endpoint": endpoint("oauth2/v2.0/authorize"),
        "token_endpoint": endpoint(TOKEN),
        "end_session_endpoint": endpoint("oauth2/v2.0/logout"),
        "jwks_uri": endpoint("discovery/v2.0/keys"),
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

/// `GET /{tenant}/discovery/v2.0/keys`: the keys, without `alg`, as Entra's (`signing-key-rollover.md`).
pub async fn keys(idp: web::Data<Idp>, tenant: web::Path<String>, request: HttpRequest) -> HttpResponse {
    if let Err(refusal) = idp.authority.check_tenant(&tenant) {
        return refused(&idp, &request, &refusal);
    }
    let issuer = idp.authority.issuer_v2();
    let keys: Result<Vec<Value>, _> = idp.signing_keys.all().iter().map(|key| key.jwk(&issuer)).collect();
    match keys {
        Ok(keys) => HttpResponse::Ok()
            .insert_header((CACHE_CONTROL, "max-age=86400, private"))
            .json(json!({ "keys": keys })),
        Err(error) => {
            log::error!("the keys cannot be published: {error}");
            HttpResponse::InternalServerError().finish()
        }
    }
}

/// `GET /`: what this is, for whoever opens it in a browser.
pub async fn home(idp: web::Data<Idp>) -> HttpResponse {
    let mut context = Context::new();
    context.insert("tenant_id", idp.authority.tenant_id());
    context.insert("domain", idp.authority.domain());
    context.insert(
        "authority",
        &format!("{}/{}/v2.0", idp.authority.base_url(), idp.authority.tenant_id()),
    );
    context.insert("users", idp.registrations.users());
    let apps: Vec<_> = idp.registrations.apps().iter().map(|app| &app.registration).collect();
    context.insert("apps", &apps);
    idp.pages.answer(
        actix_web::http::StatusCode::OK,
        "home.html",
        &context,
        &Allowed::default(),
    )
}

/// `GET /error?code=NNNNN`: where the `error_uri` of a refusal leads.
pub async fn error(idp: web::Data<Idp>, request: HttpRequest) -> HttpResponse {
    let code = url::form_urlencoded::parse(request.query_string().as_bytes())
        .find(|(name, _)| name == "code")
        .and_then(|(_, value)| value.parse().ok())
        .unwrap_or(0);
    let mut context = Context::new();
    context.insert("code", &code);
    context.insert("message", "The meaning of this number is on Microsoft Learn.");
    context.insert("request_id", RequestId::of(&request).as_str());
    idp.pages.answer(
        actix_web::http::StatusCode::OK,
        "error.html",
        &context,
        &Allowed::default(),
    )
}

fn refused(idp: &Idp, request: &HttpRequest, refusal: &Refusal) -> HttpResponse {
    let id = RequestId::of(request);
    HttpResponse::build(refusal.status()).json(refusal.body(idp.authority.base_url(), id.as_str(), idp.clock.now()))
}
