//! Compresses pages. A page may contain the session's CSRF token, which an attacker who sees the lengths of responses
//! could guess if it were not masked (BREACH): see `csrf_token::mask`. Pages that repeat parts of their request, such
//! as error pages, are not compressed.

use actix_web::{
    Error,
    body::{BodySize, BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method, StatusCode,
        header::{self, HeaderValue},
    },
    middleware::Next,
};

use crate::serve::content_coding::{Coding, MIN_BYTES};

/// Middleware (for `actix_web::middleware::from_fn`): compresses pages for browsers that accept it.
///
/// # Errors
/// Those of the wrapped service.
pub async fn compress(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    // RFC 9110 §12.5.3: a client that accepts no coding at all gets the uncompressed page.
    let coding = Coding::negotiate(request.request()).unwrap_or_default();
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let mut response = next.call(request).await?.map_into_boxed_body();
    if !is_read || !is_page(&response) {
        return Ok(response);
    }
    response
        .headers_mut()
        .append(header::VARY, HeaderValue::from_static("Accept-Encoding"));
    let Some(coding) = coding else { return Ok(response) };
    let (request, response) = response.into_parts();
    let (mut response, body) = response.into_parts();
    let bytes = match body.try_into_bytes() {
        Ok(bytes) => bytes,
        Err(body) => return Ok(ServiceResponse::new(request, response.set_body(body))),
    };
    let body = match coding.compress_body(bytes.clone()).await {
        Ok(compressed) => {
            response
                .headers_mut()
                .insert(header::CONTENT_ENCODING, coding.to_header());
            compressed
        }
        Err(error) => {
            log::warn!("page sent uncompressed: {} failed: {error}", coding.name());
            bytes
        }
    };
    Ok(ServiceResponse::new(request, response.set_body(BoxBody::new(body))))
}

fn is_page(response: &ServiceResponse<BoxBody>) -> bool {
    let headers = response.headers();
    let is_html = headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|value| value.as_bytes().starts_with(b"text/html"));
    let is_large = matches!(response.response().body().size(), BodySize::Sized(bytes) if bytes >= MIN_BYTES as u64);
    response.status() == StatusCode::OK && is_html && is_large && !headers.contains_key(header::CONTENT_ENCODING)
}
