//! The JSON of a problem (RFC 9457).

use serde::Serialize;
use utoipa::ToSchema;

/// A problem document (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem, example = json!({
    "type": "about:blank", "title": "Unprocessable Entity", "status": 422, "detail": "title is required",
    "instance": "/v1/posts", "code": "invalid", "request_id": "0b0e5f0e-7f5c-4a54-9d5c-4a4f5cf1f4a5",
    "errors": [{"field": "title", "message": "is required", "pointer": "/title"}],
}))]
pub struct Document<'a> {
    /// Always `about:blank`: `code` says what is wrong.
    #[serde(rename = "type")]
    pub(super) kind: &'static str,
    /// The name of the status.
    pub(super) title: &'static str,
    /// The status code.
    pub(super) status: u16,
    /// What is wrong with this request, for people.
    pub(super) detail: &'a str,
    /// The path of the request.
    pub(super) instance: &'a str,
    /// The stable code. Programs should use it, not `detail`.
    pub(super) code: &'static str,
    /// The value of `X-Request-ID`.
    pub(super) request_id: &'a str,
    /// All invalid fields and parameters.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    pub(super) errors: &'a [FieldError],
}

/// An invalid field of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// The name of the field or parameter; `body` for the whole body.
    pub field: String,
    /// What is expected. It continues a sentence that begins with the field's name: `must be …`.
    pub message: String,
    /// The position in the body, as a JSON pointer (RFC 6901); absent for parameters.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pointer: Option<String>,
}

impl FieldError {
    /// An invalid parameter.
    pub fn new(field: &str, message: impl Into<String>) -> Self {
        Self {
            field: field.to_owned(),
            message: message.into(),
            pointer: None,
        }
    }

    /// An invalid member of the body.
    pub fn in_body(field: &str, message: impl Into<String>) -> Self {
        Self {
            pointer: Some(format!("/{field}")),
            ..Self::new(field, message)
        }
    }

    /// An invalid body as a whole.
    pub fn body(message: impl Into<String>) -> Self {
        Self {
            pointer: Some(String::new()),
            ..Self::new("body", message)
        }
    }
}
