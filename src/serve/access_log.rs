//! Logs each request in one line and records it in the metrics. The line has method, path, status and duration, never the
//! query string: it may hold an authorization code. The same values are fields of the line, which only its JSON form shows.

use std::{rc::Rc, time::Instant};

use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
};

use super::{RequestId, connection_data::ConnectionData};
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
    let role = request
        .request()
        .conn_data::<Rc<ConnectionData>>()
        .map_or("", |data| data.guard.registry.role);
    let result = next.call(request).await;
    let duration = started.elapsed();
    let (status, route) = match &result {
        Ok(response) => (response.status(), response.request().match_pattern()),
        // Errors become responses further inside; only a defect leaves one, and no request to take the route from.
        Err(error) => (error.as_response_error().status_code(), None),
    };
    let status = status.as_u16();
    if metrics::is_enabled() {
        metrics::http::record(role, method.as_str(), route.as_deref(), status, duration);
    }
    let ms = duration.as_secs_f64() * 1000.0;
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
