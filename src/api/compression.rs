//! Compressed responses, each under an entity tag of its own: see [`crate::serve::content_coding`].
//!
//! A body is compressed as a whole, so that a response has a length and small ones leave in one packet. What takes longer
//! than a serving thread may spend on one request is compressed on other threads, a few at a time.

use std::io;

use actix_web::{
    Error, Route,
    body::{BodySize, BoxBody, EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    guard,
    http::header::{self, HeaderMap, HeaderValue},
    middleware::{Next, from_fn},
    web::{self, Bytes},
};
use tokio::sync::Semaphore;

use super::problem::Problem;
use crate::serve::content_coding::{Coding, Effort, MIN_BYTES};

/// Largest body that is compressed on the serving thread: about a third of a millisecond.
const MAX_INLINE_BYTES: usize = 32 * 1024;
/// Larger bodies that are compressed at the same time, in the whole process; others wait without holding a thread.
static LARGE: Semaphore = Semaphore::const_new(4);

/// The same route for requests that have `Accept-Encoding`. Mount it before the plain one, which is spared the work.
pub fn compressed(route: Route) -> Route {
    route
        .guard(guard::fn_guard(|request| request.head().headers().contains_key(header::ACCEPT_ENCODING)))
        .wrap(from_fn(compress))
}

async fn compress(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody + 'static>>, Error> {
    let Ok(coding) = Coding::negotiate(request.request()) else {
        return Ok(request.error_response(Problem::no_acceptable_coding()).map_into_right_body());
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
    let compressed = compress_bytes(coding, bytes).await.map_err(Problem::internal)?;
    let mut response = response.set_body(BoxBody::new(compressed));
    name_form(response.headers_mut(), coding);
    Ok(ServiceResponse::new(request, response).map_into_right_body())
}

async fn compress_bytes(coding: Coding, bytes: Bytes) -> io::Result<Bytes> {
    if bytes.len() <= MAX_INLINE_BYTES {
        return coding.compress(&bytes, Effort::Fast).map(Bytes::from);
    }
    let _permit = LARGE.acquire().await.map_err(io::Error::other)?;
    let compressed = web::block(move || coding.compress(&bytes, Effort::Fast)).await;
    compressed.map_err(io::Error::other).flatten().map(Bytes::from)
}

fn name_form(headers: &mut HeaderMap, coding: Coding) {
    headers.insert(header::CONTENT_ENCODING, coding.to_header());
    let plain = headers.get(header::ETAG).and_then(|tag| tag.to_str().ok());
    let plain = plain.and_then(|tag| tag.strip_prefix('"')).and_then(|tag| tag.strip_suffix('"'));
    if let Some(tag) = plain.and_then(|tag| HeaderValue::try_from(format!("\"{}\"", coding.tag(tag))).ok()) {
        headers.insert(header::ETAG, tag);
    }
}
