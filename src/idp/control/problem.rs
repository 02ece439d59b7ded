//! Error responses of the control interface.

use actix_web::{HttpResponse, http::StatusCode};
use serde_json::json;

/// A JSON response whose `error` says what is wrong with the request.
pub(super) fn problem(status: StatusCode, message: impl Into<String>) -> HttpResponse {
    HttpResponse::build(status).json(json!({ "error": message.into() }))
}
