//! Why the servers reject a request before any handler sees it. Each server shows a [`RequestError`] in its own format: the
//! API as a problem document, the site as an error page. The emulators show the JSON of [`ResponseError::error_response`].

use actix_web::{
    HttpResponse, ResponseError,
    http::{
        StatusCode,
        header::{self, HeaderName, HeaderValue},
    },
};
use serde_json::json;

/// In seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("5");

/// Why a request is rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.detail())]
pub enum RequestError {
    /// 408: the body did not arrive within `server.body_seconds`.
    BodyTimeout,
    /// 403: the server requires a client certificate, and the client has none.
    ClientCertificateRequired,
    /// 415: `Content-Encoding` says that the body is compressed.
    ContentEncoding,
    /// 400: the `Host` header is not a valid host.
    InvalidHost,
    /// 503: too many bytes are in transit, for all clients together or for this one.
    Overloaded,
    /// 503: the connection limit is reached, and this connection is reserved for probes.
    TooManyConnections,
}

impl RequestError {
    stable_codes! {
        Self::BodyTimeout => "body_timeout",
        Self::ClientCertificateRequired => "client_certificate_required",
        Self::ContentEncoding => "unsupported_content_encoding",
        Self::InvalidHost => "invalid_host",
        Self::Overloaded => "overloaded",
        Self::TooManyConnections => "too_many_connections",
    }

    /// What happened and what to do.
    pub fn detail(self) -> &'static str {
        match self {
            Self::BodyTimeout => "the body of the request did not arrive in time",
            Self::ClientCertificateRequired => {
                "this server serves only clients with a TLS certificate from one of its CAs"
            }
            Self::ContentEncoding => {
                "send the body uncompressed: this server accepts no Content-Encoding except identity"
            }
            Self::InvalidHost => "send exactly one Host header with a host name or an address, and optionally a port",
            Self::Overloaded => "too much data is in transit at the moment: try again in 5 s",
            Self::TooManyConnections => "the server has reached its connection limit: try again in 5 s",
        }
    }

    /// Headers that belong to the response.
    pub fn headers(self) -> Vec<(HeaderName, HeaderValue)> {
        match self {
            // RFC 9110 §12.5.3: in a response, it names the codings that the server accepts.
            Self::ContentEncoding => vec![(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"))],
            Self::BodyTimeout | Self::ClientCertificateRequired | Self::InvalidHost => Vec::new(),
            Self::Overloaded | Self::TooManyConnections => vec![(header::RETRY_AFTER, RETRY_AFTER)],
        }
    }
}

impl ResponseError for RequestError {
    fn status_code(&self) -> StatusCode {
        match self {
            Self::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::ClientCertificateRequired => StatusCode::FORBIDDEN,
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
