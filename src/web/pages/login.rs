//! `/login`: sends the browser to Entra, and remembers where it wanted to go.

use std::sync::Arc;

use actix_web::{HttpResponse, web};
use chrono::Utc;
use secrecy::ExposeSecret;
use serde::Deserialize;

use crate::{
    entra::SignInHints,
    web::{
        error_page::{Kind, PageError, sign_in_href},
        public_address::{Arrival, arrival},
        return_path::ReturnPath,
        session::Pending,
        visit::Visit,
    },
};

/// `/login?next=/posts/new&switch=1`
#[derive(Debug, Deserialize)]
pub struct LoginQuery {
    /// Where to go afterwards: a path of this site, anything else is ignored.
    next: Option<String>,
    /// `1`: let the user pick another account.
    switch: Option<String>,
}

/// `GET /login`
///
/// # Errors
/// When Entra's addresses cannot be had.
pub async fn start(visit: Visit, query: web::Query<LoginQuery>) -> Result<HttpResponse, PageError> {
    let next = query.next.as_deref().and_then(ReturnPath::parse);
    // A sign-in that starts under one name and ends under another would be lost, with its cookie.
    match arrival(&visit.request, &visit.site.public_url, &visit.site.proxies) {
        Arrival::AtHome => {}
        Arrival::OtherLoopbackName => {
            let home = visit.site.public_url.origin().ascii_serialization();
            return Ok(Visit::redirect(&format!("{home}{}", sign_in_href(next.as_ref()))));
        }
        Arrival::Elsewhere(used) => {
            let error = PageError::from(Kind::OtherAddress { used, own: visit.site.public_url.clone() });
            return Err(error.leading_to(next.unwrap_or_else(ReturnPath::home)));
        }
        Arrival::Nowhere => return Err(Kind::BadRequest.into()),
    }
    let next = next.unwrap_or_else(ReturnPath::home);
    let switch = query.switch.as_deref() == Some("1");
    if !switch && visit.session.account().is_some() {
        return Ok(Visit::redirect(next.as_str()));
    }

    let hints = SignInHints { prompt: switch.then(|| "select_account".to_owned()), login_hint: None };
    let client = Arc::clone(&visit.site.client);
    let request = web::block(move || client.authorization_request(&hints))
        .await
        .map_err(|_| PageError::from(Kind::Internal))?
        .map_err(|error| {
            log::error!(request_id = visit.request_id(); "sign-in cannot be started: {error}");
            PageError::from(error).leading_to(next.clone())
        })?;
    visit.session.add_pending(Pending {
        state: request.state,
        nonce: request.pending.nonce,
        code_verifier: request.pending.code_verifier.expose_secret().to_owned(),
        next: next.as_str().to_owned(),
        started_at: Utc::now(),
    });
    Ok(Visit::redirect(request.url.as_str()))
}
