//! `/front-channel-logout`: the provider tells, in a hidden frame and without this site's cookies, that a session of its
//! own has ended (OpenID Connect Front-Channel Logout 1.0). The sessions here that belong to it end too.

use actix_web::{HttpResponse, http::header::ContentType, web};
use serde::Deserialize;

use crate::web::{middleware::error_pages::PageError, request_context::Visit, session::ProviderSession};

/// Where the provider calls; to be registered as the front-channel logout URL.
pub const PATH: &str = "/front-channel-logout";

/// Which session has ended.
#[derive(Deserialize)]
pub struct Notice {
    iss: String,
    sid: String,
}

/// `GET /front-channel-logout?iss=…&sid=…`: an empty page, whether or not there was such a session: the answer tells
/// a stranger nothing. `sid` cannot be guessed, and all that it can do is to sign out.
///
/// # Errors
/// When a parameter is missing, or the place where sessions are does not answer.
pub async fn end(visit: Visit, notice: web::Query<Notice>) -> Result<HttpResponse, PageError> {
    let Notice { iss: issuer, sid } = notice.into_inner();
    let ended = visit.blocking(move |site| {
        let tickets = site.sessions.end_provider_session(&ProviderSession { issuer, sid })?;
        site.tokens.forget(&tickets).map(|()| tickets.len())
    });
    let count = ended.await?;
    if count > 0 {
        log::info!("the provider ended a session: {count} signed out here");
    }
    Ok(HttpResponse::Ok()
        .content_type(ContentType::html())
        .body("<!doctype html><title>Signed out</title>"))
}
