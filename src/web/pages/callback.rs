//! The redirect URI, `/callback` unless `client.redirect_uri` has another path: the browser comes back from Entra. A sign-in works once, in the session that started it. Neither `code`
//! nor `state` is ever logged.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use secrecy::SecretString;
use serde::Deserialize;

use crate::{
    entra::{
        PendingSignIn, SignIn,
        aadsts::{EntraError, ErrorCategory},
        confidential_client::SignInError,
        id_token::IdTokenError,
    },
    web::{
        middleware::error_pages::{Kind, PageError, is_about_the_user},
        request_context::Visit,
        session::Account,
        sign_in::failure_limit::Reservation,
        sign_in::pending::Pending,
        sign_in::return_path::ReturnPath,
        sign_in::token_roles::allow_reading_only,
    },
};

/// `state` of who follows the link for administrators; it is no sign-in of this browser's, and nothing depends on it.
pub const ADMIN_CONSENT: &str = "admin-consent";

/// The user declined to consent.
const DECLINED: u32 = 65004;
/// The code was redeemed before, or is too old.
const CODE_SPENT: [u32; 2] = [54005, 70008];

/// What Entra adds to the redirect URI (RFC 6749 §4.1.2).
#[derive(Deserialize)]
pub struct CallbackQuery {
    state: Option<String>,
    code: Option<SecretString>,
    error: Option<String>,
    error_description: Option<String>,
    /// Who answers (RFC 9207). Entra does not say it; who does must be the one that was asked.
    iss: Option<String>,
    /// `True` after an administrator has consented (Microsoft Learn "Admin consent URI").
    admin_consent: Option<String>,
}

/// `GET` of the redirect URI.
///
/// # Errors
/// When the sign-in is not under way in this session, Entra reports an error, or the code cannot be redeemed.
pub async fn finish(visit: Visit, query: web::Query<CallbackQuery>) -> Result<HttpResponse, PageError> {
    if is_prefetch(&visit.request) {
        return Err(Kind::Prefetched.into());
    }
    let query = query.into_inner();
    // Nobody is signed in by it, and nothing changes here: everybody may come by this address.
    if query.code.is_none() && (query.admin_consent.is_some() || query.state.as_deref() == Some(ADMIN_CONSENT)) {
        let is_given = query.admin_consent.as_deref() == Some("True") && query.error.is_none();
        return if is_given {
            Ok(Visit::redirect("/"))
        } else {
            Err(Kind::AdminConsentDeclined.into())
        };
    }
    let Some(pending) = query
        .state
        .and_then(|state| visit.site.pending_sign_ins.take(&visit.request, &state))
    else {
        return Err(Kind::SignInStale.into());
    };
    let next = visit.site.return_path(&pending.next).unwrap_or_else(ReturnPath::home);
    if query
        .iss
        .is_some_and(|issuer| issuer != visit.site.provider.authority().issuer_v2())
    {
        log::error!(request_id = visit.request_id(), trace_id = visit.trace_id(); "sign-in refused: another issuer answers");
        return Err(PageError::from(Kind::SignInRejected).leading_to(next));
    }
    if let Some(error) = query.error {
        let answer = EntraError::from_callback(&error, query.error_description.as_deref().unwrap_or_default());
        return Err(of_answer(&visit, answer).leading_to(next));
    }
    let Some(code) = query.code else {
        return Err(PageError::from(Kind::SignInStale).leading_to(next));
    };
    let reserved = visit.site.failed_sign_ins.reserve(&visit.request).await;
    let reserved =
        reserved.map_err(|seconds| PageError::from(Kind::TooManyFailures(seconds)).leading_to(next.clone()))?;
    let sign_in = redeem(&visit, code, pending, reserved)
        .await
        .map_err(|error| error.leading_to(next.clone()))?;
    let mut account = Account::new(sign_in.user);
    account.seems_reader = allow_reading_only(&sign_in.tokens.access_token);
    let (user, ticket) = (account.user(), account.ticket.clone());
    let before = visit.session.account().map(|before| before.ticket);
    let kept = visit.blocking(move |site| {
        site.tokens.keep(&ticket, sign_in.tokens)?;
        site.tokens.forget(before.as_slice())?;
        site.sign_outs.time_of_sign_in(user)
    });
    account.signed_in_at = kept.await.map_err(|error| error.leading_to(next.clone()))?;
    visit.session.sign_in(&account);
    // A session that remembers why it led here was not lost: each further attempt gets the same explanation as the first.
    if !visit.session.has_forced_sign_in() {
        visit.site.lost_sessions.note_sign_in(&visit.request);
    }
    visit.session.answer_demand();
    Ok(Visit::redirect(next.as_str()))
}

/// A browser that fetches what somebody may open next asks for it again when they do; a code works once.
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

/// Whether a sign-in failed by what the browser brought, and not by this site, its credential or an outage: those must shut
/// nobody out.
fn is_the_visitors(error: &SignInError) -> bool {
    match error {
        SignInError::Entra(answer) => !matches!(
            answer.category(),
            ErrorCategory::Certificate | ErrorCategory::Configuration
        ),
        SignInError::IdToken(error) => !matches!(error, IdTokenError::KeysUnavailable),
        _ => false,
    }
}

async fn redeem(
    visit: &Visit,
    code: SecretString,
    pending: Pending,
    reserved: Reservation,
) -> Result<SignIn, PageError> {
    let pending = PendingSignIn {
        nonce: pending.nonce,
        code_verifier: SecretString::from(pending.code_verifier),
    };
    let client = Arc::clone(&visit.site.client);
    // There, and not here: it counts also when the browser has gone meanwhile.
    let result = visit.site.lanes.sign_ins.run(move || {
        let result = client.redeem_code(&code, &pending);
        if result.as_ref().is_err_and(is_the_visitors) {
            reserved.fail();
        }
        result
    });
    let result = result.await?;
    match result {
        Ok(sign_in) => Ok(sign_in),
        Err(SignInError::Entra(answer)) => Err(of_answer(visit, answer)),
        Err(error) => {
            log::error!(request_id = visit.request_id(), trace_id = visit.trace_id(); "sign-in failed: {}", error.with_hint());
            Err(error.into())
        }
    }
}

fn of_answer(visit: &Visit, answer: EntraError) -> PageError {
    // A user's own business is no warning to the operator.
    let level = if is_about_the_user(&answer) {
        log::Level::Info
    } else {
        log::Level::Warn
    };
    log::log!(
        level, request_id = visit.request_id(), trace_id = visit.trace_id();
        "sign-in refused: {} AADSTS{} correlation_id={}",
        answer.error,
        answer.code.unwrap_or_default(),
        answer.correlation_id.as_deref().unwrap_or("-")
    );
    if let Some(challenge) = answer.claims {
        // The sign-in that has just ended may have asked for the same already: then there is no point in another one.
        visit.session.answer_demand();
        return Kind::StepUp(*challenge).into();
    }
    match answer.code {
        Some(DECLINED) => Kind::SignInDeclined,
        None if answer.error == "access_denied" => Kind::SignInDeclined,
        Some(code) if CODE_SPENT.contains(&code) => Kind::SignInStale,
        _ if answer.category() == ErrorCategory::Consent => Kind::ConsentNeeded(answer),
        _ => Kind::SignInFailed(answer),
    }
    .into()
}
