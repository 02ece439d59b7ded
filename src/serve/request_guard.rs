//! What every server checks before any handler sees a request, and before a byte of its body is read.

use actix_web::{
    Error,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::header::{CONTENT_ENCODING, HeaderMap},
    middleware::Next,
};

use super::Refusal;

/// Middleware (for `actix_web::middleware::from_fn`). Belongs inside the middleware that gives errors their format.
///
/// # Errors
/// Those of the service it wraps.
pub async fn check(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody + 'static>>, Error> {
    match refusal(&request) {
        Some(refusal) => Ok(request.error_response(refusal).map_into_right_body()),
        None => Ok(next.call(request).await?.map_into_left_body()),
    }
}

fn refusal(request: &ServiceRequest) -> Option<Refusal> {
    // A few hundred bytes can decompress to gigabytes, so nothing here ever decompresses a request.
    is_encoded(request.headers()).then_some(Refusal::ContentEncoding)
}

/// Whether any `Content-Encoding` names anything but `identity` (RFC 9110 §8.4).
fn is_encoded(headers: &HeaderMap) -> bool {
    let codings = headers.get_all(CONTENT_ENCODING).flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    codings.map(<[u8]>::trim_ascii).any(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    #[test]
    fn nothing_but_identity_is_unencoded() {
        let encoded = |values: &[&[u8]]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CONTENT_ENCODING, HeaderValue::from_bytes(value).expect("a header value"));
            }
            is_encoded(&headers)
        };
        for plain in
            [&[][..], &[&b""[..]], &[b" , "], &[b"identity"], &[b"Identity"], &[b"identity, IDENTITY", b"identity"]]
        {
            assert!(!encoded(plain), "{plain:?}");
        }
        for other in [
            &[&b"gzip"[..]][..],
            &[b"BR"],
            &[b" zstd "],
            &[b"identity, gzip"],
            &[b"identity", b"deflate"],
            &[b"x-gzip"],
            &[b"aws-chunked"],
            &[b"\xff"],
            &[b"identity;q=1"],
        ] {
            assert!(encoded(other), "{other:?}");
        }
    }
}
