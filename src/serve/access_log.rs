//! Logs each request in one line: method, path, status, duration, request id, and trace id if there is one. Never the
//! query string: it may hold an authorization code.

use std::time::Instant;

use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
};

use super::{RequestId, TraceContext};

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
    let result = next.call(request).await;
    let ms = started.elapsed().as_secs_f64() * 1000.0;
    let status = match &result {
        Ok(response) => response.status(),
        Err(error) => error.as_response_error().status_code(),
    }
    .as_u16();
    let (id, trace) = (id.as_str(), trace.as_str());
    log::info!(target: "blogctl::access", request_id = id, trace_id = trace; "{method} {path} {status} {ms:.1}ms");
    result
}
