//! Sign-ins and token refreshes at the site.

use std::sync::LazyLock;

use super::{
    catalog::Catalog,
    counter::Counter,
    family::{Family, LabelValue},
};

static SIGN_INS: LazyLock<Family<Counter, 1>> = LazyLock::new(|| {
    Family::counters(
        "blogctl_sign_ins",
        "Sign-ins that came back from Entra ID, by outcome",
        ["outcome"],
    )
});
static REFRESHES: LazyLock<Family<Counter, 1>> = LazyLock::new(|| {
    Family::counters(
        "blogctl_token_refreshes",
        "Requests for new tokens with a refresh token, by outcome",
        ["outcome"],
    )
});
static ERRORS: LazyLock<Family<Counter, 2>> = LazyLock::new(|| {
    Family::counters(
        "blogctl_entra_errors",
        "Errors of Entra ID by request (sign_in or refresh) and code: AADSTS… if blogctl knows it, other, or none without a code",
        ["request", "code"],
    )
});

pub(super) fn describe(catalog: &mut Catalog) {
    for family in [&SIGN_INS, &REFRESHES] {
        family.begin(Outcome::ALL.map(|outcome| [outcome.as_str()]));
        family.describe(catalog);
    }
    ERRORS.describe(catalog);
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
    const ALL: [Self; 16] = [
        Self::Success,
        Self::Declined,
        Self::Expired,
        Self::StepUp,
        Self::ConsentRequired,
        Self::UserRejected,
        Self::SiteRejected,
        Self::Rejected,
        Self::AuthorizeError,
        Self::InvalidResponse,
        Self::Unreachable,
        Self::CredentialUnusable,
        Self::RateLimited,
        Self::Busy,
        Self::SessionsUnreachable,
        Self::Internal,
    ];

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

/// Counts a sign-in. `code` is that of Entra ID's error, from a fixed list.
pub fn signed_in(outcome: Outcome, code: Option<LabelValue>) {
    SIGN_INS.with([outcome.as_str().into()]).increment();
    count_error("sign_in", code);
}

/// Counts a refresh.
pub fn refreshed(outcome: Outcome, code: Option<LabelValue>) {
    REFRESHES.with([outcome.as_str().into()]).increment();
    count_error("refresh", code);
}

fn count_error(request: &'static str, code: Option<LabelValue>) {
    if let Some(code) = code {
        ERRORS.with([request.into(), code]).increment();
    }
}
