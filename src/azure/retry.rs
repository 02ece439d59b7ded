//! One request to Azure. Transient failures are retried with increasing delays, within a time limit for all attempts together.

use std::{
    io, thread,
    time::{Duration, Instant, SystemTime},
};

use backon::{BackoffBuilder as _, ExponentialBuilder};
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::{Agent, Body, http::Response};
use zeroize::Zeroizing;

use super::AzureError;
use crate::outbound;

/// The delay starts at [`Service::initial_delay`] and doubles up to this.
const MAX_DELAY: Duration = Duration::from_secs(20);
/// Lower bound of a delay that a service asks for with `Retry-After`.
const MIN_RETRY_AFTER: Duration = Duration::from_millis(100);

/// Longest part of a service's error text that a message repeats.
const MAX_DETAIL_CHARS: usize = 500;

/// How long a request may be retried: it depends on who waits for the response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryBudget {
    /// The site starts, or a person runs a command: as long as the service may need.
    Start,
    /// A visitor waits for a page: 8 seconds.
    Request,
    /// The caller sets the limit.
    Within(Duration),
}

/// A response of any status. The body may hold a token or a private key.
pub(super) struct ServiceResponse {
    pub(super) status: u16,
    pub(super) challenge: Option<String>,
    retry_after: Option<Duration>,
    body: Zeroizing<Vec<u8>>,
}

/// A service, and which of its failures are transient.
pub(super) struct Service<'a> {
    /// For messages.
    pub(super) name: &'a str,
    /// What the operator can do when the service does not respond.
    pub(super) hint: &'static str,
    pub(super) is_transient: fn(u16) -> bool,
    /// Whether failed connections are retried.
    pub(super) retries_connections: bool,
    pub(super) initial_delay: Duration,
    /// Limit for all attempts together at start. [`RetryBudget`] may set a shorter one.
    pub(super) timeout: Duration,
}

enum Failure {
    Connection(ureq::Error),
    Transient(ServiceResponse),
}

impl RetryBudget {
    fn time_limit(self, service: &Service<'_>) -> Duration {
        match self {
            Self::Start => service.timeout,
            Self::Request => Duration::from_secs(8),
            Self::Within(limit) => limit.min(service.timeout),
        }
    }

    fn max_retries(self) -> usize {
        match self {
            Self::Start => 8,
            Self::Request | Self::Within(_) => 3,
        }
    }
}

impl Service<'_> {
    /// Sends `request`, and retries transient failures until the budget is used up; then the last response is returned. `request`
    /// is given the time it may take. Stops early when `Retry-After` asks for a longer delay than the time left.
    pub(super) fn send(
        &self,
        agent: &Agent,
        budget: RetryBudget,
        request: impl Fn(Duration) -> Result<Response<Body>, ureq::Error>,
    ) -> Result<ServiceResponse, AzureError> {
        let deadline = Instant::now() + budget.time_limit(self);
        let attempt_timeout = agent.config().timeouts().global.unwrap_or(self.timeout);
        let mut delays = ExponentialBuilder::default()
            .with_min_delay(self.initial_delay)
            .with_max_delay(MAX_DELAY)
            .with_max_times(budget.max_retries())
            .with_jitter()
            .build();
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let failure = match read_response(request(attempt_timeout.min(left))) {
                Ok(response) if !(self.is_transient)(response.status) => return Ok(response),
                Ok(response) => Failure::Transient(response),
                Err(error) if self.retries_connections && is_transient_error(&error) => Failure::Connection(error),
                Err(error) => return Err(self.unreachable(&error)),
            };
            let delay = delays.next().map(|delay| match &failure {
                Failure::Transient(ServiceResponse {
                    retry_after: Some(wanted),
                    ..
                }) => MIN_RETRY_AFTER.max(*wanted),
                _ => delay,
            });
            match delay {
                Some(delay) if delay < deadline.saturating_duration_since(Instant::now()) => {
                    log::debug!("{}: retrying in {delay:?}", self.name);
                    thread::sleep(delay);
                }
                _ => {
                    return match failure {
                        Failure::Transient(response) => Ok(response),
                        Failure::Connection(error) => Err(self.unreachable(&error)),
                    };
                }
            }
        }
    }

    fn unreachable(&self, error: &ureq::Error) -> AzureError {
        AzureError::Unreachable {
            service: self.name.to_owned(),
            reason: error.to_string(),
            hint: self.hint,
        }
    }

    pub(super) fn malformed(&self, what: &'static str) -> AzureError {
        AzureError::Malformed {
            service: self.name.to_owned(),
            what,
        }
    }

    pub(super) fn error_status(&self, response: &ServiceResponse, hint: impl Into<String>) -> AzureError {
        AzureError::Status {
            service: self.name.to_owned(),
            status: response.status,
            detail: response.detail(),
            hint: hint.into(),
        }
    }
}

