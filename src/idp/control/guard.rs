//! Who may use the control interface: programs on this machine, and no web page that a browser on it shows.

use actix_web::{
    Error,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::StatusCode,
    middleware::Next,
};

use super::problem::problem;
use crate::serve::loopback_guard::{self, Rejection};

/// Middleware: refuses every request that did not come straight from a local program.
///
/// # Errors
/// Those of the service it wraps.
pub async fn only_local_programs<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let reason = match loopback_guard::rejection(&request) {
        None => return Ok(next.call(request).await?.map_into_left_body()),
        Some(Rejection::RemoteAddress) => "only this machine may use the control interface",
        Some(Rejection::WebPage) => "no web page may use the control interface",
        Some(Rejection::ForeignHost) => "the control interface goes by localhost and 127.0.0.1 only",
    };
    let error = problem(StatusCode::FORBIDDEN, reason).map_into_right_body();
    Ok(request.into_response(error))
}
