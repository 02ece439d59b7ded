//! Records rejected access tokens and denied requests in the audit trail.

use actix_web::{HttpRequest, dev::ServiceResponse, http::StatusCode, web};

use crate::{
    api::problem::{Code, Problem},
    audit::Event,
    blog::UserKey,
    serve::RequestAudit,
};

/// Records a response, if it denies the request. `actor` returns the caller of a request, if it has one.
pub fn record<B>(response: &ServiceResponse<B>, actor: impl FnOnce(&HttpRequest) -> Option<UserKey>) {
    if !matches!(response.status(), StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
        return;
    }
    let request = response.request();
    let (Some(audit), Some(problem)) = (
        request.app_data::<web::Data<RequestAudit>>(),
        response
            .response()
            .error()
            .and_then(|error| error.as_error::<Problem>()),
    ) else {
        return;
    };
    if let Some(event) = denial(problem, response.status(), request) {
        audit.record(request, actor(request), event);
    }
}

fn denial(problem: &Problem, status: StatusCode, request: &HttpRequest) -> Option<Event> {
    let reason = problem.code();
    if status == StatusCode::UNAUTHORIZED {
        return match problem.kind() {
            // Every client without a token, such as a browser, would be in the trail.
            Code::MissingToken => None,
            Code::InsufficientClaims => Some(Event::AccessDenied { reason, post_id: None }),
            _ => Some(Event::TokenRejected { reason }),
        };
    }
    let post_id = request.match_info().get("id").and_then(|id| id.parse().ok());
    Some(Event::AccessDenied { reason, post_id })
}
