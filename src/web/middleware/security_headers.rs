//! Sets the security headers of every response.

use actix_web::{
    Error,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
    web,
};

use crate::web::security_headers::SecurityHeaders;

/// Middleware (for `actix_web::middleware::from_fn`).
///
/// # Errors
/// Those of the wrapped service.
pub async fn set_security_headers(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let headers = request.app_data::<web::Data<SecurityHeaders>>().cloned();
    let mut response = next.call(request).await?;
    if let Some(headers) = headers {
        let path = response.request().match_info().as_str().to_owned();
        headers.set(response.headers_mut(), &path);
    }
    Ok(response)
}
