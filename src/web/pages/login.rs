//! `/login`: sends the browser to Entra, and remembers where it wanted to go.

use std::sync::Arc;

use actix_web::{HttpResponse, http::header, web};
use chrono::Utc;
use secrecy::ExposeSecret;
use serde::Deserialize;
use url::Host;

use crate::{
    entra::SignInHints,
    web::{
        error_page::{Kind, PageError, sign_in_href},
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
    if let Some(elsewhere) = other_loopback_name(&visit) {
        return Ok(Visit::redirect(&format!("{elsewhere}{}", sign_in_href(next.as_ref()))));
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

/// On a laptop, `127.0.0.1` and `localhost` are the same server but not the same cookies: a sign-in that starts under one
/// name and ends under the other would be lost. Gives the origin of the site's own name when it is the other one.
fn other_loopback_name(visit: &Visit) -> Option<String> {
    let public = &visit.site.public_url;
    let asked = visit.request.headers().get(header::HOST)?.to_str().ok()?;
    let asked = url::Url::parse(&format!("http://{asked}/")).ok()?;
    let both_local = is_loopback(public) && is_loopback(&asked);
    (both_local && public.host() != asked.host()).then(|| public.origin().ascii_serialization())
}

fn is_loopback(url: &url::Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
