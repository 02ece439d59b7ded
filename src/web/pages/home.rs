//! `/`: what this is.

use actix_web::HttpResponse;
use serde::Serialize;

use crate::web::{error_page::PageError, visit::Visit};

#[derive(Serialize)]
struct HomePage {}

/// `GET /`
///
/// # Errors
/// When the page cannot be rendered.
pub async fn show(visit: Visit) -> Result<HttpResponse, PageError> {
    visit.page("home.html", &HomePage {})
}
