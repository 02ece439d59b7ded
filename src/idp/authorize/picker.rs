//! The account picker: the page on which the user chooses an account.

use actix_web::{
    HttpRequest, HttpResponse,
    http::{
        StatusCode,
        header::{HOST, ORIGIN},
    },
};
use serde::Serialize;
use tera::Context;

use super::request::{AuthorizationRequest, Prompt};
use crate::{
    config::IdpUser,
    idp::{
        claims::login_hint,
        error::{OAuthError, invalid_request},
        pages::{self, CspSources},
        parameters::Parameters,
        state::Idp,
    },
};

/// The form field that proves that the form came from this page.
pub const FORM_TOKEN: &str = "form_token";

/// The choice that the form states.
pub enum Choice<'a> {
    User(&'a IdpUser),
    /// The user cancelled.
    Decline,
    /// The form names no user of the tenant.
    Unknown(OAuthError),
}

/// Reads the choice from the form. There is no password to check: everyone who can open the page may choose any user.
pub fn parse_choice<'a>(idp: &'a Idp, form: &Parameters) -> Choice<'a> {
    if form.get("cancel").is_some() {
        return Choice::Decline;
    }
    let (named, user) = match (form.get("oid"), form.get("email")) {
        (Some(oid), None) => (oid, idp.registrations.user(oid)),
        (None, Some(email)) => (email, idp.registrations.user_by_email(email)),
        _ => {
            return Choice::Unknown(invalid_request(
                90023,
                "Choose one account, or type one e-mail address.",
            ));
        }
    };
    match user {
        Some(user) => Choice::User(user),
        None => Choice::Unknown(invalid_request(
            50034,
            format!(
                "The user account {named} does not exist in the {} directory. To sign into this application, the account \
                 must be added to the directory.",
                idp.authority.domain()
            ),
        )),
    }
}

/// Whether a sign-in hint names this user.
pub fn is_hinted(user: &IdpUser, hint: &str) -> bool {
    user.email.eq_ignore_ascii_case(hint) || user.oid.eq_ignore_ascii_case(hint) || login_hint(user) == hint
}

/// Whether a form was posted from a page of the same origin, or without an `Origin`. This is the first of two defences
/// against cross-site forms; the form token is the second.
pub fn is_same_origin(request: &HttpRequest) -> bool {
    let Some(origin) = request.headers().get(ORIGIN) else {
        return true;
    };
    let host = request.headers().get(HOST).and_then(|host| host.to_str().ok());
    let host = host.or_else(|| request.uri().authority().map(actix_web::http::uri::Authority::as_str));
    let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
    match (origin, host) {
        (Some((_, origin_host)), Some(host)) => origin_host.eq_ignore_ascii_case(host),
        _ => false,
    }
}

/// Renders the page. `error` explains why the previous choice failed.
pub fn render(
    idp: &Idp,
    tenant: &str,
    request: &HttpRequest,
    authorization: &AuthorizationRequest,
    error: Option<&OAuthError>,
) -> HttpResponse {
    let (form_token, cookie) = idp.sessions.form_token(request);
    let hint = authorization.login_hint.as_deref();
    let accounts: Vec<Account<'_>> = idp
        .registrations
        .users()
        .iter()
        .map(|user| Account::new(user, hint.is_some_and(|hint| is_hinted(user, hint))))
        .collect();
    let hint_is_known = accounts.iter().any(|account| account.hinted);
    let mut context = Context::new();
    context.insert("app_name", &authorization.client.registration.name);
    context.insert("tenant_domain", idp.authority.domain());
    context.insert("action", &format!("/{tenant}/login?{}", request.query_string()));
    context.insert("form_token_name", FORM_TOKEN);
    context.insert("form_token", &form_token);
    context.insert("accounts", &accounts);
    context.insert("email", hint.filter(|_| !hint_is_known).unwrap_or_default());
    context.insert("error", &error.map(OAuthError::sentence));
    context.insert("permissions", &permissions(authorization));
    let back = pages::csp_source(&authorization.redirect_target.redirect_uri);
    let allowed = CspSources {
        form_action: std::iter::once("'self'".to_owned()).chain(back).collect(),
        ..CspSources::default()
    };
    let status = if error.is_some() {
        StatusCode::BAD_REQUEST
    } else {
        StatusCode::OK
    };
    pages::with_cookie(idp.pages.render(status, "sign_in.html", &context, &allowed), &cookie)
}

#[derive(Serialize)]
struct Account<'a> {
    oid: &'a str,
    name: &'a str,
    email: &'a str,
    initials: String,
    roles: &'a [String],
    hinted: bool,
}

impl<'a> Account<'a> {
    fn new(user: &'a IdpUser, hinted: bool) -> Self {
        let initials = user
            .name
            .split_whitespace()
            .filter_map(|word| word.chars().next())
            .take(2)
            .collect();
        Self {
            oid: &user.oid,
            name: &user.name,
            email: &user.email,
            initials,
            roles: &user.roles,
            hinted,
        }
    }
}

/// The permissions to list, if the application wants the user to consent.
fn permissions(authorization: &AuthorizationRequest) -> Vec<String> {
    match authorization.prompt {
        Some(Prompt::Consent) => authorization.scope.granted().split(' ').map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}
