//! What every server checks before any handler sees a request and before a byte of its body is read, and of every response
//! before it is sent.

use std::rc::Rc;

use actix_web::{
    Error, HttpResponse,
    body::{BodySize, EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method, StatusCode,
        header::{ALLOW, CONTENT_ENCODING, HOST, HeaderMap, RETRY_AFTER},
    },
    middleware::Next,
};
use serde_json::json;

use super::{Refusal, connection::Local};

/// From here on, a response counts as a large one.
const LARGE: u64 = 64 * 1024;
/// What a response without a known length counts for: what is prepared of it at once.
const PIECE: usize = 64 * 1024;
/// What `OPTIONS *` says of the server as a whole.
const METHODS: &str = "GET, HEAD, POST, PUT, DELETE, OPTIONS";

/// Middleware (for `actix_web::middleware::from_fn`). Belongs inside the middleware that gives errors their format.
///
/// # Errors
/// Those of the service it wraps.
pub async fn check(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody + 'static>>, Error> {
    let local = request.request().conn_data::<Rc<Local>>().cloned();
    if let Some(refusal) = refusal(&request, local.as_deref()) {
        return Ok(request.error_response(refusal).map_into_right_body());
    }
    if let Some(response) = own_response(&request, local.as_deref()) {
        return Ok(request.into_response(response).map_into_right_body());
    }
    let response = match (next.call(request).await, &local) {
        (Ok(response), Some(local)) => response_or_refusal(response, local),
        (Ok(response), None) => Ok(response),
        (Err(error), _) => return Err(error),
    };
    Ok(match response {
        Ok(response) => response.map_into_left_body(),
        Err((response, refusal)) => {
            let (request, _) = response.into_parts();
            ServiceResponse::from_err(refusal, request).map_into_right_body()
        }
    })
}

fn refusal(request: &ServiceRequest, local: Option<&Local>) -> Option<Refusal> {
    if local.is_some_and(|local| local.place.shared.is_reserve) && !is_probe(request.path()) {
        return Some(Refusal::TooManyConnections);
    }
    if !has_valid_host(request) {
        return Some(Refusal::InvalidHost);
    }
    // A few hundred bytes can decompress to gigabytes, so nothing here ever decompresses a request.
    is_encoded(request.headers()).then_some(Refusal::ContentEncoding)
}

/// What the server as a whole answers.
fn own_response(request: &ServiceRequest, local: Option<&Local>) -> Option<HttpResponse> {
    if request.path() == "*" && request.method() == Method::OPTIONS {
        return Some(HttpResponse::NoContent().insert_header((ALLOW, METHODS)).finish());
    }
    let is_draining = local.is_some_and(|local| local.place.registry.is_draining());
    if is_draining && matches!(request.path(), "/health" | "/health/ready") {
        let body = json!({ "status": "unavailable", "reason": "stopping" });
        return Some(
            HttpResponse::build(StatusCode::SERVICE_UNAVAILABLE)
                .insert_header((RETRY_AFTER, 5))
                .json(body),
        );
    }
    None
}

/// The response, unless there is no room for what it takes, or was none for the request.
fn response_or_refusal<B: MessageBody>(
    mut response: ServiceResponse<B>,
    local: &Local,
) -> Result<ServiceResponse<B>, (ServiceResponse<B>, Refusal)> {
    if local.is_refused() && !response.status().is_success() {
        return Err((response, Refusal::Overloaded));
    }
    let bytes = match response.response().body().size() {
        BodySize::Sized(bytes) if bytes > LARGE => usize::try_from(bytes).unwrap_or(usize::MAX),
        BodySize::Stream => PIECE,
        BodySize::Sized(_) | BodySize::None => return Ok(response),
    };
    let Some(peer) = local.peer else { return Ok(response) };
    let registry = &local.place.registry;
    let mut charge = registry
        .sent
        .charge(registry.source(peer, response.request().headers()));
    if !charge.add(bytes) {
        return Err((response, Refusal::Overloaded));
    }
    // It counts until the body is sent.
    response.response_mut().extensions_mut().insert(charge);
    Ok(response)
}

fn is_probe(path: &str) -> bool {
    path == "/health" || path.starts_with("/health/")
}

/// Whether the request names one host, as RFC 9112 §3.2 demands.
fn has_valid_host(request: &ServiceRequest) -> bool {
    if request
        .uri()
        .authority()
        .is_some_and(|authority| !is_host(authority.as_str().as_bytes()))
    {
        return false;
    }
    let mut hosts = request.headers().get_all(HOST);
    match (hosts.next(), hosts.next()) {
        // The web server demands one in HTTP/1.1; HTTP/1.0 has none.
        (None, _) => true,
        (Some(host), None) => is_host(host.as_bytes()),
        (Some(_), Some(_)) => false,
    }
}

/// A name or an address, and perhaps a port (RFC 3986 §3.2.2). Nothing else that RFC allows is the name of any host.
fn is_host(value: &[u8]) -> bool {
    let value = value.trim_ascii();
    let (host, port) = match value.iter().rposition(|byte| *byte == b':') {
        Some(at) if !value.ends_with(b"]") => value.split_at(at),
        _ => (value, &b""[..]),
    };
    let is_port = port.len() <= 6 && port.iter().skip(1).all(u8::is_ascii_digit);
    let is_name = match host.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")) {
        Some(address) => {
            std::str::from_utf8(address).is_ok_and(|address| address.parse::<std::net::Ipv6Addr>().is_ok())
        }
        None => host
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_')),
    };
    !host.is_empty() && is_port && is_name
}

/// Whether any `Content-Encoding` names anything but `identity` (RFC 9110 §8.4).
fn is_encoded(headers: &HeaderMap) -> bool {
    let codings = headers
        .get_all(CONTENT_ENCODING)
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    codings
        .map(<[u8]>::trim_ascii)
        .any(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
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
                headers.append(
                    CONTENT_ENCODING,
                    HeaderValue::from_bytes(value).expect("a header value"),
                );
            }
            is_encoded(&headers)
        };
        for plain in [
            &[][..],
            &[&b""[..]],
            &[b" , "],
            &[b"identity"],
            &[b"Identity"],
            &[b"identity, IDENTITY", b"identity"],
        ] {
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

    #[test]
    fn a_host_is_a_name_or_an_address_and_perhaps_a_port() {
        for good in [
            "localhost",
            "a.example:8080",
            "127.0.0.1:1",
            "[::1]",
            "[::1]:5000",
            "x_y-z.example.",
            "a:",
        ] {
            assert!(is_host(good.as_bytes()), "{good}");
        }
        for bad in [
            "", ":80", "a:b", "a:80:80", "a:123456", "user@a", "a b", "a/b", "a,b", "a?b", "a#b", "a\\b", "<a>",
            "[::1", "::1", "[a]", "a%00", "\u{e4}", "a;b", "'a'",
        ] {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
    }
}
