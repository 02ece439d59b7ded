//! `/`: what this is, and what the visitor may do here.

use actix_web::HttpResponse;
use serde::Serialize;

use crate::web::{
    middleware::error_pages::PageError,
    request_context::{SignedIn, Visit},
};

#[derive(Serialize)]
struct HomePage {}

/// `GET /`
///
/// # Errors
/// When the page cannot be rendered.
pub async fn show(visit: Visit) -> Result<HttpResponse, PageError> {
    if let Some(account) = visit.session.account() {
        let user = SignedIn { visit, account };
        if user.api().known_rights().is_none() {
            // The page offers to write if the API would take it.
            user.may_write().await;
        }
        return user.visit.page("home.html", &HomePage {});
    }
    visit.page("home.html", &HomePage {})
}
