//! Why the servers refuse a request before any handler sees it. Each server shows a [`Refusal`] in its own format: the API
//! as a problem document, the site as an error page; everybody else gets the JSON of [`ResponseError::error_response`].

use actix_web::{
    HttpResponse, ResponseError,
    http::{
        StatusCode,
        header::{self, HeaderName, HeaderValue},
    },
};
use serde_json::json;

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.detail())]
#[non_exhaustive]
pub enum Refusal {
    /// 415: the body is compressed, or said to be.
    ContentEncoding,
}

impl Refusal {
    /// The stable reason.
    pub fn code(self) -> &'static str {
        match self {
            Self::ContentEncoding => "unsupported_content_encoding",
        }
    }

    /// What happened and what to do.
    pub fn detail(self) -> &'static str {
        match self {
            Self::ContentEncoding => "send the body uncompressed: this server takes no Content-Encoding but identity",
        }
    }

    /// Headers that belong to the response.
    pub fn headers(self) -> Vec<(HeaderName, HeaderValue)> {
        match self {
            // RFC 9110 §12.5.3: in a response, it says what the server takes.
            Self::ContentEncoding => vec![(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"))],
        }
    }
}

impl ResponseError for Refusal {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::ContentEncoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
        }
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        for header in self.headers() {
            response.append_header(header);
        }
        response.json(json!({ "error": self.code(), "error_description": self.detail() }))
    }
}
