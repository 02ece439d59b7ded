//! What the audit trail says about a sign-in that failed.

use crate::{audit::Event, entra::aadsts::EntraError, web::error::ErrorKind};

/// The event of a failed sign-in; `None` if the error is not about a sign-in.
pub fn rejection(error: &ErrorKind) -> Option<Event> {
    let rejected = |reason, entra: Option<&EntraError>| {
        let aadsts = entra.and_then(|error| error.code);
        Some(Event::SignInRejected { reason, aadsts })
    };
    match error {
        ErrorKind::Prefetched | ErrorKind::AdminConsentDeclined => None,
        ErrorKind::SignInExpired => rejected("no_such_sign_in", None),
        ErrorKind::InvalidSignInResponse => rejected("invalid_response", None),
        ErrorKind::SignInFailed(error) => rejected("entra_rejected", Some(error)),
        ErrorKind::ConsentRequired(error) => rejected("consent_required", Some(error)),
        ErrorKind::SignInDeclined => rejected("declined", None),
        ErrorKind::StepUpRequired(_) => rejected("step_up_required", None),
        ErrorKind::TooManyFailedSignIns(_) => rejected("too_many_failures", None),
        ErrorKind::EntraUnreachable => rejected("entra_unreachable", None),
        ErrorKind::CertificateUnusable => rejected("certificate_unusable", None),
        ErrorKind::SessionsUnreachable => rejected("session_store_unreachable", None),
        ErrorKind::Busy => rejected("busy", None),
        _ => rejected("internal", None),
    }
}
