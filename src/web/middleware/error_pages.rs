//! The only place where an error becomes a page. Each page says what happened, what to do, and the request id; what
//! somebody typed is shown, not lost.

use std::fmt;

use actix_web::{
    Error, HttpRequest, HttpResponse, ResponseError,
    body::{BoxBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        StatusCode,
        header::{ALLOW, RETRY_AFTER},
    },
    middleware::Next,
};
use serde::Serialize;
use url::Url;

use crate::web::{
    api_client::{ApiError, Forbidden},
    blocking_pools::LaneError,
    drafts::Typed,
    error::{explanation::Explanation, sign_in_denial::UserRefusal},
    forced_sign_in::{another_account_href, declined, page_of, sign_in_again, sign_in_href, step_up},
    form_seal::FormSeal,
    pages::{callback, post_form},
    request_context::Visit,
    routes,
    session::TypedSession,
    session_store,
    sign_in::return_path::ReturnPath,
    storage::redis::StoreError,
};
use crate::{
    entra::{
        ClaimsChallenge,
        aadsts::{EntraError, ErrorCategory},
        confidential_client::SignInError,
        id_token::IdTokenError,
    },
    serve::{Refusal, RequestId},
};

/// What a page says of an outage that passes by itself, in `Retry-After`.
const BUSY_SECONDS: u64 = 5;
/// The user may consent for themselves.
const CONSENT_IS_THE_USERS: u32 = 65001;

/// What went wrong, with the status that it is answered with.
#[derive(Debug)]
pub enum Kind {
    /// 400
    BadRequest,
    /// To the sign-in, and back to this page.
    SignInAgain,
    /// The same, because the API rejected the access token: with the code of its problem, empty when it names none.
    TokenRejected(String),
    /// To the sign-in with what the API demands, and back to this page.
    StepUp(ClaimsChallenge),
    /// 403: the API demands what the sign-in that it led to did not bring.
    StepUpInVain,
    /// 401: the post form once more, since its session has ended.
    SignedOut(Box<Unsent>),
    /// To the home page: who wanted to sign out is signed out already.
    SignedOutAlready,
    /// 403: a form that did not come from this site's page.
    Forged,
    /// 403: another user's post.
    NotAuthor,
    /// 403: the user's app role lets them read only.
    ReadOnly,
    /// 403: the user has no app role.
    NoRole,
    /// 502: a rule of the API keeps this site out, whoever uses it: with the code of its problem.
    SiteForbidden(String),
    /// 502: what answers at the API's address, with this status, is not the API.
    NotTheApi(u16),
    /// 503: the API cannot do it at present; with the seconds to wait when known.
    ApiUnavailable(Option<u64>),
    /// 404
    NotFound,
    /// 405, with the methods that are allowed.
    MethodNotAllowed(&'static str),
    /// 413
    TooLarge,
    /// 421: a sign-in by another address than the site's own.
    OtherAddress {
        /// The origin that the browser used.
        used: String,
        /// How browsers reach the site.
        own: Url,
        /// Path of its redirect URI.
        redirect_path: String,
    },
    /// What every server refuses before a handler sees the request.
    Refused(Refusal),
    /// 429, with the seconds to wait when known.
    TooManyRequests(Option<u64>),
    /// 429, with the seconds to wait: too many sign-ins from this address have failed.
    TooManyFailures(u64),
    /// 503: not now, but when somebody really opens it.
    Prefetched,
    /// 500
    Internal,
    /// 503: too many requests wait for the API or for Entra.
    Busy,
    /// 503: the place where sessions are kept does not answer.
    SessionsUnreachable,
    /// 502: the API cannot be reached.
    ApiUnreachable,
    /// 502: the API did not answer in time.
    ApiTimedOut,
    /// 502: the API answered with an error of its own.
    ApiFailed,
    /// 502: the API refuses even a token that was issued a moment ago: with the code of its problem; `None` when the site has no
    /// token at all.
    TokenRefused(Option<String>),
    /// 502: Entra cannot be reached.
    EntraUnreachable,
    /// 502: Entra refused the site, and said why. 403: Entra refused the user.
    SignInFailed(EntraError),
    /// 502: Entra's answer did not pass the checks.
    SignInRejected,
    /// 500: the site's certificate cannot be used.
    CertificateUnusable,
    /// 403: Entra wants somebody's consent first.
    ConsentNeeded(EntraError),
    /// 200: the user did not want to sign in; no error, but a choice.
    SignInDeclined,
    /// 403: an administrator did not consent for everybody.
    AdminConsentDeclined,
    /// 400: a sign-in that is not under way in this browser.
    SignInStale,
    /// 503: sign-ins succeed one after another, and none of them lasts.
    SessionLost,
}

/// What somebody sent who is not signed in any more.
#[derive(Debug)]
pub struct Unsent {
    /// The text.
    pub typed: Typed,
    /// Whose it is.
    pub seal: FormSeal,
}

/// An error of a page.
#[derive(Debug)]
pub struct PageError(Box<Details>);

#[derive(Debug)]
struct Details {
    kind: Kind,
    kept: Option<Typed>,
    sign_in_next: Option<ReturnPath>,
}

impl PageError {
    /// Shows what was typed, too.
    pub fn keeping(mut self, typed: Option<Typed>) -> Self {
        self.0.kept = typed;
        self
    }

