//! The kinds of errors that a page can end in. Each says which status it is answered with.

use url::Url;

use crate::{
    entra::{ClaimsChallenge, aadsts::EntraError},
    serve::RequestError,
    web::{form_seal::FormSeal, post_input::PostInput},
};

/// What went wrong.
#[derive(Debug)]
pub enum ErrorKind {
    /// Returns 400.
    BadRequest,
    /// Redirects to the sign-in, which leads back to this page.
    SignInRequired,
    /// As [`Self::SignInRequired`], because the API rejected the access token. Holds the problem code; empty when the
    /// API named none.
    TokenRejected(String),
    /// Redirects to a sign-in that meets the API's claims challenge, then back to this page.
    StepUpRequired(ClaimsChallenge),
    /// Returns 403: the sign-in that the API's claims challenge led to did not bring what it demands.
    StepUpFailed,
    /// Returns 401 and the post form with its text: the session has ended.
    SessionExpired(Box<UnsavedPost>),
    /// Redirects to the home page: the user wanted to sign out and already is.
    AlreadySignedOut,
    /// Returns 403: the form did not come from a page of this site.
    CsrfCheckFailed,
    /// Returns 403: the post belongs to another user.
    NotAuthor,
    /// Returns 403: the user's app role allows reading only.
    ReadOnly,
    /// Returns 403: the user has no app role.
    NoRole,
    /// Returns 502: the API rejects this site, independent of the user. Holds the problem code.
    SiteForbidden(String),
    /// Returns 502: the server at the API's address is not the API. Holds the status that it sent.
    NotTheApi(u16),
    /// Returns 503: the API cannot serve the request now. Holds the seconds to wait, if known.
    ApiUnavailable(Option<u64>),
    /// Returns 404.
    NotFound,
    /// Returns 405 with the allowed methods.
    MethodNotAllowed(&'static str),
    /// Returns 413.
    TooLarge,
    /// Returns 421: the browser wants to sign in under another address than the site's own.
    WrongOrigin {
        /// The origin that the browser used.
        used: String,
        /// The site's public URL.
        own: Url,
        /// Path of the redirect URI.
        redirect_path: String,
    },
    /// Returns the status of a check that every blogctl server does before a handler runs.
    Rejected(RequestError),
    /// Returns 429. Holds the seconds to wait, if known.
    TooManyRequests(Option<u64>),
    /// Returns 429: too many sign-ins from this address failed. Holds the seconds to wait.
    TooManyFailedSignIns(u64),
    /// Returns 503: a browser prefetched an address that works only once.
    Prefetched,
    /// Returns 500.
    Internal,
    /// Returns 503: too many requests wait for the API or for Entra ID.
    Busy,
    /// Returns 503: the session store does not answer.
    SessionsUnreachable,
    /// Returns 502: the API cannot be reached.
    ApiUnreachable,
    /// Returns 502: the API did not answer in time.
    ApiTimedOut,
    /// Returns 502: the API answered with a server error.
    ApiFailed,
    /// Returns 502: the API rejects even an access token that was just issued. Holds the problem code; `None` when the
    /// site has no access token at all.
    NewTokenRejected(Option<String>),
    /// Returns 502: Entra ID cannot be reached.
    EntraUnreachable,
    /// Returns 502 when Entra ID rejected the site, 403 when it rejected the user.
    SignInFailed(EntraError),
    /// Returns 502: Entra ID's response did not pass the checks.
    InvalidSignInResponse,
    /// Returns 500: the site's certificate cannot be used.
    CertificateUnusable,
    /// Returns 403: Entra ID requires consent first.
    ConsentRequired(EntraError),
    /// Returns 200: the user cancelled the sign-in, which is a choice and not an error.
    SignInDeclined,
    /// Returns 403: the administrator did not consent for the organisation.
    AdminConsentDeclined,
    /// Returns 400: this browser has no such sign-in in progress.
    SignInExpired,
    /// Returns 503: sign-ins succeed one after another, and each session is lost at once.
    SignInLoop,
}

/// A post that a user sent after their session had ended.
#[derive(Debug)]
pub struct UnsavedPost {
    /// What the user typed.
    pub input: PostInput,
    /// Says who the author is.
    pub seal: FormSeal,
}
