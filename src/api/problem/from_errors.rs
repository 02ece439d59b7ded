//! Turns the errors of other rooms and of the web server into problems.

use actix_web::{
    Error, ResponseError,
    error::{BlockingError, JsonPayloadError, PayloadError},
    http::StatusCode,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{error::Category, json};

use super::{Code, FieldError, Problem};
use crate::{
    blog::BlogError,
    db::DbError,
    entra::TokenError,
    metrics,
    serve::{RequestError, content_coding::NotAcceptable},
};

impl From<BlogError> for Problem {
    fn from(error: BlogError) -> Self {
        match error {
            BlogError::PostNotFound => Self::post_not_found(),
            BlogError::NotAuthor => Self::not_author("Not authorized to change this post"),
            BlogError::ReadOnly => Self::read_only(),
            BlogError::Stale => Self::stale(),
            BlogError::NoCursorInSearch => Self::invalid(vec![FieldError::new("after", "cannot be combined with q")]),
            BlogError::KeyReused => Self::idempotency_key_reused(),
            BlogError::Render(cause) => Self::internal(cause),
            BlogError::Database(cause) => Self::from(cause),
        }
    }
}

impl From<DbError> for Problem {
    fn from(cause: DbError) -> Self {
        metrics::database::failed(cause.reason());
        match cause {
            DbError::SearchBusy => {
                Self::unavailable(Code::SearchBusy, "too many searches are running; try again later").caused_by(cause)
            }
            cause if cause.is_transient() => Self::unavailable(
                Code::DatabaseUnavailable,
                "the database is unavailable; try again later",
            )
            .caused_by(cause),
            cause => Self::internal(cause),
        }
    }
}

impl From<TokenError> for Problem {
    /// RFC 6750 §3.1: 401 for a token that is not valid here, 403 for a token without the scope.
    fn from(error: TokenError) -> Self {
        match error {
            TokenError::Rejected(rejection) => {
                let description = rejection.description();
                Self::new(StatusCode::UNAUTHORIZED, Code::Token(rejection), description)
                    .with_challenge(&[("error", "invalid_token"), ("error_description", description)])
            }
            TokenError::Forbidden(forbidden) => {
                Self::new(StatusCode::FORBIDDEN, Code::Policy(forbidden), forbidden.description()).with_challenge(&[])
            }
            TokenError::ClaimsRequired { acr } => {
                let detail = "a stronger sign-in is required; request a new token with these claims";
                let claims = json!({ "access_token": { "acrs": { "essential": true, "value": acr } } });
                let claims = STANDARD.encode(claims.to_string());
                Self::new(StatusCode::UNAUTHORIZED, Code::InsufficientClaims, detail).with_challenge(&[
                    ("error", "insufficient_claims"),
                    ("error_description", detail),
                    ("claims", &claims),
                ])
            }
            TokenError::InsufficientScope { required } => {
                let detail = format!("the access token lacks the scope {required}");
                let parameters = [
                    ("error", "insufficient_scope"),
                    ("error_description", &*detail),
                    ("scope", &*required),
                ];
                Self::new(StatusCode::FORBIDDEN, Code::InsufficientScope, detail.clone()).with_challenge(&parameters)
            }
            error @ TokenError::KeysUnavailable => {
                let detail = "access tokens cannot be checked: the signing keys are unavailable; try again later";
                Self::unavailable(Code::KeysUnavailable, detail).caused_by(error)
            }
        }
    }
}

impl From<NotAcceptable> for Problem {
    fn from(_: NotAcceptable) -> Self {
        Self::no_acceptable_coding()
    }
}

impl From<RequestError> for Problem {
    fn from(refusal: RequestError) -> Self {
        let problem = Self::new(refusal.status_code(), Code::Request(refusal), refusal.detail());
        refusal
            .headers()
            .into_iter()
            .fold(problem, |problem, (name, value)| problem.with_header(name, value))
    }
}

impl From<BlockingError> for Problem {
    fn from(cause: BlockingError) -> Self {
        Self::internal(cause)
    }
}

impl From<JsonPayloadError> for Problem {
    fn from(error: JsonPayloadError) -> Self {
        match error {
            JsonPayloadError::OverflowKnownLength { limit, .. } | JsonPayloadError::Overflow { limit } => Self::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                Code::BodyTooLarge,
                format!("the body may have at most {limit} bytes"),
            ),
            JsonPayloadError::ContentType => Self::from_status(StatusCode::UNSUPPORTED_MEDIA_TYPE),
            JsonPayloadError::Deserialize(error) if error.classify() == Category::Data => {
                Self::invalid(vec![FieldError::body("must be a JSON object")])
            }
            JsonPayloadError::Deserialize(error) => {
                let detail = format!(
                    "the body is not JSON (line {}, column {})",
                    error.line(),
                    error.column()
                );
                Self::new(StatusCode::BAD_REQUEST, Code::MalformedJson, detail)
            }
            JsonPayloadError::Payload(PayloadError::Overflow) => Self::from_status(StatusCode::PAYLOAD_TOO_LARGE),
            _ => Self::new(
                StatusCode::BAD_REQUEST,
                Code::MalformedBody,
                "the body of the request cannot be read",
            ),
        }
    }
}

impl Problem {
    /// The problem for an error response of the web server or of a middleware of others.
    pub fn from_web_server(status: StatusCode, error: Option<&Error>) -> Self {
        if let Some(refused) = error.and_then(|error| error.as_error::<actix_cors::CorsError>()) {
            return Self::new(refused.status_code(), Code::Cors, refused.to_string());
        }
        if let Some(refusal) = error.and_then(|error| error.as_error::<RequestError>()) {
            return Self::from(*refusal);
        }
        match error {
            Some(error) if status.is_server_error() => Self::internal(error.to_string()),
            _ => Self::from_status(status),
        }
    }
}
