//! The span of each request that a server receives, and the scope in which the request is handled.
//!
//! A caller's trace is continued only if the caller is trusted: otherwise any client could decide what is recorded, or add
//! spans to the trace of another user. Health requests are never recorded, because probes would outnumber everything else.

use std::borrow::Cow;

use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::{Method, StatusCode, header::HeaderValue},
    web,
};

use super::TrustedProxies;
use crate::{
    config::Settings,
    trace::{self, Begun, Origin, Scope, Span, TraceContext, Tracer},
};

/// Longest path in a span, in bytes.
const MAX_PATH: usize = 512;

/// How a server treats traces. The server registers it as `web::Data`; without it, no request is recorded and no caller is
/// trusted.
pub struct Tracing {
    tracer: Option<Tracer>,
    trusted: TrustedProxies,
}

impl Tracing {
    /// Spans go to `tracer`. Callers in `server.trusted_proxies` and `telemetry.trusted_callers` are trusted.
    pub fn new(tracer: Option<Tracer>, settings: &Settings) -> Self {
        let (proxies, callers) = (&settings.server.trusted_proxies, &settings.telemetry.trusted_callers);
        Self {
            tracer,
            trusted: TrustedProxies::new(&[&**proxies, &**callers].concat()),
        }
    }

    fn trusts(&self, request: &ServiceRequest) -> bool {
        self.trusted.is_trusted_peer(request.peer_addr().map(|peer| peer.ip()))
    }
}

/// Begins the span of a request.
pub(super) fn begin(request: &ServiceRequest, request_id: &str) -> Begun {
    let headers = request.headers();
    let caller = TraceContext::from_headers(
        headers.get_all(trace::PARENT).map(HeaderValue::as_bytes),
        headers.get_all(trace::STATE).map(HeaderValue::as_bytes),
    );
    let tracing = request.app_data::<web::Data<Tracing>>();
    let tracer = tracing.and_then(|tracing| tracing.tracer.as_ref());
    let Some(tracer) = tracer.filter(|_| !is_health(request.path())) else {
        let is_trusted = caller.is_some() && tracing.is_some_and(|tracing| tracing.trusts(request));
        let caller = caller.map(|caller| if is_trusted { caller } else { caller.not_sampled() });
        return Begun {
            span: Span::none(),
            scope: Scope::new(request_id, caller),
        };
    };
    let origin = match caller {
        None => Origin::Here,
        Some(caller) if tracing.is_some_and(|tracing| tracing.trusts(request)) => Origin::TrustedCaller(caller),
        Some(caller) => Origin::OtherCaller(caller),
    };
    let method = method_name(request.method());
    let mut begun = tracer.begin_request(request_id, origin, Cow::Borrowed(method));
    let span = &mut begun.span;
    if span.is_recording() {
        let connection = request.connection_info();
        span.set("http.request.method", method);
        span.set(
            "url.scheme",
            if connection.scheme() == "https" {
                "https"
            } else {
                "http"
            },
        );
        drop(connection);
        span.set("url.path", shortened(request.path()).to_owned());
        span.set("blogctl.request_id", request_id.to_owned());
    }
    begun
}

/// Ends the span of a request whose response is about to be sent.
pub(super) fn end(mut span: Span, method: &Method, result: &Result<ServiceResponse<impl MessageBody>, Error>) {
    if !span.is_recording() {
        return;
    }
    let status = match result {
        Ok(response) => {
            if let Some(route) = response.request().match_pattern() {
                span.rename(format!("{} {route}", method_name(method)));
                span.set("http.route", route);
            }
            response.status()
        }
        Err(error) => error.as_response_error().status_code(),
    };
    record_status(&mut span, status);
}

fn record_status(span: &mut Span, status: StatusCode) {
    span.set("http.response.status_code", i64::from(status.as_u16()));
    // A 4xx is the client's error, not the server's.
    if status.is_server_error() {
        span.fail(status.as_u16().to_string());
    }
}

fn is_health(path: &str) -> bool {
    path.strip_prefix("/health")
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Methods that no specification defines count as one (OpenTelemetry's `http.request.method`).
fn method_name(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        "CONNECT" => "CONNECT",
        "TRACE" => "TRACE",
        _ => "_OTHER",
    }
}

fn shortened(path: &str) -> &str {
    path.get(..path.floor_char_boundary(MAX_PATH)).unwrap_or_default()
}
