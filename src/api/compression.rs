//! Compressed answers, each under a tag of its own: a strong entity tag names one form, byte for byte (RFC 9110 §8.8.3.3).

use actix_web::{
    Error, Route,
    body::{BodySize, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    guard,
    http::header::{self, ContentEncoding, HeaderValue},
    middleware::{Compress, Next, from_fn},
};

/// Below this compressing saves nothing: the answer fits into one packet, headers and all.
const LEAST_BYTES: u64 = 1024;
/// What a tag of a compressed form ends with.
const MARK: char = ';';

/// The same route for requests that say something about encodings. Belongs before the plain one, which is spared the work.
pub fn compressed(route: Route) -> Route {
    route
        .guard(guard::fn_guard(|request| request.head().headers().contains_key(header::ACCEPT_ENCODING)))
        .wrap(from_fn(leave_small))
        .wrap(Compress::default())
        .wrap(from_fn(name_form))
}

/// The tag of the form that was not compressed.
pub fn of_plain_form(tag: &str) -> &str {
    tag.rsplit_once(MARK)
        .filter(|(_, coding)| ["gzip", "br", "zstd", "deflate"].contains(coding))
        .map_or(tag, |(plain, _)| plain)
}

async fn leave_small(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let mut response = next.call(request).await?;
    if matches!(response.response().body().size(), BodySize::Sized(bytes) if bytes < LEAST_BYTES) {
        // The middleware around this one takes it for done.
        response.headers_mut().insert(header::CONTENT_ENCODING, ContentEncoding::Identity.to_header_value());
    }
    Ok(response)
}

async fn name_form(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let mut response = next.call(request).await?;
    let headers = response.headers_mut();
    match headers.get(header::CONTENT_ENCODING).and_then(|coding| coding.to_str().ok()) {
        Some("identity") => {
            headers.remove(header::CONTENT_ENCODING);
        }
        Some(coding) => {
            let plain =
                headers.get(header::ETAG).and_then(|tag| tag.to_str().ok()).and_then(|tag| tag.strip_suffix('"'));
            let named = plain.and_then(|tag| HeaderValue::try_from(format!("{tag}{MARK}{coding}\"")).ok());
            if let Some(tag) = named {
                headers.insert(header::ETAG, tag);
            }
        }
        None => {}
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_coding_that_is_known_is_taken_off_a_tag() {
        for (tag, plain) in
            [("7-1;gzip", "7-1"), ("7-1;br", "7-1"), ("7-1;zstd", "7-1"), ("7-1;x", "7-1;x"), ("7-1", "7-1")]
        {
            assert_eq!(of_plain_form(tag), plain);
        }
    }
}
