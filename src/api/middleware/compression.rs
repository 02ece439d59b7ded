//! Compresses responses. Each coding has a separate entity tag: see [`crate::serve::content_coding`].
//!
//! A body is compressed as a whole, so that the response has a length and a small one fits into one packet. Large
//! bodies are compressed on other threads, a few at a time, so that they do not block a serving thread. Compressing a
//! post takes three times as long as the rest of its request, so compressed bodies are cached.

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
use moka::sync::Cache;
use openssl::sha::sha256;

use crate::{
    api::problem::Problem,
    metrics,
    serve::content_coding::{Coding, MIN_BYTES},
};

/// The largest body whose compressed form is cached, in bytes. Most pages of posts are smaller.
const MAX_CACHED_BYTES: usize = 256 * 1024;
/// The approximate size of an entry without its body.
const ENTRY_BYTES: usize = 256;

/// Caches compressed bodies by the SHA-256 of the uncompressed bytes, so an entry is never outdated. Shared by all
/// workers.
pub struct CompressedBodies(Cache<(Coding, [u8; 32]), Bytes>);

impl CompressedBodies {
    /// Caches up to `max_mib` MiB; with 0, nothing.
    pub fn new(max_mib: u32) -> Self {
        let weigh = |_: &(Coding, [u8; 32]), body: &Bytes| u32::try_from(body.len() + ENTRY_BYTES).unwrap_or(u32::MAX);
        Self(
            Cache::builder()
                .weigher(weigh)
                .max_capacity(u64::from(max_mib) * 1024 * 1024)
                .build(),
        )
    }

    async fn compressed(&self, coding: Coding, body: Bytes) -> io::Result<Bytes> {
        if body.len() > MAX_CACHED_BYTES || self.0.policy().max_capacity() == Some(0) {
            return coding.compress_body(body).await;
        }
        let key = (coding, sha256(&body));
        let cached = self.0.get(&key);
        metrics::cache::looked_up(metrics::cache::Cache::CompressedBodies, cached.is_some());
        if let Some(cached) = cached {
            return Ok(cached);
        }
        // A copy: an encoder's buffer may be many times longer than what it holds.
        let compressed = Bytes::copy_from_slice(&coding.compress_body(body).await?);
        self.0.insert(key, compressed.clone());
        Ok(compressed)
    }
}

/// The route for requests with `Accept-Encoding`. Mount it before the plain route, which then skips this middleware.
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
    let cache = request.app_data::<web::Data<CompressedBodies>>();
    let compressed = match cache {
        Some(cache) => cache.compressed(coding, bytes).await,
        None => coding.compress_body(bytes).await,
    };
    let compressed = compressed.map_err(Problem::internal)?;
    let mut response = response.set_body(BoxBody::new(compressed));
    set_coding(response.headers_mut(), coding);
    Ok(ServiceResponse::new(request, response).map_into_right_body())
}

fn set_coding(headers: &mut HeaderMap, coding: Coding) {
    headers.insert(header::CONTENT_ENCODING, coding.to_header());
    let tag = headers.get(header::ETAG).and_then(|tag| tag.to_str().ok());
    let tag = tag
        .and_then(|tag| tag.strip_prefix('"'))
        .and_then(|tag| tag.strip_suffix('"'));
    if let Some(tag) = tag.and_then(|tag| HeaderValue::try_from(format!("\"{}\"", coding.tag(tag))).ok()) {
        headers.insert(header::ETAG, tag);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::content_coding::Effort;

    #[actix_web::test]
    async fn a_body_is_compressed_once_per_coding_and_never_taken_for_another() {
        let cache = CompressedBodies::new(1);
        for text in ["one ".repeat(500), "two ".repeat(500)] {
            for coding in [Coding::Gzip, Coding::Brotli, Coding::Zstd] {
                let expected = coding.compress(text.as_bytes(), Effort::Fast).expect("bytes");
                for _ in 0..2 {
                    let body = Bytes::from(text.clone());
                    assert_eq!(cache.compressed(coding, body).await.expect("bytes"), expected);
                }
                assert!(cache.0.contains_key(&(coding, sha256(text.as_bytes()))));
            }
        }
    }

    #[actix_web::test]
    async fn nothing_is_cached_without_memory_or_of_a_large_body() {
        for (mib, bytes) in [(0, 2000), (1, MAX_CACHED_BYTES + 1)] {
            let cache = CompressedBodies::new(mib);
            let body = Bytes::from(vec![b'x'; bytes]);
            cache.compressed(Coding::Gzip, body).await.expect("bytes");
            cache.0.run_pending_tasks();
            assert_eq!(cache.0.entry_count(), 0);
        }
    }
}
