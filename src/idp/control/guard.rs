//! Who may use the control interface: programs on this machine, and no web page that a browser on it shows.

use actix_web::{
    Error,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::StatusCode,
    middleware::Next,
};

use super::problem::problem;
use crate::serve::local_programs::{self, Objection};

/// Middleware: refuses every request that did not come straight from a local program.
///
/// # Errors
/// Those of the service it wraps.
pub async fn only_local_programs<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let reason = match local_programs::objection(&request) {
        None => return Ok(next.call(request).await?.map_into_left_body()),
        Some(Objection::AnotherMachine) => "only this machine may use the control interface",
        Some(Objection::WebPage) => "no web page may use the control interface",
        Some(Objection::ForeignHost) => "the control interface goes by localhost and 127.0.0.1 only",
    };
    let refusal = problem(StatusCode::FORBIDDEN, reason).map_into_right_body();
    Ok(request.into_response(refusal))
}
