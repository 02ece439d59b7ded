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

/// Seconds after which a server that is busy is worth another try.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.detail())]
pub enum Refusal {
    /// 415: the body is compressed, or said to be.
    ContentEncoding,
    /// 400: the `Host` header is no host.
    InvalidHost,
    /// 503: too many bytes are being received or sent, for everybody or for this client.
    Overloaded,
    /// 503: every connection is taken, and this one is kept for probes.
    TooManyConnections,
}

impl Refusal {
    stable_codes! {
        Self::ContentEncoding => "unsupported_content_encoding",
        Self::InvalidHost => "invalid_host",
        Self::Overloaded => "overloaded",
        Self::TooManyConnections => "too_many_connections",
    }

    /// What happened and what to do.
    pub fn detail(self) -> &'static str {
        match self {
            Self::ContentEncoding => "send the body uncompressed: this server takes no Content-Encoding but identity",
            Self::InvalidHost => "send one Host header that holds a host name or an address, and a port if need be",
            Self::Overloaded => "too much is being sent or received at the moment: try again in 5 s",
            Self::TooManyConnections => "the server serves as many connections as it can: try again in 5 s",
        }
    }

    /// Headers that belong to the response.
    pub fn headers(self) -> Vec<(HeaderName, HeaderValue)> {
        match self {
            // RFC 9110 §12.5.3: in a response, it says what the server takes.
            Self::ContentEncoding => vec![(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"))],
            Self::InvalidHost => Vec::new(),
            Self::Overloaded | Self::TooManyConnections => vec![(header::RETRY_AFTER, RETRY_AFTER)],
        }
    }
}

impl ResponseError for Refusal {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::ContentEncoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::InvalidHost => StatusCode::BAD_REQUEST,
            Self::Overloaded | Self::TooManyConnections => StatusCode::SERVICE_UNAVAILABLE,
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