impl ServiceResponse {
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// `None` when the body is not JSON of this form.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.body).ok()
    }

    /// The error code and message, in any of the forms that these services use.
    fn detail(&self) -> String {
        let body: Value = self.json().unwrap_or_default();
        let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str);
        let parts = [
            text("/error/code").or_else(|| text("/error")),
            text("/error/innererror/code"),
            text("/error/message")
                .or_else(|| text("/error_description"))
                .or_else(|| text("/message")),
        ];
        let joined = parts.into_iter().flatten().collect::<Vec<_>>().join(": ");
        let mut lines = joined.lines();
        // Entra ID's trace ids are of use only to Microsoft's support.
        let first = lines
            .next()
            .unwrap_or_default()
            .split(" Trace ID:")
            .next()
            .unwrap_or_default();
        // Azure's access control names the caller and the denied action on separate lines.
        let caller_and_action = lines.filter(|line| line.starts_with("Caller:") || line.starts_with("Action:"));
        sanitize(
            &std::iter::once(first)
                .chain(caller_and_action)
                .collect::<Vec<_>>()
                .join("; "),
        )
    }

    /// Whether the error has this code, such as `KeyNotFound`, as its own or as its inner code.
    pub(super) fn has_code(&self, code: &str) -> bool {
        let body: Value = self.json().unwrap_or_default();
        ["/error", "/error/code", "/error/innererror/code"]
            .into_iter()
            .filter_map(|pointer| body.pointer(pointer))
            .any(|own| own == code)
    }

    /// Whether this is Entra ID's error with this AADSTS number.
    pub(super) fn has_aadsts_code(&self, code: u32) -> bool {
        let body: Value = self.json().unwrap_or_default();
        let description = body
            .get("error_description")
            .and_then(Value::as_str)
            .unwrap_or_default();
        let listed = body.get("error_codes").and_then(Value::as_array).into_iter().flatten();
        listed.into_iter().any(|own| *own == code) || description.starts_with(&format!("AADSTS{code}:"))
    }
}

fn read_response(response: Result<Response<Body>, ureq::Error>) -> Result<ServiceResponse, ureq::Error> {
    let mut response = response?;
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let challenge = header("www-authenticate").map(str::to_owned);
    let retry_after = header("retry-after").and_then(|text| parse_retry_after(text, SystemTime::now()));
    let status = response.status().as_u16();
    let body = Zeroizing::new(outbound::read_body(&mut response)?);
    Ok(ServiceResponse {
        status,
        challenge,
        retry_after,
        body,
    })
}

/// A network failure may be gone a moment later; a wrong certificate, a wrong address or a response that is too long will not.
fn is_transient_error(error: &ureq::Error) -> bool {
    match error {
        // TLS errors arrive as `InvalidData`.
        ureq::Error::Io(error) => error.kind() != io::ErrorKind::InvalidData,
        ureq::Error::Timeout(_) | ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => true,
        _ => false,
    }
}

/// Seconds or a date (RFC 9110 §10.2.3).
fn parse_retry_after(retry_after: &str, now: SystemTime) -> Option<Duration> {
    if let Ok(seconds) = retry_after.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = chrono::DateTime::parse_from_rfc2822(retry_after.trim()).ok()?;
    Some(SystemTime::from(date).duration_since(now).unwrap_or_default())
}

/// Foreign text, made safe for a log or a terminal: control characters become spaces, and the length is bounded.
pub(super) fn sanitize(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_DETAIL_CHARS)
        .collect()
}

/// 408, 429 and 5xx: every Azure service asks callers to retry these.
pub(super) fn is_transient_status(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..=599)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_read_in_seconds_or_as_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        for (text, expected) in [
            ("0", Some(0)),
            ("1", Some(1)),
            (" 120 ", Some(120)),
            ("Sun, 06 Nov 1994 08:49:47 GMT", Some(10)),
            ("Sun, 06 Nov 1994 08:49:27 GMT", Some(0)),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
            ("99999999999999999999999", None),
        ] {
            assert_eq!(
                parse_retry_after(text, now),
                expected.map(Duration::from_secs),
                "{text}"
            );
        }
    }

    fn response(body: &Value) -> ServiceResponse {
        let body = Zeroizing::new(body.to_string().into_bytes());
        ServiceResponse {
            status: 403,
            challenge: None,
            retry_after: None,
            body,
        }
    }

    #[test]
    fn the_detail_of_an_error_keeps_the_caller_and_the_denied_action() {
        let message = "Caller is not authorized to perform action on resource.\r\nIf role assignments were changed recently, \
                       please observe propagation time.\r\nCaller: appid=1;oid=2\r\n\
                       Action: 'Microsoft.KeyVault/vaults/keys/sign/action'\r\nVault: blog;location=west";
        let body = serde_json::json!({ "error": {
            "code": "Forbidden", "message": message, "innererror": { "code": "ForbiddenByRbac" },
        }});
        assert_eq!(
            response(&body).detail(),
            "Forbidden: ForbiddenByRbac: Caller is not authorized to perform action on resource.; Caller: appid=1;oid=2; \
             Action: 'Microsoft.KeyVault/vaults/keys/sign/action'"
        );
    }

    #[test]
    fn foreign_text_cannot_move_the_cursor() {
        let body = serde_json::json!({ "error": { "code": "x", "message": "a\u{1b}[2Jb\u{7}" }});
        assert_eq!(response(&body).detail(), "x: a [2Jb ");
    }

    #[test]
    fn an_error_is_known_by_its_code_and_not_by_its_text() {
        let inner = serde_json::json!({ "error": { "code": "Forbidden", "message": "KeyExpired", "innererror": { "code": "KeyDisabled" } }});
        for (code, expected) in [
            ("Forbidden", true),
            ("KeyDisabled", true),
            ("KeyExpired", false),
            ("Key", false),
        ] {
            assert_eq!(response(&inner).has_code(code), expected, "{code}");
        }
        assert!(response(&serde_json::json!({ "error": "invalid_resource" })).has_code("invalid_resource"));
        for body in [
            serde_json::json!({ "error": "x", "error_codes": [90002] }),
            serde_json::json!({ "error": "x", "error_description": "AADSTS90002: no tenant" }),
        ] {
            assert!(
                response(&body).has_aadsts_code(90_002) && !response(&body).has_aadsts_code(9000),
                "{body}"
            );
        }
    }
}
