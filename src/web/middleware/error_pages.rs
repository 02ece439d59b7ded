//! Renders every error as a page, or as a redirect where the user can go on. Each page says what happened, what to do,
//! and the request id; it shows what the user typed, so that nothing is lost.

use actix_web::{
    Error, HttpRequest, HttpResponse,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        Method,
        header::{ALLOW, HeaderMap, RETRY_AFTER},
    },
    middleware::Next,
    web,
};
use serde::Serialize;

use crate::{
    audit::Event,
    entra::{ClaimsChallenge, ConfidentialClient, aadsts::EntraError},
    serve::{RequestAudit, RequestError, RequestId},
    web::{
        error::{ErrorKind, PageError, explanation::Explanation},
        forced_sign_in::force_sign_in,
        pages::post_form,
        paths,
        post_input::PostInput,
        request_context::RequestContext,
        session::{ForcedSignIn, StepUp, TypedSession},
        session_store::current_failure,
        sign_in::{
            links::{ADMIN_CONSENT_STATE, another_account_href, consent_href, sign_in_href},
            return_path::ReturnPath,
        },
    },
};

/// `Retry-After`, in seconds, when this site is busy or the session store does not answer.
const RETRY_SECONDS: u64 = 5;
/// AADSTS65001: the user has not consented yet, and may.
const USER_CONSENT_REQUIRED: u32 = 65001;

/// Middleware (for `actix_web::middleware::from_fn`): renders every error as a page. Belongs inside the session
/// middleware.
///
/// # Errors
/// Those of the wrapped service that are not responses.
pub async fn render_errors(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if current_failure().is_some() && paths::needs_session(request.match_info().as_str()) {
        let page = render(request.request(), &ErrorKind::SessionsUnreachable.into()).await;
        return Ok(request.into_response(page));
    }
    let response = next.call(request).await?;
    let Some(error) = response.response().error() else {
        return Ok(response.map_into_boxed_body());
    };
    let status = error.as_response_error().status_code();
    let page = if let Some(error) = error.as_error::<PageError>() {
        record_denial(response.request(), error);
        render(response.request(), error).await
    } else if let Some(rejection) = error.as_error::<RequestError>() {
        render(response.request(), &ErrorKind::Rejected(*rejection).into()).await
    } else {
        render(response.request(), &PageError::from_status(status)).await
    };
    let (request, _) = response.into_parts();
    Ok(ServiceResponse::new(request, page))
}

/// Records a form of another site in the audit trail. The API records what it denies.
fn record_denial(request: &HttpRequest, error: &PageError) {
    if !matches!(error.kind(), ErrorKind::CsrfCheckFailed) {
        return;
    }
    if let Some(audit) = request.app_data::<web::Data<RequestAudit>>() {
        let actor = TypedSession::from_http(request).account().map(|account| account.user());
        let event = Event::AccessDenied {
            reason: "csrf",
            post_id: None,
        };
        audit.record(request, actor, event);
    }
}

/// The page that replaces a response when the changes of the request to its session could not be saved.
pub async fn session_not_saved(request: &HttpRequest) -> HttpResponse {
    // The page must not show the sign-in or sign-out that was just lost.
    TypedSession::from_http(request).purge();
    render(request, &ErrorKind::SessionsUnreachable.into()).await
}

async fn render(request: &HttpRequest, error: &PageError) -> HttpResponse {
    let response = match RequestContext::from_http(request) {
        Ok(context) => match error.kind() {
            ErrorKind::SignInRequired => require_sign_in(&context, None).await,
            ErrorKind::TokenRejected(code) => require_sign_in(&context, Some(code)).await,
            ErrorKind::StepUpRequired(challenge) => require_step_up(&context, challenge, error.next()),
            ErrorKind::SessionExpired(unsaved) => {
                post_form::session_expired(&context, &unsaved.seal, &unsaved.input).await
            }
            ErrorKind::AlreadySignedOut => Ok(RequestContext::redirect("/")),
            ErrorKind::SignInDeclined => sign_in_declined(&context, error.next()),
            _ => explain(&context, error),
        },
        Err(error) => Err(error),
    };
    // The error page itself cannot be rendered: only the request id is left to show.
    response.unwrap_or_else(|_| {
        HttpResponse::InternalServerError()
            .content_type("text/plain; charset=utf-8")
            .body(format!(
                "Something went wrong on our side. Request ID: {}\n",
                RequestId::get(request).as_str()
            ))
    })
}