    /// Where a new sign-in should lead.
    pub fn leading_to(mut self, next: ReturnPath) -> Self {
        self.0.sign_in_next = Some(next);
        self
    }

    /// Of an error that actix-web found.
    pub fn from_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => Kind::NotFound,
            StatusCode::PAYLOAD_TOO_LARGE => Kind::TooLarge,
            other if other.is_client_error() => Kind::BadRequest,
            _ => Kind::Internal,
        }
        .into()
    }
}

impl From<Kind> for PageError {
    fn from(kind: Kind) -> Self {
        Self(Box::new(Details {
            kind,
            kept: None,
            sign_in_next: None,
        }))
    }
}

impl From<ApiError> for PageError {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::SignInAgain => Kind::SignInAgain,
            ApiError::StepUp(challenge) => Kind::StepUp(challenge),
            ApiError::SignIn(error) => return error.into(),
            ApiError::NotRefreshed => Kind::EntraUnreachable,
            ApiError::Sessions(_) => Kind::SessionsUnreachable,
            ApiError::Busy => Kind::Busy,
            ApiError::TokenRejected(code) => Kind::TokenRejected(code),
            ApiError::Forbidden(Forbidden::NotAuthor) => Kind::NotAuthor,
            ApiError::Forbidden(Forbidden::RoleToWrite) => Kind::ReadOnly,
            ApiError::Forbidden(Forbidden::RoleToRead) => Kind::NoRole,
            ApiError::Forbidden(Forbidden::Site(code)) => Kind::SiteForbidden(code),
            ApiError::NotTheApi(status) => Kind::NotTheApi(status),
            ApiError::Unavailable(seconds) => Kind::ApiUnavailable(seconds),
            ApiError::NotFound => Kind::NotFound,
            ApiError::TooLarge => Kind::TooLarge,
            ApiError::TooManyRequests(seconds) => Kind::TooManyRequests(seconds),
            ApiError::Unreachable(_) => Kind::ApiUnreachable,
            ApiError::TimedOut => Kind::ApiTimedOut,
            // Not of a form, which says itself what is wrong with it: an address that somebody made up.
            ApiError::Invalid(_) | ApiError::Malformed => Kind::BadRequest,
            ApiError::Stale | ApiError::KeyReused | ApiError::Unexpected(_) | ApiError::Nonsense(_) => Kind::ApiFailed,
        }
        .into()
    }
}

impl From<LaneError> for PageError {
    fn from(error: LaneError) -> Self {
        log::warn!("{error}");
        match error {
            LaneError::Busy(_) => Kind::Busy,
            LaneError::BrokenOff(_) => Kind::Internal,
        }
        .into()
    }
}

