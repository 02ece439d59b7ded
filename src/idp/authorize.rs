//! The authorization endpoint: signs a user in and sends the application a code (RFC 6749 §4.1).
//!
//! The form on the page posts to an address that repeats the whole authorization request. The post is checked as fully
//! as the request, so a changed form cannot skip a check.

mod picker;
mod request;

use actix_web::{HttpRequest, HttpResponse, web};
use url::Url;

use self::request::{AuthorizationRequest, Prompt, RedirectTarget, Rejection};
use super::{
    error::{OAuthError, invalid_request},
    grants::CodeRequest,
    pages,
    parameters::Parameters,
    session::{Session, Sessions},
    state::Idp,
};

/// `GET /{tenant}/oauth2/v2.0/authorize`: sends a code if a user is signed in, otherwise shows the account picker.
pub async fn show(idp: web::Data<Idp>, tenant: web::Path<String>, request: HttpRequest) -> HttpResponse {
    let authorization = match AuthorizationRequest::parse(&idp, &tenant, request.query_string()) {
        Ok(authorization) => authorization,
        Err(rejection) => return reject(&idp, &request, rejection),
    };
    let session = idp
        .sessions
        .current(&request, idp.clock.now())
        .filter(|session| is_expected(&idp, session, &authorization));
    match (authorization.prompt, session) {
        (None | Some(Prompt::None), Some(session)) => send_code(&idp, &session, authorization),
        (Some(Prompt::None), None) => redirect_error(&authorization.redirect_target, &login_required()),
        _ => picker::render(&idp, &tenant, &request, &authorization, None),
    }
}

/// `POST /{tenant}/login`: the form of the account picker.
pub async fn pick(
    idp: web::Data<Idp>,
    tenant: web::Path<String>,
    request: HttpRequest,
    form: web::Bytes,
) -> HttpResponse {
    let authorization = match AuthorizationRequest::parse(&idp, &tenant, request.query_string()) {
        Ok(authorization) => authorization,
        Err(rejection) => return reject(&idp, &request, rejection),
    };
    let form = match Parameters::parse(&form) {
        Ok(form) => form,
        Err(error) => return idp.pages.error(&request, &error),
    };
    if !picker::is_same_origin(&request) || !Sessions::is_form_token_valid(&request, form.get(picker::FORM_TOKEN)) {
        return idp.pages.error(&request, &forged_form());
    }
    match picker::parse_choice(&idp, &form) {
        picker::Choice::User(user) => {
            let (session, cookie) = idp.sessions.start(&request, &user.oid, idp.clock.now());
            pages::with_cookie(send_code(&idp, &session, authorization), &cookie)
        }
        picker::Choice::Decline => redirect_error(&authorization.redirect_target, &declined()),
        picker::Choice::Unknown(error) => picker::render(&idp, &tenant, &request, &authorization, Some(&error)),
    }
}

/// Whether the request expects the signed-in user: it names no user, or this one.
fn is_expected(idp: &Idp, session: &Session, authorization: &AuthorizationRequest) -> bool {
    let Some(user) = idp.registrations.user(&session.oid) else {
        return false;
    };
    authorization
        .login_hint
        .as_deref()
        .is_none_or(|hint| picker::is_hinted(user, hint))
}

fn send_code(idp: &Idp, session: &Session, authorization: AuthorizationRequest) -> HttpResponse {
    let AuthorizationRequest {
        client,
        redirect_target,
        scope,
        claims,
        nonce,
        code_challenge,
        ..
    } = authorization;
    idp.sessions.add_app(&session.sid, client.client_id());
    let code = idp.grants.issue_code(
        CodeRequest {
            client_id: client.client_id().to_owned(),
            oid: session.oid.clone(),
            sid: session.sid.clone(),
            scope,
            claims,
            nonce,
            redirect_uri: redirect_target.redirect_uri.clone(),
            code_challenge,
        },
        idp.clock.now(),
    );
    redirect_to_client(&redirect_target, &[("code", &code), ("session_state", &session.sid)])
}

fn reject(idp: &Idp, request: &HttpRequest, rejection: Rejection) -> HttpResponse {
    match rejection {
        Rejection::ShowPage(error) => idp.pages.error(request, &error),
        Rejection::Redirect(redirect_target, error) => redirect_error(&redirect_target, &error),
    }
}

fn redirect_error(to: &RedirectTarget, error: &OAuthError) -> HttpResponse {
    redirect_to_client(
        to,
        &[("error", error.oauth_error), ("error_description", &error.sentence())],
    )
}

fn redirect_to_client(to: &RedirectTarget, parameters: &[(&str, &str)]) -> HttpResponse {
    let Ok(mut uri) = Url::parse(&to.redirect_uri) else {
        return HttpResponse::InternalServerError().finish();
    };
    uri.query_pairs_mut()
        .extend_pairs(parameters)
        .extend_pairs(to.state.iter().map(|state| ("state", state)));
    pages::redirect(uri.as_str())
}

fn login_required() -> OAuthError {
    OAuthError::new(
        50058,
        "login_required",
        "A silent sign-in request was sent but no user is signed in.",
    )
}

fn declined() -> OAuthError {
    OAuthError::new(65004, "access_denied", "User declined to consent to access the app.")
}

fn forged_form() -> OAuthError {
    invalid_request(
        90023,
        "The sign-in form did not come from this browser's own sign-in page. Go back to the application and sign in again.",
    )
}
