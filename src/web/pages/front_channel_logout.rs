//! `/front-channel-logout`: the provider reports, in a hidden frame and without this site's cookies, that one of its sessions has ended
//! (OpenID Connect Front-Channel Logout 1.0). The sessions here that belong to it end too.

use actix_web::{HttpRequest, HttpResponse, http::header::ContentType, web};
use serde::Deserialize;

use crate::{
    audit::{Event, SignOutScope},
    serve::RequestAudit,
    web::{error::PageError, session::ProviderSession, user_sessions::UserSessions},
};

/// Which session has ended.
#[derive(Deserialize)]
pub struct LogoutQuery {
    iss: String,
    sid: String,
}

/// `GET /front-channel-logout?iss=…&sid=…`: an empty page, whether or not the session existed, so that a stranger learns nothing from it.
/// `sid` cannot be guessed, and can only sign users out.
///
/// # Errors
/// When a parameter is missing, or the session store does not answer.
pub async fn end(
    request: HttpRequest,
    query: web::Query<LogoutQuery>,
    user_sessions: web::Data<UserSessions>,
    audit: web::Data<RequestAudit>,
) -> Result<HttpResponse, PageError> {
    let LogoutQuery { iss: issuer, sid } = query.into_inner();
    let count = user_sessions
        .end_provider_session(ProviderSession { issuer, sid })
        .await?;
    if count > 0 {
        let event = Event::SignedOut {
            scope: SignOutScope::Provider,
            sessions: Some(count),
        };
        audit.record(&request, None, event);
        log::info!("the provider ended a session: {count} signed out here");
    }
    Ok(HttpResponse::Ok()
        .content_type(ContentType::html())
        .body("<!doctype html><title>Signed out</title>"))
}
