//! The redirect URI, `/callback` unless `client.redirect_uri` has another path: the browser comes back from Entra ID. A
//! sign-in works once, in the browser that began it. Neither `code` nor `state` is ever logged.

mod rejection;

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use rejection::rejection;
use secrecy::SecretString;
use serde::Deserialize;

use crate::{
    audit::Event,
    entra::{
        ConfidentialClient, PendingSignIn, Provider, SignIn,
        aadsts::{EntraError, ErrorCategory},
        confidential_client::SignInError,
        id_token::IdTokenError,
    },
    serve::RequestAudit,
    web::{
        blocking_pools::BlockingPools,
        error::{ErrorKind, PageError, is_about_the_user},
        request_context::RequestContext,
        session::{Account, UserKey},
        sign_in::{
            PendingCookie, Reservation, SignIns, allow_reading_only,
            links::ADMIN_CONSENT_STATE,
            outcome::{ErrorSource, count_sign_in},
            return_path::ReturnPath,
        },
        user_sessions::UserSessions,
    },
};

/// AADSTS65004: the user declined to consent.
const CONSENT_DECLINED: u32 = 65004;
/// AADSTS54005 and AADSTS70008: the code was redeemed before, or is too old.
const CODE_SPENT: [u32; 2] = [54005, 70008];

/// The parameters that Entra ID adds to the redirect URI (RFC 6749 §4.1.2).
#[derive(Deserialize)]
pub struct CallbackQuery {
    state: Option<String>,
    code: Option<SecretString>,
    error: Option<String>,
    error_description: Option<String>,
    /// Issuer of the response (RFC 9207). Entra ID does not send it; if it is there, it must be the provider that was
    /// asked.
    iss: Option<String>,
    /// `True` after an administrator has consented (Microsoft Learn "Admin consent URI").
    admin_consent: Option<String>,
}

/// `GET` of the redirect URI.
///
/// # Errors
/// When this browser has no such sign-in in progress, Entra ID reports an error, or the code cannot be redeemed.
pub async fn finish(
    context: RequestContext,
    query: web::Query<CallbackQuery>,
    sign_ins: web::Data<SignIns>,
    user_sessions: web::Data<UserSessions>,
    provider: web::Data<Provider>,
    client: web::Data<ConfidentialClient>,
    pools: web::Data<BlockingPools>,
) -> Result<HttpResponse, PageError> {
    if is_prefetch(&context.request) {
        return Err(ErrorKind::Prefetched.into());
    }
    let query = query.into_inner();
    if query.is_admin_consent() {
        return query.answer_admin_consent();
    }
    let source = if query.error.is_some() {
        ErrorSource::Browser
    } else {
        ErrorSource::TokenEndpoint
    };
    let audit = context.component::<RequestAudit>()?;
    let result = sign_in(&context, query, &sign_ins, &user_sessions, &provider, &client, &pools).await;
    let result = result.map(|(response, user)| {
        audit.record(&context.request, Some(user), Event::SignedIn);
        response
    });
    count_sign_in(&result, source);
    if let Some(event) = result.as_ref().err().and_then(|error| rejection(error.kind())) {
        audit.record(&context.request, None, event);
    }
    result
}

/// The response to a sign-in that succeeded, and who signed in.
async fn sign_in(
    context: &RequestContext,
    query: CallbackQuery,
    sign_ins: &SignIns,
    user_sessions: &UserSessions,
    provider: &Provider,
    client: &Arc<ConfidentialClient>,
    pools: &BlockingPools,
) -> Result<(HttpResponse, UserKey), PageError> {
    let Some(pending) = query
        .state
        .and_then(|state| sign_ins.pending.take(&context.request, &state))
    else {
        return Err(ErrorKind::SignInExpired.into());
    };
    let next = context.return_path(&pending.next).unwrap_or_else(ReturnPath::home);
    let fail = |error: PageError| error.with_next(next.clone());
    if query
        .iss
        .is_some_and(|issuer| issuer != provider.authority().issuer_v2())
    {
        log::error!(request_id = context.request_id(); "sign-in rejected: the response is from another issuer");
        return Err(fail(ErrorKind::InvalidSignInResponse.into()));
    }
    if let Some(error) = query.error {
        let error = EntraError::from_callback(&error, query.error_description.as_deref().unwrap_or_default());
        return Err(fail(entra_error(context, error)));
    }
    let Some(code) = query.code else {
        return Err(fail(ErrorKind::SignInExpired.into()));
    };
    let reservation = sign_ins
        .failure_limit
        .reserve(&context.request)
        .await
        .map_err(|seconds| fail(ErrorKind::TooManyFailedSignIns(seconds).into()))?;
    let result = redeem(client, pools, code, pending, reservation).await;
    let sign_in = match result.map_err(fail)? {
        Ok(sign_in) => sign_in,
        Err(error) => return Err(fail(sign_in_error(context, error))),
    };
    let mut account = Account::new(sign_in.user);
    account.seems_reader = allow_reading_only(&sign_in.tokens.access_token);
    let replaced = context.session.account().map(|before| before.ticket);
    account.signed_in_at = user_sessions
        .start(&account, sign_in.tokens, replaced)
        .await
        .map_err(|error| fail(error.into()))?;
    context.session.sign_in(&account);
    // A session that remembers why it led here was not lost: each further attempt gets the same explanation as the
    // first.
    if !context.session.has_forced_sign_in() {
        sign_ins.loop_guard.record_sign_in(&context.request);
    }
    context.session.record_step_up();
    Ok((RequestContext::redirect(next.as_str()), account.user()))
}

