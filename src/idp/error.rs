//! An error as Entra reports it: an OAuth 2.0 error, an AADSTS code, and a message.
//!
//! Codes and wording follow "Microsoft Entra authentication and authorization error codes" (`reference-error-codes.md`)
//! and the observed responses of Entra. A message may quote parameters that name things, but never an assertion, a code
//! or a token.

use actix_web::http::StatusCode;
use serde_json::{Value, json};

use super::{clock, random};

/// Why a request is rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OAuthError {
    /// AADSTS code.
    pub code: u32,
    /// OAuth 2.0 error (RFC 6749 §5.2, OpenID Connect Core §3.1.2.6).
    pub oauth_error: &'static str,
    /// The message without the AADSTS code.
    pub message: String,
}

impl OAuthError {
    pub fn new(code: u32, oauth_error: &'static str, message: impl Into<String>) -> Self {
        Self {
            code,
            oauth_error,
            message: message.into(),
        }
    }

    /// 401 if the client failed to authenticate (RFC 6749 §5.2), 503 for a transient error, otherwise 400.
    pub fn status(&self) -> StatusCode {
        match self.oauth_error {
            "invalid_client" => StatusCode::UNAUTHORIZED,
            "temporarily_unavailable" => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// AADSTS code and message: the start of `error_description`.
    pub fn sentence(&self) -> String {
        format!("AADSTS{}: {}", self.code, self.message)
    }

    /// The JSON body of an error response.
    pub fn body(&self, base_url: &str, correlation_id: &str, now: i64) -> Value {
        let (trace_id, timestamp) = (random::guid(), clock::timestamp(now));
        let mut body = json!({
            "error": self.oauth_error,
            "error_description": format!(
                "{} Trace ID: {trace_id} Correlation ID: {correlation_id} Timestamp: {timestamp}",
                self.sentence()
            ),
            "error_codes": [self.code],
            "timestamp": timestamp,
            "trace_id": trace_id,
            "correlation_id": correlation_id,
            "error_uri": format!("{base_url}/error?code={}", self.code),
        });
        if let (65001, Some(body)) = (self.code, body.as_object_mut()) {
            body.insert("suberror".to_owned(), json!("consent_required"));
        }
        body
    }
}

/// The client assertion is invalid (RFC 7523 §3).
pub fn invalid_client(code: u32, message: impl Into<String>) -> OAuthError {
    OAuthError::new(code, "invalid_client", message)
}

/// The code or refresh token is invalid.
pub fn invalid_grant(code: u32, message: impl Into<String>) -> OAuthError {
    OAuthError::new(code, "invalid_grant", message)
}

/// The request is malformed.
pub fn invalid_request(code: u32, message: impl Into<String>) -> OAuthError {
    OAuthError::new(code, "invalid_request", message)
}

/// AADSTS900144: a parameter is missing.
pub fn missing_parameter(name: &str) -> OAuthError {
    invalid_request(
        900_144,
        format!("The request body must contain the following parameter: '{name}'."),
    )
}

/// AADSTS90002: the address names another tenant.
pub fn unknown_tenant(tenant: &str) -> OAuthError {
    invalid_request(
        90002,
        format!(
            "Tenant '{tenant}' not found. Check to make sure you have the correct tenant ID and are signing into the \
             correct cloud."
        ),
    )
}

/// AADSTS700016: there is no such application.
pub fn unknown_client(client_id: &str, tenant: &str) -> OAuthError {
    OAuthError::new(
        700_016,
        "unauthorized_client",
        format!(
            "Application with identifier '{client_id}' was not found in the directory '{tenant}'. This can happen if \
             the application has not been installed by the administrator of the tenant or consented to by any user in \
             the tenant. You may have sent your authentication request to the wrong tenant."
        ),
    )
}

/// The error that a test requests by its AADSTS code. The OAuth 2.0 error is the one that Entra sends with that code.
pub fn by_code(code: u32) -> OAuthError {
    let error = match code {
        50013 | 500_112 | 54005 | 70000 | 70008 | 700_082 | 70043 | 65001 | 501_481 | 50173 => "invalid_grant",
        50076 | 50079 | 50058 | 16000 => "interaction_required",
        65004 => "access_denied",
        700_016 | 700_025 | 650_057 => "unauthorized_client",
        70011 | 28003 | 700_022 => "invalid_scope",
        500_011 => "invalid_resource",
        90033 | 90006 => "temporarily_unavailable",
        70003 => "unsupported_grant_type",
        700_021 | 700_023 | 700_024 | 700_027 | 7_000_214 | 7_000_215 | 7_000_218 | 7_000_222 | 7_000_274 | 50166
        | 700_211 | 700_212 | 700_213 | 7_002_138 | 7_000_277 | 1_000_502 | 5_002_723 | 5_002_738 | 50027 | 90014 => {
            "invalid_client"
        }
        _ => "invalid_request",
    };
    OAuthError::new(
        code,
        error,
        "A test asked the development identity provider to reject this request.",
    )
}
