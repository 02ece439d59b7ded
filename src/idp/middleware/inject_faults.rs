//! Delays requests, or answers them with 503, on demand.

use std::time::Duration;

use actix_web::{
    Error, HttpResponse,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
    rt::time::sleep,
    web,
};

use crate::idp::{
    faults::{FaultInjection, FaultInjector},
    paths::is_control,
};

/// Middleware: applies the failures in force, except to requests for the control interface.
///
/// # Errors
/// Those of the wrapped service.
pub async fn inject<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let faults = match request.app_data::<web::Data<FaultInjector>>() {
        Some(injector) if !is_control(request.path()) => injector.for_path(request.path()),
        _ => FaultInjection::default(),
    };
    if faults.slow_ms > 0 {
        sleep(Duration::from_millis(faults.slow_ms)).await;
    }
    if faults.down {
        return Ok(request.into_response(
            HttpResponse::ServiceUnavailable()
                .body("down, because a test requested it")
                .map_into_right_body(),
        ));
    }
    Ok(next.call(request).await?.map_into_left_body())
}
