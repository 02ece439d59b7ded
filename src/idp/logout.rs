//! Sign-out: ends the session, notifies the applications that the user signed in to, and redirects only to a registered
//! address (OpenID Connect RP-Initiated Logout, Front-Channel Logout).

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde_json::{Map, Value};
use tera::Context;
use url::Url;

use super::{
    claims::login_hint,
    pages::{self, CspSources},
    parameters::Parameters,
    session::Session,
    state::Idp,
};

/// `GET /{tenant}/oauth2/v2.0/logout`
pub async fn sign_out(idp: web::Data<Idp>, tenant: web::Path<String>, request: HttpRequest) -> HttpResponse {
    let parameters = idp
        .authority
        .check_tenant(&tenant)
        .and_then(|()| Parameters::parse(request.query_string().as_bytes()));
    let parameters = match parameters {
        Ok(parameters) => parameters,
        Err(error) => return idp.pages.error(&request, &error),
    };
    let return_to = return_address(&idp, &parameters);
    if names_another_user(&idp, &request, &parameters) {
        // The named user has no session here, so there is nothing to end.
        return return_to.map_or_else(|| signed_out_page(&idp, &[], None), |uri| pages::redirect(&uri));
    }
    let (session, clearing) = idp.sessions.end(&request, idp.clock.now());
    let frames = session
        .map(|session| front_channel_uris(&idp, &session))
        .unwrap_or_default();
    let response = match &return_to {
        Some(uri) if frames.is_empty() => pages::redirect(uri),
        _ => signed_out_page(&idp, &frames, return_to.as_deref()),
    };
    pages::with_cookie(response, &clearing)
}

/// Where to redirect afterwards: to `post_logout_redirect_uri`, with `state`, if it is registered for the application
/// that `client_id` or `id_token_hint` names. Without either, a registration for any application suffices.
fn return_address(idp: &Idp, parameters: &Parameters) -> Option<String> {
    let requested = parameters.get("post_logout_redirect_uri")?;
    let hinted = match parameters.get("id_token_hint") {
        Some(token) => Some(audience_of_issued_token(idp, token)?),
        None => None,
    };
    let named = [parameters.get("client_id"), hinted.as_deref()];
    let is_named = |client_id: &str| named.iter().flatten().all(|name| *name == client_id);
    let is_registered = idp.registrations.apps().iter().any(|app| {
        is_named(app.client_id())
            && app
                .registration
                .post_logout_redirect_uris
                .iter()
                .any(|registered| registered == requested)
    });
    if !is_registered {
        return None;
    }
    let mut uri = Url::parse(requested).ok()?;
    if let Some(state) = parameters.get("state") {
        uri.query_pairs_mut().append_pair("state", state);
    }
    Some(uri.into())
}

/// `aud` of an ID token that the emulator issued, expired or not.
fn audience_of_issued_token(idp: &Idp, token: &str) -> Option<String> {
    let (signing_input, signature) = token.rsplit_once('.')?;
    let (_, claims) = signing_input.split_once('.')?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
    if !idp
        .signing_keys
        .all()
        .iter()
        .any(|key| key.verifies(signing_input.as_bytes(), &signature))
    {
        return None;
    }
    let claims: Map<String, Value> = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
    claims.get("aud").and_then(Value::as_str).map(str::to_owned)
}

/// Whether `logout_hint` (the `login_hint` claim of an ID token) names a user other than the signed-in one.
fn names_another_user(idp: &Idp, request: &HttpRequest, parameters: &Parameters) -> bool {
    let (Some(hint), Some(session)) = (
        parameters.get("logout_hint"),
        idp.sessions.current(request, idp.clock.now()),
    ) else {
        return false;
    };
    idp.registrations
        .user(&session.oid)
        .is_some_and(|user| login_hint(user) != hint)
}

/// The front-channel logout URLs of the applications that the user signed in to, with `sid` and `iss`.
fn front_channel_uris(idp: &Idp, session: &Session) -> Vec<String> {
    let apps = session
        .apps
        .iter()
        .filter_map(|client_id| idp.registrations.app(client_id));
    apps.filter_map(|app| Url::parse(app.registration.front_channel_logout_uri.as_deref()?).ok())
        .map(|mut uri| {
            uri.query_pairs_mut()
                .append_pair("sid", &session.sid)
                .append_pair("iss", &idp.authority.issuer_v2());
            uri.into()
        })
        .collect()
}

fn signed_out_page(idp: &Idp, frames: &[String], return_to: Option<&str>) -> HttpResponse {
    let mut context = Context::new();
    context.insert("frames", frames);
    context.insert("return_to", &return_to);
    let allowed = CspSources {
        frames: frames.iter().filter_map(|uri| pages::csp_source(uri)).collect(),
        ..CspSources::default()
    };
    idp.pages.render(StatusCode::OK, "signed_out.html", &context, &allowed)
}