impl CallbackQuery {
    /// Whether an administrator comes back from consenting. Anyone may open this address: it starts no session, and
    /// changes nothing here.
    fn is_admin_consent(&self) -> bool {
        self.code.is_none() && (self.admin_consent.is_some() || self.state.as_deref() == Some(ADMIN_CONSENT_STATE))
    }

    fn answer_admin_consent(&self) -> Result<HttpResponse, PageError> {
        if self.admin_consent.as_deref() == Some("True") && self.error.is_none() {
            Ok(RequestContext::redirect("/"))
        } else {
            Err(ErrorKind::AdminConsentDeclined.into())
        }
    }
}

/// Whether the browser only prefetches the page. It will fetch it again when the user opens it, and a code works once.
fn is_prefetch(request: &HttpRequest) -> bool {
    ["Sec-Purpose", "Purpose", "X-Moz"].iter().any(|name| {
        let value = request
            .headers()
            .get(*name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        value.to_ascii_lowercase().contains("prefetch")
    })
}

async fn redeem(
    client: &Arc<ConfidentialClient>,
    pools: &BlockingPools,
    code: SecretString,
    pending: PendingCookie,
    reservation: Reservation,
) -> Result<Result<SignIn, SignInError>, PageError> {
    let pending = PendingSignIn {
        nonce: pending.nonce,
        code_verifier: SecretString::from(pending.code_verifier),
    };
    let client = Arc::clone(client);
    let redeem = move || {
        let result = client.redeem_code(&code, &pending);
        // In the closure, so that it counts even if the browser has disconnected meanwhile.
        if result.as_ref().is_err_and(counts_as_failure) {
            reservation.fail();
        }
        result
    };
    Ok(pools.sign_ins.run(redeem).await?)
}

/// Whether a sign-in failed because of what the browser sent. Errors of this site, its credential or an outage must not
/// lock any user out.
fn counts_as_failure(error: &SignInError) -> bool {
    match error {
        SignInError::Entra(error) => !matches!(
            error.category(),
            ErrorCategory::Certificate | ErrorCategory::Configuration
        ),
        SignInError::IdToken(error) => !matches!(error, IdTokenError::KeysUnavailable),
        _ => false,
    }
}

fn sign_in_error(context: &RequestContext, error: SignInError) -> PageError {
    match error {
        SignInError::Entra(error) => entra_error(context, error),
        error => {
            log::error!(request_id = context.request_id(); "sign-in failed: {}", error.with_hint());
            error.into()
        }
    }
}

fn entra_error(context: &RequestContext, error: EntraError) -> PageError {
    // Errors that only the user can resolve are no warning to the operator.
    let level = if is_about_the_user(&error) {
        log::Level::Info
    } else {
        log::Level::Warn
    };
    log::log!(
        level, request_id = context.request_id();
        "sign-in rejected: {} AADSTS{} correlation_id={}",
        error.error,
        error.code.unwrap_or_default(),
        error.correlation_id.as_deref().unwrap_or("-")
    );
    if let Some(challenge) = error.claims {
        // If the sign-in that has just ended was to meet the same challenge, another one is pointless: the session
        // records it as done.
        context.session.record_step_up();
        return ErrorKind::StepUpRequired(*challenge).into();
    }
    match error.code {
        Some(CONSENT_DECLINED) => ErrorKind::SignInDeclined,
        None if error.error == "access_denied" => ErrorKind::SignInDeclined,
        Some(code) if CODE_SPENT.contains(&code) => ErrorKind::SignInExpired,
        _ if error.category() == ErrorCategory::Consent => ErrorKind::ConsentRequired(error),
        _ => ErrorKind::SignInFailed(error),
    }
    .into()
}
