//! Logs each request in one line: method, path, status, duration. Never the query string: it may hold an authorization
//! code. The same values are fields of the line, which only its JSON form shows.

use std::time::Instant;

use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
};

use super::RequestId;

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
    let result = next.call(request).await;
    let ms = started.elapsed().as_secs_f64() * 1000.0;
    let (status, route) = match &result {
        Ok(response) => (response.status(), response.request().match_pattern()),
        Err(error) => (error.as_response_error().status_code(), None),
    };
    let status = status.as_u16();
    log::info!(
        target: "blogctl::access",
        request_id = id.as_str(),
        "http.request.method" = method.as_str(),
        "url.path" = path.as_str(),
        "http.route" = route.as_deref().unwrap_or_default(),
        "http.response.status_code" = status,
        "blogctl.duration_ms" = (ms * 1000.0).round() / 1000.0;
        "{method} {path} {status} {ms:.1}ms"
    );
    result
}
