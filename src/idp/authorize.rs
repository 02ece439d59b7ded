//! The authorization endpoint: who is signing in, and a code for the application that asked (RFC 6749 §4.1).
//!
//! The page that it shows carries the whole request in the address that its form posts to; the post is checked from the
//! start like the request itself, so that nothing can be skipped by changing the form.

mod picker;
mod request;

use actix_web::{HttpRequest, HttpResponse, web};
use url::Url;

use self::request::{AuthorizationRequest, Prompt, Rejected, ReturnAddress};
use super::{
    error::{Refusal, invalid_request},
    grants::CodeRequest,
    pages,
    parameters::Parameters,
    session::{Session, Sessions},
    state::Idp,
};

/// `GET /{tenant}/oauth2/v2.0/authorize`: a code at once for who is signed in, otherwise the account picker.
pub async fn show(idp: web::Data<Idp>, tenant: web::Path<String>, request: HttpRequest) -> HttpResponse {
    let authorization = match AuthorizationRequest::read(&idp, &tenant, request.query_string()) {
        Ok(authorization) => authorization,
        Err(rejected) => return refuse(&idp, &request, rejected),
    };
    let session = idp
        .sessions
        .of(&request, idp.clock.now())
        .filter(|session| is_meant(&idp, session, &authorization));
    match (authorization.prompt, session) {
        (None | Some(Prompt::None), Some(session)) => send_code(&idp, &session, authorization),
        (Some(Prompt::None), None) => redirect_refusal(&authorization.return_address, &nobody_signed_in()),
        _ => picker::page(&idp, &tenant, &request, &authorization, None),
    }
}

/// `POST /{tenant}/login`: the form of the account picker.
pub async fn pick(
    idp: web::Data<Idp>,
    tenant: web::Path<String>,
    request: HttpRequest,
    form: web::Bytes,
) -> HttpResponse {
    let authorization = match AuthorizationRequest::read(&idp, &tenant, request.query_string()) {
        Ok(authorization) => authorization,
        Err(rejected) => return refuse(&idp, &request, rejected),
    };
    let form = match Parameters::parse(&form) {
        Ok(form) => form,
        Err(refusal) => return idp.pages.error(&request, &refusal),
    };
    if !picker::is_same_origin(&request) || !Sessions::is_own_form(&request, form.get(picker::FORM_TOKEN)) {
        return idp.pages.error(&request, &foreign_form());
    }
    match picker::choice(&idp, &form) {
        picker::Choice::User(user) => {
            let (session, cookie) = idp.sessions.start(&request, &user.oid, idp.clock.now());
            pages::with_cookie(send_code(&idp, &session, authorization), &cookie)
        }
        picker::Choice::Decline => redirect_refusal(&authorization.return_address, &declined()),
        picker::Choice::Unknown(refusal) => picker::page(&idp, &tenant, &request, &authorization, Some(&refusal)),
    }
}

/// Whether the signed-in user is the one whom the request names, if it names one.
fn is_meant(idp: &Idp, session: &Session, authorization: &AuthorizationRequest) -> bool {
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
        return_address,
        scope,
        claims,
        nonce,
        code_challenge,
        ..
    } = authorization;
    idp.sessions.went_to(&session.sid, client.client_id());
    let code = idp.grants.issue_code(
        CodeRequest {
            client_id: client.client_id().to_owned(),
            oid: session.oid.clone(),
            sid: session.sid.clone(),
            scope,
            claims,
            nonce,
            redirect_uri: return_address.redirect_uri.clone(),
            code_challenge,
        },
        idp.clock.now(),
    );
    go_back(&return_address, &[("code", &code), ("session_state", &session.sid)])
}

fn refuse(idp: &Idp, request: &HttpRequest, rejected: Rejected) -> HttpResponse {
    match rejected {
        Rejected::Here(refusal) => idp.pages.error(request, &refusal),
        Rejected::ToClient(return_address, refusal) => redirect_refusal(&return_address, &refusal),
    }
}

fn redirect_refusal(to: &ReturnAddress, refusal: &Refusal) -> HttpResponse {
    go_back(
        to,
        &[("error", refusal.error), ("error_description", &refusal.sentence())],
    )
}

fn go_back(to: &ReturnAddress, answer: &[(&str, &str)]) -> HttpResponse {
    let Ok(mut uri) = Url::parse(&to.redirect_uri) else {
        return HttpResponse::InternalServerError().finish();
    };
    uri.query_pairs_mut()
        .extend_pairs(answer)
        .extend_pairs(to.state.iter().map(|state| ("state", state)));
    pages::redirect(uri.as_str())
}

fn nobody_signed_in() -> Refusal {
    Refusal::new(
        50058,
        "login_required",
        "A silent sign-in request was sent but no user is signed in.",
    )
}

fn declined() -> Refusal {
    Refusal::new(65004, "access_denied", "User declined to consent to access the app.")
}

fn foreign_form() -> Refusal {
    invalid_request(
        90023,
        "The sign-in form did not come from this browser's own sign-in page. Go back to the application and sign in again.",
    )
}
