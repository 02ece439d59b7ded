//! Assigns the request id: taken from `X-Request-ID` if valid, otherwise generated. The response repeats it. Also begins
//! the request's span, and enters the scope in which the request is handled.

use std::{convert::Infallible, future::Ready, future::ready};

use actix_web::{
    Error, FromRequest, HttpMessage, HttpRequest,
    body::MessageBody,
    dev::{Payload, ServiceRequest, ServiceResponse},
    http::header::{HeaderName, HeaderValue},
    middleware::Next,
};
use uuid::fmt::Hyphenated;

use super::tracing;
use crate::trace::Begun;

/// `X-Request-ID`
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// Longest id that a client may choose.
const MAX_LENGTH: usize = 64;

/// Identifies one request in logs, responses and calls to other servers. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestId(HeaderValue);

impl RequestId {
    /// The id that the middleware assigned to this request, or a new one outside of the middleware.
    pub fn get(request: &HttpRequest) -> Self {
        request.extensions().get::<Self>().cloned().unwrap_or_else(Self::new)
    }

    /// The id as text: 1–64 characters of `A–Z a–z 0–9 . _ -`.
    pub fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    /// The id as a header value.
    pub fn to_header(&self) -> HeaderValue {
        self.0.clone()
    }

    /// Uses this thread's random generator: a system call for each id would be a considerable part of a small request.
    fn new() -> Self {
        let id = uuid::Builder::from_random_bytes(rand::random()).into_uuid();
        let mut text = [0; Hyphenated::LENGTH];
        // Hex digits and hyphens are always a valid header value.
        Self(HeaderValue::from_str(id.hyphenated().encode_lower(&mut text)).unwrap_or(HeaderValue::from_static("-")))
    }

    fn from_client(value: &HeaderValue) -> Option<Self> {
        let bytes = value.as_bytes();
        let is_valid = (1..=MAX_LENGTH).contains(&bytes.len())
            && bytes
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-'));
        is_valid.then(|| Self(value.clone()))
    }
}

impl FromRequest for RequestId {
    type Error = Infallible;
    type Future = Ready<Result<Self, Infallible>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self::get(request)))
    }
}

/// Middleware (for `actix_web::middleware::from_fn`): assigns the id, returns it in the response, and records the
/// request.
///
/// # Errors
/// Those of the wrapped service.
pub async fn assign(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let id = request
        .headers()
        .get(HEADER)
        .and_then(RequestId::from_client)
        .unwrap_or_else(RequestId::new);
    let header = id.to_header();
    let Begun { span, scope } = tracing::begin(&request, id.as_str());
    request.extensions_mut().insert(id);
    let method = request.method().clone();
    let result = scope.run(next.call(request)).await;
    tracing::end(span, &method, &result);
    let mut response = result?;
    response.headers_mut().insert(HEADER, header);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_that_could_forge_a_log_line_or_a_header_is_not_taken() {
        for bad in ["", "a b", "a\tb", "ä", &"x".repeat(65), "a;b", "<script>"] {
            let value = HeaderValue::from_bytes(bad.as_bytes()).expect("a header value");
            assert_eq!(RequestId::from_client(&value), None, "{bad:?}");
        }
    }

    #[test]
    fn a_valid_id_is_taken() {
        let value = HeaderValue::from_static("req-1.a_B");
        assert_eq!(RequestId::from_client(&value), Some(RequestId(value)));
    }
}
