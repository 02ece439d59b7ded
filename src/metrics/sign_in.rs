//! Sign-ins and token refreshes at the site.

use std::sync::LazyLock;

use super::{
    catalog::Catalog,
    counter::Counter,
    family::{Family, LabelValue},
};

/// The code of an outcome without one.
pub const NO_CODE: LabelValue = LabelValue::Borrowed("none");

static SIGN_INS: LazyLock<Family<Counter, 2>> = LazyLock::new(|| {
    Family::counters(
        "blogctl_sign_ins",
        "Sign-ins that came back from Entra ID, by outcome and error code: AADSTS… if blogctl knows the code, otherwise other",
        ["outcome", "code"],
    )
});
static REFRESHES: LazyLock<Family<Counter, 2>> = LazyLock::new(|| {
    Family::counters(
        "blogctl_token_refreshes",
        "Requests for new tokens with a refresh token, by outcome and error code",
        ["outcome", "code"],
    )
});

pub(super) fn describe(catalog: &mut Catalog) {
    for family in [&SIGN_INS, &REFRESHES] {
        let common = [Outcome::Success, Outcome::SiteRejected, Outcome::Unreachable];
        family.begin(common.map(|outcome| [outcome.as_str(), "none"]));
        family.describe(catalog);
    }
}

/// How a sign-in or a refresh ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The user is signed in; the tokens are new.
    Success,
    /// The user declined.
    Declined,
    /// The browser brought no sign-in in progress, or came too late.
    Expired,
    /// The user must meet a claims challenge.
    StepUp,
    /// An administrator or the user must consent first.
    ConsentRequired,
    /// Entra ID rejected the user or the user's grant.
    UserRejected,
    /// Entra ID rejected the site: its certificate or its registration.
    SiteRejected,
    /// Entra ID's error says nothing about the cause.
    Rejected,
    /// The browser brought an error of Entra ID that is not about the user. Any client can make one up.
    AuthorizeError,
    /// Entra ID's response did not pass the checks.
    InvalidResponse,
    /// Entra ID did not answer.
    Unreachable,
    /// The site has no usable credential.
    CredentialUnusable,
    /// Too many sign-ins from one address failed.
    RateLimited,
    /// Too many requests wait for Entra ID.
    Busy,
    /// The session store did not answer.
    SessionsUnreachable,
    /// A defect.
    Internal,
}

impl Outcome {
    /// The label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Declined => "declined",
            Self::Expired => "expired",
            Self::StepUp => "step_up",
            Self::ConsentRequired => "consent_required",
            Self::UserRejected => "user_rejected",
            Self::SiteRejected => "site_rejected",
            Self::Rejected => "rejected",
            Self::AuthorizeError => "authorize_error",
            Self::InvalidResponse => "invalid_response",
            Self::Unreachable => "unreachable",
            Self::CredentialUnusable => "credential_unusable",
            Self::RateLimited => "rate_limited",
            Self::Busy => "busy",
            Self::SessionsUnreachable => "sessions_unreachable",
            Self::Internal => "internal",
        }
    }
}

/// Counts a sign-in. `code` is from a fixed list, or [`NO_CODE`].
pub fn signed_in(outcome: Outcome, code: LabelValue) {
    SIGN_INS.with([outcome.as_str().into(), code]).increment();
}

/// Counts a refresh.
pub fn refreshed(outcome: Outcome, code: LabelValue) {
    REFRESHES.with([outcome.as_str().into(), code]).increment();
}