/// Redirects to the sign-in and back; `rejected` is the API's problem code if it rejected the access token. A signed-in
/// user who is sent there twice in a row would loop, because the API rejects every token that Entra ID issues: they get
/// a page instead.
async fn require_sign_in(context: &RequestContext, rejected: Option<&String>) -> Result<HttpResponse, PageError> {
    if let Some(account) = context.session.account()
        && force_sign_in(context, &account).await? == ForcedSignIn::Repeated
    {
        return explain(context, &ErrorKind::NewTokenRejected(rejected.cloned()).into());
    }
    let next = context.return_path(requested_page(&context.request));
    Ok(RequestContext::redirect(&sign_in_href(next.as_ref())))
}

/// Redirects to a sign-in that meets the API's claims challenge, and back. The user stays signed in meanwhile: other
/// pages may demand less.
fn require_step_up(
    context: &RequestContext,
    challenge: &ClaimsChallenge,
    next: Option<&ReturnPath>,
) -> Result<HttpResponse, PageError> {
    if context.session.require_step_up(challenge) == StepUp::Failed {
        return explain(context, &ErrorKind::StepUpFailed.into());
    }
    log::info!(request_id = context.request_id(); "the API requires a stronger sign-in");
    let next = next
        .cloned()
        .or_else(|| context.return_path(requested_page(&context.request)));
    Ok(RequestContext::redirect(&sign_in_href(next.as_ref())))
}

/// The page that the browser asked for, with its query unless it sent a form: the seal in that address is for the form
/// alone, and stays out of links and cookies.
fn requested_page(request: &HttpRequest) -> &str {
    let uri = request.uri();
    match *request.method() {
        Method::GET | Method::HEAD => uri.path_and_query().map_or("/", |path| path.as_str()),
        _ => uri.path(),
    }
}

#[derive(Serialize)]
struct DeclinedPage<'a> {
    stay: &'a str,
    again: String,
    another: String,
}

fn sign_in_declined(context: &RequestContext, next: Option<&ReturnPath>) -> Result<HttpResponse, PageError> {
    let page = DeclinedPage {
        stay: next.map_or("/", ReturnPath::as_str),
        again: sign_in_href(next),
        another: another_account_href(next),
    };
    context.page("declined.html", &page)
}

#[derive(Serialize)]
struct ErrorPage<'a> {
    #[serde(flatten)]
    explanation: &'a Explanation,
    kept: Option<&'a PostInput>,
    action_href: String,
    another_account_href: Option<String>,
    entra: Option<EntraDetails<'a>>,
    /// Where an administrator consents for the organisation.
    admin_consent_url: Option<String>,
}

#[derive(Serialize)]
struct EntraDetails<'a> {
    code: Option<String>,
    error: &'a str,
    description: &'a str,
    correlation_id: Option<&'a str>,
}

