//! Problem details (RFC 9457): the only place where an error becomes a response.
//!
//! A [`Problem`] holds what the caller may know. Its cause, if it has one, goes to the log only: no response shows
//! anything internal.

mod challenge;
mod code;
mod document;
mod from_errors;

use std::{error::Error, fmt::Write as _};

use actix_web::{
    HttpResponse, ResponseError,
    http::{
        StatusCode,
        header::{self, HeaderName, HeaderValue},
    },
};
use challenge::Challenge;
pub use code::Code;
pub use document::{Document, FieldError};

/// Media type of a problem document.
pub const MEDIA_TYPE: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Seconds after which a client may retry when a dependency is unavailable.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// Why a request failed.
#[derive(Debug, thiserror::Error)]
#[error("{status} {code}")]
pub struct Problem {
    status: StatusCode,
    code: Code,
    detail: String,
    errors: Vec<FieldError>,
    headers: Vec<(HeaderName, HeaderValue)>,
    challenge: Option<Box<Challenge>>,
    #[source]
    cause: Option<Box<dyn Error + Send + Sync>>,
}

impl Problem {
    fn new(status: StatusCode, code: Code, detail: impl Into<String>) -> Self {
        let (errors, headers) = (Vec::new(), Vec::new());
        Self {
            status,
            code,
            detail: detail.into(),
            errors,
            headers,
            challenge: None,
            cause: None,
        }
    }

    fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// Adds `WWW-Authenticate: Bearer` with these parameters (RFC 6750 §3).
    fn with_challenge(mut self, parameters: &[(&'static str, &str)]) -> Self {
        let parameters = parameters
            .iter()
            .map(|(name, value)| (*name, (*value).to_owned()))
            .collect();
        self.challenge = Some(Box::new(Challenge { parameters }));
        self
    }

    /// Adds to a 401 the URI where a client can get a token, as Microsoft's own APIs do.
    pub fn with_authorization_uri(mut self, authorization_uri: &str) -> Self {
        if let Some(challenge) = self
            .challenge
            .as_mut()
            .filter(|_| self.status == StatusCode::UNAUTHORIZED)
        {
            challenge
                .parameters
                .insert(0, ("authorization_uri", authorization_uri.to_owned()));
        }
        self
    }

    fn caused_by(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }

    /// 400: the request's `Idempotency-Key` is malformed.
    pub fn malformed_idempotency_key() -> Self {
        let detail = "send one Idempotency-Key header with 1 to 255 visible ASCII characters";
        Self::new(StatusCode::BAD_REQUEST, Code::MalformedIdempotencyKey, detail)
    }

    /// 401: the request has no access token. The challenge names no error (RFC 6750 §3.1).
    pub fn missing_token() -> Self {
        let detail = "send an access token as \"Authorization: Bearer …\"";
        Self::new(StatusCode::UNAUTHORIZED, Code::MissingToken, detail).with_challenge(&[])
    }

    /// 401: the request has several access tokens, or malformed credentials.
    pub fn malformed_authorization() -> Self {
        let detail = "send one Authorization header with one access token";
        Self::new(StatusCode::UNAUTHORIZED, Code::MalformedAuthorization, detail)
            .with_challenge(&[("error", "invalid_request"), ("error_description", detail)])
    }

    /// 403: only the post's author, or an administrator, may do this.
    pub fn not_author(detail: &'static str) -> Self {
        Self::new(StatusCode::FORBIDDEN, Code::NotAuthor, detail).with_challenge(&[])
    }

    /// 403: the caller's app role allows reading only.
    pub fn read_only() -> Self {
        let detail = "your app role allows reading only; writing needs Blog.Writer or Blog.Admin";
        Self::new(StatusCode::FORBIDDEN, Code::InsufficientRole, detail).with_challenge(&[])
    }

    /// 404: the route does not exist.
    pub fn route_not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, Code::RouteNotFound, "Not Found")
    }

