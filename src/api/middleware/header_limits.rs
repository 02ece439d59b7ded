//! How much a request's head may hold. The web server stops reading beyond 128 KiB, with a bare 431; below that the refusal
//! is a problem like all others.

use actix_web::{
    Error,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
};

use crate::api::problem::Problem;

/// Longest path with its query, in bytes (RFC 9110 §4.1 asks for 8000 at least).
const MAX_URI: usize = 8192;
/// Most bytes of header names and values: an access token of 16 KiB, and as much beside it.
const MAX_HEADERS: usize = 32 * 1024;

/// Middleware (for `actix_web::middleware::from_fn`).
///
/// # Errors
/// Those of the service it wraps.
pub async fn check(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody + 'static>>, Error> {
    let uri = request.uri().path_and_query().map_or(0, |text| text.as_str().len());
    let headers: usize = request
        .headers()
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    let problem = match (uri > MAX_URI, headers > MAX_HEADERS) {
        (true, _) => Problem::uri_too_long(),
        (_, true) => Problem::headers_too_large(),
        _ => return Ok(next.call(request).await?.map_into_left_body()),
    };
    Ok(request.error_response(problem).map_into_right_body())
}
