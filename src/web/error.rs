//! Errors while a page is served. A leaf: it knows no page and no handler. `middleware::error_pages` renders
//! it.

pub mod explanation;
mod kind;
mod sign_in_denial;

use std::fmt;

use actix_web::{ResponseError, http::StatusCode};

use self::explanation::Explanation;
pub use self::{
    kind::{ErrorKind, UnsavedPost},
    sign_in_denial::is_about_the_user,
};
use super::{
    api_client::{ApiError, Forbidden},
    post_input::PostInput,
    sign_in::return_path::ReturnPath,
    storage::StoreError,
};
use crate::{
    blocking_pool::PoolError,
    entra::{aadsts::ErrorCategory, confidential_client::SignInError, id_token::IdTokenError},
};

/// An error of a page.
#[derive(Debug)]
pub struct PageError(Box<Details>);

#[derive(Debug)]
struct Details {
    kind: ErrorKind,
    input: Option<PostInput>,
    next: Option<ReturnPath>,
}

impl PageError {
    /// Adds what the user typed, so that the error page shows it.
    pub fn with_input(mut self, input: Option<PostInput>) -> Self {
        self.0.input = input;
        self
    }

    /// Adds the page to open after a new sign-in.
    pub fn with_next(mut self, next: ReturnPath) -> Self {
        self.0.next = Some(next);
        self
    }

    /// The page error for an error of actix-web, which has only a status.
    pub fn from_status(status: StatusCode) -> Self {
        match status {
            StatusCode::NOT_FOUND => ErrorKind::NotFound,
            StatusCode::PAYLOAD_TOO_LARGE => ErrorKind::TooLarge,
            other if other.is_client_error() => ErrorKind::BadRequest,
            _ => ErrorKind::Internal,
        }
        .into()
    }

    /// What went wrong.
    pub fn kind(&self) -> &ErrorKind {
        &self.0.kind
    }

    /// What the user typed.
    pub fn input(&self) -> Option<&PostInput> {
        self.0.input.as_ref()
    }

    /// The page to open after a new sign-in.
    pub fn next(&self) -> Option<&ReturnPath> {
        self.0.next.as_ref()
    }
}

impl From<ErrorKind> for PageError {
    fn from(kind: ErrorKind) -> Self {
        Self(Box::new(Details {
            kind,
            input: None,
            next: None,
        }))
    }
}

impl From<ApiError> for PageError {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::SignInRequired => ErrorKind::SignInRequired,
            ApiError::StepUpRequired(challenge) => ErrorKind::StepUpRequired(challenge),
            ApiError::SignIn(error) => return error.into(),
            ApiError::RefreshFailedRecently => ErrorKind::EntraUnreachable,
            ApiError::TokenStore(_) => ErrorKind::SessionsUnreachable,
            ApiError::Busy => ErrorKind::Busy,
            ApiError::TokenRejected(code) => ErrorKind::TokenRejected(code),
            ApiError::Forbidden(Forbidden::NotAuthor) => ErrorKind::NotAuthor,
            ApiError::Forbidden(Forbidden::RoleToWrite) => ErrorKind::ReadOnly,
            ApiError::Forbidden(Forbidden::RoleToRead) => ErrorKind::NoRole,
            ApiError::Forbidden(Forbidden::Site(code)) => ErrorKind::SiteForbidden(code),
            ApiError::NotTheApi(status) => ErrorKind::NotTheApi(status),
            ApiError::Unavailable(seconds) => ErrorKind::ApiUnavailable(seconds),
            ApiError::NotFound => ErrorKind::NotFound,
            ApiError::TooLarge => ErrorKind::TooLarge,
            ApiError::TooManyRequests(seconds) => ErrorKind::TooManyRequests(seconds),
            ApiError::Unreachable(_) => ErrorKind::ApiUnreachable,
            ApiError::TimedOut => ErrorKind::ApiTimedOut,
            // The post form explains its own invalid fields. Here it is an address that a visitor made up.
            ApiError::Invalid(_) | ApiError::Malformed => ErrorKind::BadRequest,
            ApiError::VersionConflict
            | ApiError::IdempotencyKeyReused
            | ApiError::UnexpectedStatus(_)
            | ApiError::InvalidResponse(_) => ErrorKind::ApiFailed,
        }
        .into()
    }
}

impl From<PoolError> for PageError {
    fn from(error: PoolError) -> Self {
        log::warn!("{error}");
        match error {
            PoolError::Busy(_) => ErrorKind::Busy,
            PoolError::Aborted(_) => ErrorKind::Internal,
        }
        .into()
    }
}

impl From<StoreError> for PageError {
    fn from(error: StoreError) -> Self {
        log::error!("{error}");
        ErrorKind::SessionsUnreachable.into()
    }
}

impl From<SignInError> for PageError {
    fn from(error: SignInError) -> Self {
        match error {
            SignInError::Entra(answer) if answer.category() == ErrorCategory::Consent => {
                ErrorKind::ConsentRequired(answer)
            }
            SignInError::Entra(answer) => ErrorKind::SignInFailed(answer),
            SignInError::Provider(_) | SignInError::IdToken(IdTokenError::KeysUnavailable) => {
                ErrorKind::EntraUnreachable
            }
            SignInError::Credential(_) => ErrorKind::CertificateUnusable,
            SignInError::IdToken(_) => ErrorKind::InvalidSignInResponse,
        }
        .into()
    }
}

impl fmt::Display for PageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Explanation::new(&self.0.kind).heading)
    }
}

impl ResponseError for PageError {
    fn status_code(&self) -> StatusCode {
        Explanation::new(&self.0.kind).status
    }
}
