//! Logs each request in one line and records it in the metrics. The line has method, path, status, duration, request id, and trace id
//! if there is one. Never the query string: it may hold an authorization code.

use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    http::Method,
    middleware::Next,
};

use super::{RequestId, TraceContext, connection_data::ConnectionData};
use crate::metrics;

/// Middleware (for `actix_web::middleware::from_fn`): logs a request after its response. Wrap it inside
/// [`super::request_id::assign`], which assigns the id.
///
/// # Errors
/// Those of the wrapped service.
pub async fn log(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let started = Instant::now();
    let id = RequestId::get(request.request());
    let (method, path) = (request.method().clone(), request.path().to_owned());
    let trace = TraceContext::id(request.request());
    let role = request
        .request()
        .conn_data::<Rc<ConnectionData>>()
        .map_or("", |data| data.guard.registry.role);
    let result = next.call(request).await;
    let duration = started.elapsed();
    let status = match &result {
        Ok(response) => response.status(),
        Err(error) => error.as_response_error().status_code(),
    }
    .as_u16();
    record(role, &method, result.as_ref().ok(), status, duration);
    let ms = duration.as_secs_f64() * 1000.0;
    let (id, trace) = (id.as_str(), trace.as_str());
    log::info!(target: "blogctl::access", request_id = id, trace_id = trace; "{method} {path} {status} {ms:.1}ms");
    result
}

fn record<B>(
    role: &'static str,
    method: &Method,
    response: Option<&ServiceResponse<B>>,
    status: u16,
    duration: Duration,
) {
    if metrics::is_enabled() {
        // Errors become responses further inside; only a defect leaves one, and no request to take the route from.
        let route = response.and_then(|response| response.request().match_pattern());
        metrics::http::record(role, method.as_str(), route.as_deref(), status, duration);
    }
}
