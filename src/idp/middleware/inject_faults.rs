//! Delays requests, or answers them with 503, as the fault in force says.

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
    faults::{Fault, Faults},
    paths::is_control,
};

/// Middleware: does to a request what the fault in force says. Requests to the control interface are spared.
///
/// # Errors
/// Those of the service it wraps.
pub async fn inject<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let fault = match request.app_data::<web::Data<Faults>>() {
        Some(faults) if !is_control(request.path()) => faults.for_path(request.path()),
        _ => Fault::default(),
    };
    if fault.slow_ms > 0 {
        sleep(Duration::from_millis(fault.slow_ms)).await;
    }
    if fault.down {
        return Ok(request.into_response(
            HttpResponse::ServiceUnavailable()
                .body("down, as told")
                .map_into_right_body(),
        ));
    }
    Ok(next.call(request).await?.map_into_left_body())
}
