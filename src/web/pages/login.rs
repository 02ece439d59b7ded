//! `/login`: sends the browser to Entra, and remembers where it wanted to go.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use chrono::Utc;
use secrecy::ExposeSecret;
use serde::Deserialize;

use crate::{
    entra::SignInHints,
    web::{
        forced_sign_in::sign_in_href,
        middleware::error_pages::{Kind, PageError},
        request_context::Visit,
        sign_in::pending::Pending,
        sign_in::request_origin::{Arrival, arrival},
        sign_in::return_path::ReturnPath,
    },
};

/// Longest hint, in bytes: more than any name of an account.
const MAX_HINT: usize = 320;

/// `/login?next=/posts/new&switch=1`. What is not as it must be is ignored: anybody may write such a link.
#[derive(Deserialize)]
pub struct LoginQuery {
    /// Where to go afterwards: a path of this site.
    next: Option<String>,
    /// `1`: let the user pick another account.
    switch: Option<String>,
    /// `login`, `select_account` or `consent`: what Entra is to ask for even of somebody who is signed in there.
    prompt: Option<String>,
    /// Whom to sign in: an account's name.
    login_hint: Option<String>,
    /// Of which organisation: a domain, `organizations` or `consumers`.
    domain_hint: Option<String>,
}

impl LoginQuery {
    fn hints(&self) -> SignInHints {
        let prompt = self
            .prompt
            .as_deref()
            .filter(|prompt| ["login", "select_account", "consent"].contains(prompt));
        let prompt = if self.switch.as_deref() == Some("1") {
            Some("select_account")
        } else {
            prompt
        };
        let sane = |hint: &&String| !hint.is_empty() && hint.len() <= MAX_HINT && !hint.contains(char::is_control);
        let is_domain = |hint: &&String| {
            hint.bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte))
        };
        SignInHints {
            prompt: prompt.map(str::to_owned),
            login_hint: self.login_hint.as_ref().filter(sane).cloned(),
            domain_hint: self.domain_hint.as_ref().filter(sane).filter(is_domain).cloned(),
            challenge: None,
        }
    }
}

/// `GET /login`
///
/// # Errors
/// When Entra's addresses cannot be had.
pub async fn start(visit: Visit, query: web::Query<LoginQuery>) -> Result<HttpResponse, PageError> {
    let next = query.next.as_deref().and_then(|text| visit.site.return_path(text));
    // A sign-in that starts under one name and ends under another would be lost, with its cookie.
    match arrival(&visit.request, &visit.site.public_url, &visit.site.proxies) {
        Arrival::AtHome => {}
        Arrival::OtherLoopbackName => {
            let home = visit.site.public_url.origin().ascii_serialization();
            return Ok(Visit::redirect(&format!("{home}{}", sign_in_href(next.as_ref()))));
        }
        Arrival::Elsewhere(used) => {
            let error = PageError::from(Kind::OtherAddress {
                used,
                own: visit.site.public_url.clone(),
                redirect_path: visit.site.redirect_path.clone(),
            });
            return Err(error.leading_to(next.unwrap_or_else(ReturnPath::home)));
        }
        Arrival::Nowhere => return Err(Kind::BadRequest.into()),
    }
    let next = next.unwrap_or_else(ReturnPath::home);
    let mut hints = SignInHints {
        challenge: visit.session.demanded(),
        ..query.hints()
    };
    if let Some(account) = visit.session.account()
        && hints.prompt.is_none()
    {
        if hints.challenge.is_none() {
            return Ok(Visit::redirect(next.as_str()));
        }
        // More is wanted of this user; another one is not meant.
        hints.login_hint = account.login_hint;
    }
    // Whoever asks for something else than to be let through has decided so.
    if visit.session.account().is_none()
        && hints.prompt.is_none()
        && visit.site.lost_sessions.is_going_round(&visit.request)
    {
        log::error!(
            request_id = visit.request_id(), trace_id = visit.trace_id();
            "a browser signs in again and again, and its session is lost each time; hint: let replicas share sessions \
             (redis.url), or send each browser to the same one"
        );
        return Err(PageError::from(Kind::SessionLost).leading_to(next));
    }
    let client = Arc::clone(&visit.site.client);
    let request = visit
        .site
        .lanes
        .discovery
        .run(move || client.authorization_request(&hints))
        .await;
    let request = request.map_err(|error| PageError::from(error).leading_to(next.clone()))?.map_err(|error| {
        log::error!(request_id = visit.request_id(), trace_id = visit.trace_id(); "sign-in cannot be started: {error}");
        PageError::from(error).leading_to(next.clone())
    })?;
    let pending = Pending {
        nonce: request.pending.nonce,
        code_verifier: request.pending.code_verifier.expose_secret().to_owned(),
        next: next.as_str().to_owned(),
        started_at: Utc::now(),
    };
    let remembered = visit
        .site
        .pending_sign_ins
        .begin(&visit.request, &request.state, &pending);
    remembered.ok_or_else(|| PageError::from(Kind::Internal))?;
    Ok(Visit::redirect(request.url.as_str()))
}
