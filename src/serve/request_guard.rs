//! Checks that every server makes of a request before a handler sees it and before any of its body is read, and of a response
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

use super::{
    RequestError,
    connection_data::{BodyError, ConnectionData},
};

/// A longer response counts against the budget.
const LARGE_BYTES: u64 = 64 * 1024;
/// What a response of unknown length counts for: the most that is prepared at once.
const STREAM_BYTES: usize = 64 * 1024;
/// What `OPTIONS *` reports about the server as a whole.
const METHODS: &str = "GET, HEAD, POST, PUT, DELETE, OPTIONS";

/// Middleware (for `actix_web::middleware::from_fn`). Wrap it inside the middleware that gives errors their format.
///
/// # Errors
/// Those of the wrapped service.
pub async fn check(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody + 'static>>, Error> {
    let data = request.request().conn_data::<Rc<ConnectionData>>().cloned();
    if let Err(error) = check_request(&request, data.as_deref()) {
        return Ok(request.error_response(error).map_into_right_body());
    }
    if let Some(response) = server_response(&request, data.as_deref()) {
        return Ok(request.into_response(response).map_into_right_body());
    }
    let response = next.call(request).await?;
    let checked = match &data {
        Some(data) => check_response(response, data),
        None => Ok(response),
    };
    Ok(match checked {
        Ok(response) => response.map_into_left_body(),
        Err((response, error)) => {
            let (request, _) = response.into_parts();
            ServiceResponse::from_err(error, request).map_into_right_body()
        }
    })
}

fn check_request(request: &ServiceRequest, data: Option<&ConnectionData>) -> Result<(), RequestError> {
    if data.is_some_and(|data| data.guard.state.is_reserve) && !is_probe(request.path()) {
        return Err(RequestError::TooManyConnections);
    }
    if data.is_some_and(|data| data.guard.may_only_probe) && !is_probe(request.path()) {
        return Err(RequestError::ClientCertificateRequired);
    }
    if !has_valid_host(request) {
        return Err(RequestError::InvalidHost);
    }
    // A few hundred bytes can decompress to gigabytes, so the servers never decompress a request.
    if is_encoded(request.headers()) {
        return Err(RequestError::ContentEncoding);
    }
    Ok(())
}

/// The response to a request about the server as a whole.
fn server_response(request: &ServiceRequest, data: Option<&ConnectionData>) -> Option<HttpResponse> {
    if request.path() == "*" && request.method() == Method::OPTIONS {
        return Some(HttpResponse::NoContent().insert_header((ALLOW, METHODS)).finish());
    }
    if !matches!(request.path(), "/health" | "/health/ready") {
        return None;
    }
    let registry = &data?.guard.registry;
    let reason = match (registry.is_draining(), registry.has_certificate()) {
        (true, _) => "stopping",
        (false, false) => "no_certificate",
        (false, true) => return None,
    };
    Some(
        HttpResponse::build(StatusCode::SERVICE_UNAVAILABLE)
            .insert_header((RETRY_AFTER, 5))
            .json(json!({ "status": "unavailable", "reason": reason })),
    )
}

/// Replaces the response with an error when the body of the request could not be read, or the response is over budget.
fn check_response<B: MessageBody>(
    mut response: ServiceResponse<B>,
    data: &ConnectionData,
) -> Result<ServiceResponse<B>, (ServiceResponse<B>, RequestError)> {
    if !response.status().is_success() {
        match data.body_error() {
            Some(BodyError::OverBudget) => return Err((response, RequestError::Overloaded)),
            Some(BodyError::TimedOut) => return Err((response, RequestError::BodyTimeout)),
            None => {}
        }
    }
    let bytes = match response.response().body().size() {
        BodySize::Sized(bytes) if bytes > LARGE_BYTES => usize::try_from(bytes).unwrap_or(usize::MAX),
        BodySize::Stream => STREAM_BYTES,
        BodySize::Sized(_) | BodySize::None => return Ok(response),
    };
    let registry = &data.guard.registry;
    let mut reservation = registry
        .sent
        .reservation(registry.source(data.peer, response.request().headers()));
    if !reservation.grow(bytes) {
        return Err((response, RequestError::Overloaded));
    }
    // The bytes count until the body is sent.
    response.response_mut().extensions_mut().insert(reservation);
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
        // The web server demands one in HTTP/1.1. HTTP/1.0 has none.
        (None, _) => true,
        (Some(host), None) => is_host(host.as_bytes()),
        (Some(_), Some(_)) => false,
    }
}

/// A host name or an address, and optionally a port (RFC 3986 §3.2.2). The RFC allows more, but no host has such a name.
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