impl From<StoreError> for PageError {
    fn from(error: StoreError) -> Self {
        log::error!("{error}");
        Kind::SessionsUnreachable.into()
    }
}

/// Whether Entra refused the user and not this site, so that the page addresses the user and nothing is to be repaired.
pub fn is_about_the_user(answer: &EntraError) -> bool {
    UserRefusal::of(answer).is_some()
}

impl From<SignInError> for PageError {
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::Entra(answer) if answer.category() == ErrorCategory::Consent => Kind::ConsentNeeded(answer),
            SignInError::Entra(answer) => Kind::SignInFailed(answer),
            SignInError::Provider(_) | SignInError::IdToken(IdTokenError::KeysUnavailable) => Kind::EntraUnreachable,
            SignInError::Credential(_) => Kind::CertificateUnusable,
            SignInError::IdToken(_) => Kind::SignInRejected,
        }
        .into()
    }
}

impl fmt::Display for PageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Explanation::of(&self.0.kind).heading)
    }
}

impl ResponseError for PageError {
    fn status_code(&self) -> StatusCode {
        Explanation::of(&self.0.kind).status
    }
}

#[derive(Serialize)]
struct ErrorPage<'a> {
    #[serde(flatten)]
    explanation: &'a Explanation,
    kept: Option<&'a Typed>,
    action_href: String,
    another_account_href: Option<String>,
    entra: Option<EntraDetails<'a>>,
    /// Where an administrator consents for everybody.
    admin_consent_url: Option<String>,
}

#[derive(Serialize)]
struct EntraDetails<'a> {
    code: Option<String>,
    error: &'a str,
    description: &'a str,
    correlation_id: Option<&'a str>,
}

