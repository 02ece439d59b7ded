//! Fills the request log.

use actix_web::{
    Error, HttpMessage,
    body::MessageBody,
    dev::{ServiceRequest, ServiceResponse},
    middleware::Next,
    web,
};

use crate::idp::{
    paths::is_control,
    request_log::{Entry, RequestLog, TokenRequestDetails},
};

/// Middleware: records each request after its response, except requests for the control interface.
///
/// # Errors
/// Those of the wrapped service.
pub async fn record(
    request: ServiceRequest,
    next: Next<impl MessageBody>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let response = next.call(request).await?;
    let request = response.request();
    if let (Some(log), false) = (request.app_data::<web::Data<RequestLog>>(), is_control(request.path())) {
        let query = url::form_urlencoded::parse(request.query_string().as_bytes());
        log.push(Entry {
            method: request.method().to_string(),
            path: request.path().to_owned(),
            query_fields: query.map(|(name, _)| name.into_owned()).collect(),
            status: response.status().as_u16(),
            note: request.extensions().get::<TokenRequestDetails>().cloned(),
        });
    }
    Ok(response)
}
