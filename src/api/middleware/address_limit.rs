//! Counts every request against the rate limit of its address, once, and before anything else is done for it.

use actix_web::{
    Error,
    body::{EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{Method, header},
    middleware::Next,
    web,
};

use super::rate_limit::{Exceeded, RateLimits};
use crate::api::problem::Problem;

/// Middleware: counts every request. It belongs inside CORS, so that scripts of other sites can read the 429 response.
///
/// # Errors
/// Those of the service it wraps.
pub async fn admit(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody + 'static>>, Error> {
    match count(&request).await {
        Ok(()) => Ok(next.call(request).await?.map_into_left_body()),
        Err(problem) => Ok(request.error_response(problem).map_into_right_body()),
    }
}

/// Middleware: counts preflight requests. It belongs outside CORS, which answers them without calling [`admit`].
///
/// # Errors
/// Those of the service it wraps.
pub async fn admit_preflight(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody + 'static>>, Error> {
    if is_preflight(&request)
        && let Err(problem) = count(&request).await
    {
        return Ok(request.error_response(problem).map_into_right_body());
    }
    Ok(next.call(request).await?.map_into_left_body())
}

async fn count(request: &ServiceRequest) -> Result<(), Problem> {
    let limits = request.app_data::<web::Data<RateLimits>>();
    let limits = limits.ok_or_else(|| Problem::internal("the API has no rate limits"))?;
    let is_probe = matches!(request.path(), "/health" | "/health/live" | "/health/ready");
    let taken: Result<(), Exceeded> = if is_probe {
        limits.admit_probe(request.request())
    } else {
        limits.admit(request.request()).await
    };
    Ok(taken?)
}

/// The same condition as in actix-cors.
fn is_preflight(request: &ServiceRequest) -> bool {
    request.method() == Method::OPTIONS
        && request
            .headers()
            .get(header::ACCESS_CONTROL_REQUEST_METHOD)
            .is_some_and(|method| Method::from_bytes(method.as_bytes()).is_ok())
}
