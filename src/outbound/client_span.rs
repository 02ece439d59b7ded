//! The span of each request to another server: where it went and how it ended. Never a query string, header or body: they may
//! hold tokens and codes.
//!
//! `traceparent` is sent only with requests that ask for it, those to our own API: identity providers and vaults have no use
//! for it, and it would show them which requests belong together.

use std::borrow::Cow;

use opentelemetry::KeyValue;
use ureq::{
    Body, Error, SendBody,
    http::{HeaderName, HeaderValue, Request, Response, Uri},
    middleware::{Middleware, MiddlewareNext},
};

use crate::trace::{self, Scope, Span, TraceContext};

/// An extension of a request to our own API: the request continues the trace of this thread's request, or begins one.
#[derive(Debug, Clone, Copy)]
pub struct PropagateTrace;

/// Records a span for each request within a recorded trace.
pub(super) struct ClientSpans;

impl Middleware for ClientSpans {
    fn handle(&self, mut request: Request<SendBody>, next: MiddlewareNext) -> Result<Response<Body>, Error> {
        let mut span = Span::client(|| describe(&request));
        if request.extensions().get::<PropagateTrace>().is_some() {
            propagate(&span, &mut request);
        }
        let result = next.handle(request);
        match &result {
            Ok(response) => {
                let status = response.status();
                span.set("http.response.status_code", i64::from(status.as_u16()));
                if status.is_client_error() || status.is_server_error() {
                    span.fail(status.as_u16().to_string());
                }
            }
            Err(error) => span.fail(error_type(error)),
        }
        result
    }
}

fn propagate(span: &Span, request: &mut Request<SendBody>) {
    let context = span.context().cloned().unwrap_or_else(|| {
        Scope::with_current(|scope| scope.context().map(TraceContext::next))
            .flatten()
            .unwrap_or_else(TraceContext::start)
    });
    let headers = [
        (trace::PARENT, Some(context.traceparent())),
        (trace::STATE, context.state()),
    ];
    for (name, value) in headers {
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            request.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
}

/// The name and the attributes of OpenTelemetry's conventions for HTTP clients.
fn describe(request: &Request<SendBody>) -> (Cow<'static, str>, Vec<KeyValue>) {
    let (method, uri) = (request.method(), request.uri());
    let template = template(uri.path());
    let name = format!("{method} {template}");
    let host = uri.host().unwrap_or_default();
    let scheme = uri.scheme_str().unwrap_or_default();
    let port = uri.port_u16().unwrap_or(if scheme == "https" { 443 } else { 80 });
    let attributes = vec![
        KeyValue::new("http.request.method", method.to_string()),
        KeyValue::new("server.address", host.trim_matches(['[', ']']).to_owned()),
        KeyValue::new("server.port", i64::from(port)),
        KeyValue::new("url.full", without_query(uri)),
        KeyValue::new("url.template", template),
    ];
    (name.into(), attributes)
}

fn without_query(uri: &Uri) -> String {
    let scheme = uri.scheme_str().unwrap_or_default();
    let authority = uri.authority().map_or("", ureq::http::uri::Authority::as_str);
    // A user name and password before the host are no part of it.
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}{}", uri.path())
}

/// The path with ids replaced, so that spans of the same operation have the same name: numbers, GUIDs, and versions of vault
/// objects.
fn template(path: &str) -> String {
    let segment = |segment: &str| -> Cow<'static, str> {
        let is_hex = segment.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        if segment.is_empty() {
            Cow::Borrowed("")
        } else if segment.bytes().all(|byte| byte.is_ascii_digit()) || (is_hex && segment.len() >= 32) {
            Cow::Borrowed("{id}")
        } else {
            Cow::Owned(segment.to_owned())
        }
    };
    path.split('/').map(segment).collect::<Vec<_>>().join("/")
}

/// A code for `error.type`.
fn error_type(error: &Error) -> &'static str {
    match error {
        Error::Timeout(_) => "timeout",
        Error::HostNotFound => "host_not_found",
        Error::ConnectionFailed | Error::ConnectProxyFailed(_) => "connection_failed",
        Error::Tls(_) | Error::Rustls(_) | Error::Pem(_) => "tls",
        Error::Io(_) => "io",
        Error::Protocol(_) | Error::Http(_) => "protocol",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_the_same_operation_have_the_same_name() {
        for (path, expected) in [
            ("/v1/posts/7", "/v1/posts/{id}"),
            ("/v1/posts", "/v1/posts"),
            (
                "/11111111-2222-4333-8444-555555555555/oauth2/v2.0/token",
                "/{id}/oauth2/v2.0/token",
            ),
            (
                "/contoso.example/discovery/v2.0/keys",
                "/contoso.example/discovery/v2.0/keys",
            ),
            (
                "/keys/site/0123456789abcdef0123456789abcdef/sign",
                "/keys/site/{id}/sign",
            ),
            ("/", "/"),
            ("/v1/posts/", "/v1/posts/"),
        ] {
            assert_eq!(template(path), expected);
        }
    }

    #[test]
    fn the_address_in_a_span_has_neither_query_nor_user() {
        for (uri, expected) in [
            ("https://h.example/p?code=hunter2", "https://h.example/p"),
            ("http://user:hunter2@h.example:81/p", "http://h.example:81/p"),
            ("http://[::1]:5000/", "http://[::1]:5000/"),
        ] {
            assert_eq!(without_query(&uri.parse().expect("a URI")), expected);
        }
    }
}
