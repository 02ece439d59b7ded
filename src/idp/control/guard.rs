//! Admits programs on this machine to the control interface, and no web page that a browser on it shows.

use actix_web::{
    Error,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::StatusCode,
    middleware::Next,
};

use super::problem::problem;
use crate::serve::loopback_guard::{self, Rejection};

/// Middleware: rejects every request that is not a direct request of a local program.
///
/// # Errors
/// Those of the wrapped service.
pub async fn only_local_programs<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let reason = match loopback_guard::rejection(&request) {
        None => return Ok(next.call(request).await?.map_into_left_body()),
        Some(Rejection::RemoteAddress) => "only this machine may use the control interface",
        Some(Rejection::WebPage) => "no web page may use the control interface",
        Some(Rejection::ForeignHost) => "address the control interface as localhost or 127.0.0.1",
    };
    let response = problem(StatusCode::FORBIDDEN, reason).map_into_right_body();
    Ok(request.into_response(response))
}