    /// 404: the post does not exist.
    pub fn post_not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, Code::PostNotFound, "Post not found")
    }

    /// 405, with the route's methods, such as `GET, HEAD` (RFC 9110 §15.5.6).
    pub fn method_not_allowed(allow: &'static str) -> Self {
        let detail = format!("this resource allows {allow} only");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, Code::MethodNotAllowed, detail)
            .with_header(header::ALLOW, HeaderValue::from_static(allow))
    }

    /// 406: the caller's `Accept` excludes JSON.
    pub fn not_acceptable() -> Self {
        let detail = "this API responds with application/json, which the Accept header excludes";
        Self::new(StatusCode::NOT_ACCEPTABLE, Code::NotAcceptable, detail)
    }

    /// 406: the caller's `Accept-Encoding` excludes every form of the response.
    pub fn no_acceptable_coding() -> Self {
        Self::from_status(StatusCode::NOT_ACCEPTABLE)
    }

    /// 415: the body is not JSON.
    pub fn unsupported_media_type() -> Self {
        Self::from_status(StatusCode::UNSUPPORTED_MEDIA_TYPE)
    }

    /// 411: the request does not declare a body.
    pub fn length_required() -> Self {
        let detail = "send a body, with Content-Length or in chunks";
        Self::new(StatusCode::LENGTH_REQUIRED, Code::LengthRequired, detail)
    }

    /// 414: path and query are too long.
    pub fn uri_too_long() -> Self {
        Self::new(
            StatusCode::URI_TOO_LONG,
            Code::UriTooLong,
            "path and query have more than 8192 bytes",
        )
    }

    /// 431: the headers together are too large.
    pub fn headers_too_large() -> Self {
        let detail = "the headers have more than 32768 bytes";
        Self::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Code::HeadersTooLarge,
            detail,
        )
    }

    /// 412: the post does not satisfy the request's preconditions.
    pub fn stale() -> Self {
        let detail = "the post is not in the state that the conditions of the request demand; get it again";
        Self::new(StatusCode::PRECONDITION_FAILED, Code::Stale, detail)
    }

    /// 422: another post was created under the request's `Idempotency-Key`.
    pub fn idempotency_key_reused() -> Self {
        let detail = "another post was created under this Idempotency-Key; use a new key for a new post";
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, Code::IdempotencyKeyReused, detail)
    }

    /// 422: fields or parameters are invalid. `errors` lists all of them.
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let mut detail = String::new();
        for FieldError { field, message, .. } in &errors {
            let separator = if detail.is_empty() { "" } else { "; " };
            let _ = write!(detail, "{separator}{field} {message}");
        }
        Self {
            errors,
            ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, Code::Invalid, detail)
        }
    }

    /// 429 with `Retry-After`: a rate limit is exceeded for this many seconds.
    pub fn too_many_requests(detail: &str, seconds: u64, headers: Vec<(HeaderName, HeaderValue)>) -> Self {
        let detail = format!("{detail}; try again in {seconds} s");
        let problem = Self {
            headers,
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, Code::TooManyRequests, detail)
        };
        problem.with_header(header::RETRY_AFTER, HeaderValue::from(seconds))
    }

    /// 500. The cause is logged, not sent.
    pub fn internal(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        let detail = "the server failed; the error was logged under this request id";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, Code::Internal, detail).caused_by(cause)
    }

    /// 503 with `Retry-After`: a dependency is unavailable.
    fn unavailable(code: Code, detail: &'static str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail).with_header(header::RETRY_AFTER, RETRY_AFTER)
    }

    /// The problem for an error status of the web server.
    fn from_status(status: StatusCode) -> Self {
        let (code, detail) = match status {
            StatusCode::NOT_FOUND => return Self::route_not_found(),
            StatusCode::NOT_ACCEPTABLE => (
                Code::NotAcceptable,
                "Accept-Encoding excludes every form of this response",
            ),
            StatusCode::PAYLOAD_TOO_LARGE => (Code::BodyTooLarge, "the body of the request is too large"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => (
                Code::UnsupportedMediaType,
                "the body must be application/json, or another type that ends in +json",
            ),
            status if status.is_client_error() => (Code::BadRequest, "the request is malformed"),
            _ => return Self::internal("the web server rejected the request"),
        };
        Self::new(status, code, detail)
    }

    /// What kind of problem it is.
    pub fn kind(&self) -> Code {
        self.code
    }

    /// The stable code, such as `expired`, for clients and logs.
    pub fn code(&self) -> &'static str {
        self.code.as_str()
    }

    /// The chain of causes, for the log; `None` when the request itself is wrong.
    pub fn causes(&self) -> Option<String> {
        let mut next: Option<&dyn Error> = Some(self.cause.as_deref()?);
        let mut text = String::new();
        while let Some(cause) = next {
            let separator = if text.is_empty() { "" } else { ": " };
            let _ = write!(text, "{separator}{cause}");
            next = cause.source();
        }
        Some(text)
    }

    /// The problem document for a request; `instance` is its path.
    pub fn document(&self, instance: &str, request_id: &str) -> Vec<u8> {
        let document = Document {
            // RFC 9457 §4.2.1: the problem type is that of the status; `code` is more specific.
            kind: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
            instance,
            code: self.code.as_str(),
            request_id,
            errors: &self.errors,
        };
        // Fails only for maps with keys that are not strings, and for types whose `Serialize` fails. The document has
        // neither.
        serde_json::to_vec(&document).unwrap_or_default()
    }
}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.status
    }

    /// Status and headers. [`super::middleware::problem_documents`] adds the document, which needs the request.
    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::new(self.status);
        for (name, value) in &self.headers {
            response.headers_mut().append(name.clone(), value.clone());
        }
        if let Some(challenge) = &self.challenge {
            response
                .headers_mut()
                .append(header::WWW_AUTHENTICATE, challenge.header());
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_document_of_an_internal_error_holds_nothing_of_its_cause() {
        let problem = Problem::internal("password=hunter2 at /var/lib/blog.db");
        let document = String::from_utf8(problem.document("/v1/posts", "id-1")).expect("JSON is UTF-8");
        assert!(
            !document.contains("hunter2") && !document.contains("/var"),
            "{document}"
        );
        assert_eq!(
            problem.causes().as_deref(),
            Some("password=hunter2 at /var/lib/blog.db")
        );
    }

    #[test]
    fn the_detail_names_every_wrong_field() {
        let problem = Problem::invalid(vec![
            FieldError::new("title", "is required"),
            FieldError::new("content", "must be a string"),
        ]);
        assert_eq!(problem.detail, "title is required; content must be a string");
    }
}