/// Middleware (for `actix_web::middleware::from_fn`): answers every error with its page. Belongs inside the session.
///
/// # Errors
/// Those of the service it wraps that are not answers.
pub async fn answer(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<BoxBody>, Error> {
    if session_store::trouble().is_some() && routes::needs_session(request.match_info().as_str()) {
        let page = render(request.request(), &Kind::SessionsUnreachable.into()).await;
        return Ok(request.into_response(page));
    }
    let response = next.call(request).await?;
    let Some(error) = response.response().error() else {
        return Ok(response.map_into_boxed_body());
    };
    let status = error.as_response_error().status_code();
    let page = if let Some(error) = error.as_error::<PageError>() {
        render(response.request(), error).await
    } else if let Some(refusal) = error.as_error::<Refusal>() {
        render(response.request(), &Kind::Refused(*refusal).into()).await
    } else {
        render(response.request(), &PageError::from_status(status)).await
    };
    let (request, _) = response.into_parts();
    Ok(ServiceResponse::new(request, page))
}

/// The page in place of an answer that was made, when what the request changed in its session is lost.
pub async fn session_lost(request: &HttpRequest) -> HttpResponse {
    // Who is signed in or out by what is lost is not shown so.
    TypedSession::of(request).purge();
    render(request, &Kind::SessionsUnreachable.into()).await
}

async fn render(request: &HttpRequest, error: &PageError) -> HttpResponse {
    let answer = match Visit::of(request) {
        Ok(visit) => match &error.0.kind {
            Kind::SignInAgain => sign_in_again(&visit, None).await,
            Kind::TokenRejected(code) => sign_in_again(&visit, Some(code)).await,
            Kind::StepUp(challenge) => step_up(&visit, challenge, error.0.sign_in_next.as_ref()),
            Kind::SignedOut(unsent) => post_form::signed_out(&visit, &unsent.seal, &unsent.typed).await,
            Kind::SignedOutAlready => Ok(Visit::redirect("/")),
            Kind::SignInDeclined => declined(&visit, error.0.sign_in_next.as_ref()),
            _ => explain(&visit, error),
        },
        Err(error) => Err(error),
    };
    // The page about the error could not be rendered either: the request id is all that is left to say.
    answer.unwrap_or_else(|_| {
        HttpResponse::InternalServerError()
            .content_type("text/plain; charset=utf-8")
            .body(format!(
                "Something went wrong on our side. Request ID: {}\n",
                RequestId::of(request).as_str()
            ))
    })
}

pub fn explain(visit: &Visit, error: &PageError) -> Result<HttpResponse, PageError> {
    let explanation = Explanation::of(&error.0.kind);
    if explanation.status.is_server_error() {
        log::error!(request_id = visit.request_id(), trace_id = visit.trace_id(); "{}: {}", explanation.status.as_u16(), log_text(&error.0.kind, explanation.heading));
    }
    let action_href = match (&error.0.sign_in_next, explanation.action_href) {
        // What was to be repeated is a sign-in, whose address works once.
        (Some(next), "/login" | "") => {
            let href = sign_in_href(Some(next));
            match &error.0.kind {
                Kind::OtherAddress { own, .. } => format!("{}{href}", own.origin().ascii_serialization()),
                // Entra asks for consent again then, and not just says that it is missing.
                Kind::ConsentNeeded(answer) if answer.code == Some(CONSENT_IS_THE_USERS) => {
                    format!("{href}&prompt=consent")
                }
                _ => href,
            }
        }
        (_, "") => page_of(visit).to_owned(),
        (_, href) => href.to_owned(),
    };
    let entra = match &error.0.kind {
        Kind::SignInFailed(answer) | Kind::ConsentNeeded(answer) => Some(EntraDetails::of(answer)),
        _ => None,
    };
    let admin_consent_url = match &error.0.kind {
        Kind::ConsentNeeded(_) | Kind::AdminConsentDeclined => {
            let mut url = visit.site.client.admin_consent_url();
            url.query_pairs_mut().append_pair("state", callback::ADMIN_CONSENT);
            Some(url.into())
        }
        _ => None,
    };
    // Whom this account's rights are not enough for may have another.
    let another_account_href = match &error.0.kind {
        Kind::ConsentNeeded(_) | Kind::SignInFailed(_) => Some(another_account_href(error.0.sign_in_next.as_ref())),
        Kind::NotAuthor | Kind::ReadOnly | Kind::NoRole => {
            Some(another_account_href(visit.site.return_path(page_of(visit)).as_ref()))
        }
        _ => None,
    };
    let page = ErrorPage {
        explanation: &explanation,
        kept: error.0.kept.as_ref(),
        action_href,
        another_account_href,
        entra,
        admin_consent_url,
    };
    let mut response = visit.page_with_status(explanation.status, "error.html", &page)?;
    if let Kind::MethodNotAllowed(methods) = error.0.kind {
        response
            .headers_mut()
            .insert(ALLOW, methods.parse().map_err(|_| PageError::from(Kind::Internal))?);
    }
    if let Kind::Refused(refusal) = error.0.kind {
        for (name, value) in refusal.headers() {
            response.headers_mut().append(name, value);
        }
    }
    if let Kind::Busy | Kind::SessionsUnreachable = error.0.kind {
        response.headers_mut().insert(RETRY_AFTER, BUSY_SECONDS.into());
    }
    if let Kind::TooManyRequests(Some(seconds)) | Kind::ApiUnavailable(Some(seconds)) | Kind::TooManyFailures(seconds) =
        error.0.kind
    {
        response.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    Ok(response)
}

/// What the log says of an error of this site or of what stands behind it.
fn log_text(kind: &Kind, heading: &str) -> String {
    match kind {
        Kind::SiteForbidden(code) | Kind::TokenRefused(Some(code)) if !code.is_empty() => {
            format!("{heading}: the API answers {code}")
        }
        Kind::NotTheApi(status) => format!(
            "{heading}: status {status} without a problem document; hint: client.api_base_url must be the address of serve-api"
        ),
        _ => heading.to_owned(),
    }
}

impl<'a> EntraDetails<'a> {
    fn of(answer: &'a EntraError) -> Self {
        Self {
            code: answer.code.map(|code| format!("AADSTS{code}")),
            error: &answer.error,
            description: &answer.description,
            correlation_id: answer.correlation_id.as_deref(),
        }
    }
}
