//! How a sign-in ended, for the metrics.

use crate::{
    entra::aadsts::{EntraError, ErrorCategory},
    metrics::{self, LabelValue, sign_in::Outcome},
    web::error::{ErrorKind, PageError, is_about_the_user},
};

/// Where an error of Entra ID comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorSource {
    /// The browser: an error of the authorize endpoint, or one that a client made up.
    Browser,
    /// The token endpoint.
    TokenEndpoint,
}

/// Counts a sign-in that came back from Entra ID.
pub fn count_sign_in<T>(result: &Result<T, PageError>, source: ErrorSource) {
    let (outcome, code) = match result {
        Ok(_) => (Outcome::Success, None),
        Err(error) => outcome_of(error.kind(), source),
    };
    metrics::sign_in::signed_in(outcome, code);
}

fn outcome_of(kind: &ErrorKind, source: ErrorSource) -> (Outcome, Option<LabelValue>) {
    let outcome = match kind {
        ErrorKind::SignInFailed(error) => return (rejection(error, source), Some(error.bounded_label())),
        ErrorKind::ConsentRequired(error) => return (Outcome::ConsentRequired, Some(error.bounded_label())),
        ErrorKind::SignInDeclined => Outcome::Declined,
        ErrorKind::SignInExpired => Outcome::Expired,
        ErrorKind::StepUpRequired(_) => Outcome::StepUp,
        ErrorKind::InvalidSignInResponse => Outcome::InvalidResponse,
        ErrorKind::EntraUnreachable => Outcome::Unreachable,
        ErrorKind::CertificateUnusable => Outcome::CredentialUnusable,
        ErrorKind::TooManyFailedSignIns(_) => Outcome::RateLimited,
        ErrorKind::Busy => Outcome::Busy,
        ErrorKind::SessionsUnreachable => Outcome::SessionsUnreachable,
        _ => Outcome::Internal,
    };
    (outcome, None)
}

fn rejection(error: &EntraError, source: ErrorSource) -> Outcome {
    match (error.category(), source) {
        (ErrorCategory::SignInAgain | ErrorCategory::Consent, _) => Outcome::UserRejected,
        _ if is_about_the_user(error) => Outcome::UserRejected,
        (_, ErrorSource::Browser) => Outcome::AuthorizeError,
        (ErrorCategory::Certificate | ErrorCategory::Configuration, _) => Outcome::SiteRejected,
        (ErrorCategory::Other, _) => Outcome::Rejected,
    }
}
