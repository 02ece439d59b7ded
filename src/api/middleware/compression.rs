//! Compressed responses, each under an entity tag of its own: see [`crate::serve::content_coding`].
//!
//! A body is compressed as a whole, so that a response has a length and small ones leave in one packet. What takes longer
//! than a serving thread may spend on one request is compressed on other threads, a few at a time.

use actix_web::{
    Error, Route,
    body::{BodySize, BoxBody, EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    guard,
    http::header::{self, HeaderMap, HeaderValue},
    middleware::{Next, from_fn},
};

use crate::api::problem::Problem;
use crate::serve::content_coding::{Coding, MIN_BYTES};

/// The same route for requests that have `Accept-Encoding`. Mount it before the plain one, which is spared the work.
pub fn compressed(route: Route) -> Route {
    route
        .guard(guard::fn_guard(|request| {
            request.head().headers().contains_key(header::ACCEPT_ENCODING)
        }))
        .wrap(from_fn(compress))
}

async fn compress(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody + 'static>>, Error> {
    let Ok(coding) = Coding::negotiate(request.request()) else {
        return Ok(request
            .error_response(Problem::no_acceptable_coding())
            .map_into_right_body());
    };
    let response = next.call(request).await?;
    let is_large_enough =
        matches!(response.response().body().size(), BodySize::Sized(bytes) if bytes >= MIN_BYTES as u64);
    let Some(coding) = coding.filter(|_| is_large_enough && !response.headers().contains_key(header::CONTENT_ENCODING))
    else {
        return Ok(response.map_into_left_body());
    };
    let (request, response) = response.into_parts();
    let (response, body) = response.into_parts();
    let bytes = match body.try_into_bytes() {
        Ok(bytes) => bytes,
        Err(body) => return Ok(ServiceResponse::new(request, response.set_body(body)).map_into_left_body()),
    };
    let compressed = coding.compress_body(bytes).await.map_err(Problem::internal)?;
    let mut response = response.set_body(BoxBody::new(compressed));
    name_form(response.headers_mut(), coding);
    Ok(ServiceResponse::new(request, response).map_into_right_body())
}

fn name_form(headers: &mut HeaderMap, coding: Coding) {
    headers.insert(header::CONTENT_ENCODING, coding.to_header());
    let plain = headers.get(header::ETAG).and_then(|tag| tag.to_str().ok());
    let plain = plain
        .and_then(|tag| tag.strip_prefix('"'))
        .and_then(|tag| tag.strip_suffix('"'));
    if let Some(tag) = plain.and_then(|tag| HeaderValue::try_from(format!("\"{}\"", coding.tag(tag))).ok()) {
        headers.insert(header::ETAG, tag);
    }
}
