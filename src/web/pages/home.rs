//! `/`: what this site is, and what the visitor can do here.

use actix_web::HttpResponse;
use serde::Serialize;

use crate::web::{
    error::PageError,
    request_context::{RequestContext, SignedInUser},
};

#[derive(Serialize)]
struct HomePage {}

/// `GET /`
///
/// # Errors
/// When the page cannot be rendered.
pub async fn show(context: RequestContext) -> Result<HttpResponse, PageError> {
    if let Some(account) = context.session.account() {
        let user = SignedInUser { context, account };
        if user.api().cached_rights().is_none() {
            // The answer is cached; the page uses it to decide whether to offer the post form.
            user.may_write().await;
        }
        return user.context.page("home.html", &HomePage {});
    }
    context.page("home.html", &HomePage {})
}
