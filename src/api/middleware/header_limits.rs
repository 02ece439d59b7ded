//! Limits the size of a request's URI and headers. Beyond 128 KiB the web server itself stops reading, with a 431
//! without a body; these lower limits respond with a problem document.

use actix_web::{
    Error,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
};

use crate::api::problem::Problem;

/// The longest path and query, in bytes (RFC 9110 §4.1 recommends at least 8000).
const MAX_URI_BYTES: usize = 8192;
/// Most bytes of all header names and values: an access token of 16 KiB, and as much for other headers.
const MAX_HEADERS_BYTES: usize = 32 * 1024;

/// Middleware.
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
    let problem = match (uri > MAX_URI_BYTES, headers > MAX_HEADERS_BYTES) {
        (true, _) => Problem::uri_too_long(),
        (_, true) => Problem::headers_too_large(),
        _ => return Ok(next.call(request).await?.map_into_left_body()),
    };
    Ok(request.error_response(problem).map_into_right_body())
}