fn explain(context: &RequestContext, error: &PageError) -> Result<HttpResponse, PageError> {
    let kind = error.kind();
    let explanation = Explanation::new(kind);
    if explanation.status.is_server_error() {
        log::error!(request_id = context.request_id(); "{}: {}", explanation.status.as_u16(), log_text(kind, explanation.heading));
    }
    let entra = match kind {
        ErrorKind::SignInFailed(error) | ErrorKind::ConsentRequired(error) => Some(EntraDetails::new(error)),
        _ => None,
    };
    let admin_consent_url = match kind {
        ErrorKind::ConsentRequired(_) | ErrorKind::AdminConsentDeclined => {
            let mut url = context.component::<ConfidentialClient>()?.admin_consent_url();
            url.query_pairs_mut().append_pair("state", ADMIN_CONSENT_STATE);
            Some(url.into())
        }
        _ => None,
    };
    // A user whose rights are not sufficient may have another account.
    let another_account_href = match kind {
        ErrorKind::ConsentRequired(_) | ErrorKind::SignInFailed(_) => Some(another_account_href(error.next())),
        ErrorKind::NotAuthor | ErrorKind::ReadOnly | ErrorKind::NoRole => {
            let next = context.return_path(requested_page(&context.request));
            Some(another_account_href(next.as_ref()))
        }
        _ => None,
    };
    let page = ErrorPage {
        explanation: &explanation,
        kept: error.input(),
        action_href: action_href(context, error, explanation.action_href),
        another_account_href,
        entra,
        admin_consent_url,
    };
    let mut response = context.page_with_status(explanation.status, "error.html", &page)?;
    add_headers(response.headers_mut(), kind)?;
    Ok(response)
}

/// Where the button of the page leads.
fn action_href(context: &RequestContext, error: &PageError, href: &str) -> String {
    match (error.next(), href) {
        // The user would repeat a sign-in, whose address works only once.
        (Some(next), "/login" | "") => match error.kind() {
            ErrorKind::WrongOrigin { own, .. } => {
                format!("{}{}", own.origin().ascii_serialization(), sign_in_href(Some(next)))
            }
            ErrorKind::ConsentRequired(error) if error.code == Some(USER_CONSENT_REQUIRED) => consent_href(next),
            _ => sign_in_href(Some(next)),
        },
        (_, "") => requested_page(&context.request).to_owned(),
        (_, href) => href.to_owned(),
    }
}

/// Adds the headers that some errors require.
fn add_headers(headers: &mut HeaderMap, kind: &ErrorKind) -> Result<(), PageError> {
    match kind {
        ErrorKind::MethodNotAllowed(methods) => {
            let methods = methods.parse().map_err(|_| PageError::from(ErrorKind::Internal))?;
            headers.insert(ALLOW, methods);
        }
        ErrorKind::Rejected(error) => {
            for (name, value) in error.headers() {
                headers.append(name, value);
            }
        }
        ErrorKind::Busy | ErrorKind::SessionsUnreachable => {
            headers.insert(RETRY_AFTER, RETRY_SECONDS.into());
        }
        ErrorKind::TooManyRequests(Some(seconds))
        | ErrorKind::ApiUnavailable(Some(seconds))
        | ErrorKind::TooManyFailedSignIns(seconds) => {
            headers.insert(RETRY_AFTER, (*seconds).into());
        }
        _ => {}
    }
    Ok(())
}

/// What the log says about an error of this site or of a server behind it.
fn log_text(kind: &ErrorKind, heading: &str) -> String {
    match kind {
        ErrorKind::SiteForbidden(code) | ErrorKind::NewTokenRejected(Some(code)) if !code.is_empty() => {
            format!("{heading}: the API answers {code}")
        }
        ErrorKind::NotTheApi(status) => format!(
            "{heading}: status {status} without a problem document; hint: client.api_base_url must be the address of serve-api"
        ),
        _ => heading.to_owned(),
    }
}

impl<'a> EntraDetails<'a> {
    fn new(error: &'a EntraError) -> Self {
        Self {
            code: error.code.map(|code| format!("AADSTS{code}")),
            error: &error.error,
            description: &error.description,
            correlation_id: error.correlation_id.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn the_seal_in_the_address_of_a_form_is_in_no_link() {
        let of = |request: TestRequest| requested_page(&request.to_http_request()).to_owned();
        assert_eq!(of(TestRequest::post().uri("/posts/new?form=sealed")), "/posts/new");
        assert_eq!(of(TestRequest::get().uri("/posts?page=2")), "/posts?page=2");
        assert_eq!(
            of(TestRequest::default().method(Method::HEAD).uri("/posts?page=2")),
            "/posts?page=2"
        );
    }
}
