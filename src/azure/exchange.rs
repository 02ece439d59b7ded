//! One request to Azure with its answer, repeated with back-off while the answer is one that passes.

use std::{
    cell::Cell,
    rc::Rc,
    thread,
    time::{Duration, SystemTime},
};

use backon::{BlockingRetryable as _, ExponentialBuilder};
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::{Body, http::Response};

use super::AzureError;
use crate::outbound;

/// Tries after the first. With the delays below, the last is some three seconds after the first: a user waits for it.
const RETRIES: usize = 3;
const FIRST_DELAY: Duration = Duration::from_millis(250);
const LONGEST_DELAY: Duration = Duration::from_secs(2);
/// `Retry-After` is honoured up to this.
const LONGEST_WISH: Duration = Duration::from_secs(5);

/// Longest part of somebody's error text that a message repeats.
const MAX_DETAIL_CHARS: usize = 300;

/// An answer, whatever its status.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) challenge: Option<String>,
    body: Vec<u8>,
}

/// Whom to ask, and what passes by itself.
pub(super) struct Service<'a> {
    /// For messages.
    pub(super) name: &'a str,
    /// What to do when it does not answer at all.
    pub(super) hint: &'static str,
    /// Statuses that pass.
    pub(super) passes: fn(u16) -> bool,
    /// Whether to ask again after a connection that failed.
    pub(super) reconnects: bool,
}

enum Failure {
    Connection(ureq::Error),
    Passing(Answer),
}

impl Service<'_> {
    /// Asks, again and again while the answer is one that passes; the last answer is the outcome.
    pub(super) fn ask(&self, request: impl Fn() -> Result<Response<Body>, ureq::Error>) -> Result<Answer, AzureError> {
        let wish = Rc::new(Cell::new(Duration::ZERO));
        let wished = Rc::clone(&wish);
        let attempt = || {
            let mut response = request().map_err(Failure::Connection)?;
            let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
            let (challenge, retry_after) = (header("www-authenticate"), header("retry-after"));
            let status = response.status().as_u16();
            let body = outbound::read_body(&mut response).map_err(Failure::Connection)?;
            let answer = Answer { status, challenge, body };
            if !(self.passes)(status) {
                return Ok(answer);
            }
            wish.set(retry_after.and_then(|text| wait_of(&text)).unwrap_or_default().min(LONGEST_WISH));
            Err(Failure::Passing(answer))
        };
        let pauses = ExponentialBuilder::default()
            .with_min_delay(FIRST_DELAY)
            .with_max_delay(LONGEST_DELAY)
            .with_max_times(RETRIES)
            .with_jitter();
        let outcome = attempt
            .retry(pauses)
            .sleep(move |pause: Duration| thread::sleep(pause.max(wished.take())))
            .when(|failure| matches!(failure, Failure::Passing(_)) || self.reconnects)
            .notify(|_, pause| log::debug!("{} is asked again in {pause:?}", self.name))
            .call();
        match outcome {
            Ok(answer) | Err(Failure::Passing(answer)) => Ok(answer),
            Err(Failure::Connection(error)) => Err(AzureError::Unreachable {
                service: self.name.to_owned(),
                reason: error.to_string(),
                hint: self.hint,
            }),
        }
    }

    pub(super) fn malformed(&self, what: &'static str) -> AzureError {
        AzureError::Malformed { service: self.name.to_owned(), what }
    }

    pub(super) fn refused(&self, answer: &Answer, hint: impl Into<String>) -> AzureError {
        AzureError::Refused {
            service: self.name.to_owned(),
            status: answer.status,
            detail: answer.detail(),
            hint: hint.into(),
        }
    }
}

impl Answer {
    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// `None` when it is not such JSON.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.body).ok()
    }

    /// Code and message of an error, in the forms that these services have.
    fn detail(&self) -> String {
        let body: Value = self.json().unwrap_or_default();
        let text = |pointer: &str| body.pointer(pointer).and_then(Value::as_str);
        let parts = [
            text("/error/code").or_else(|| text("/error")),
            text("/error/innererror/code"),
            text("/error/message").or_else(|| text("/error_description")).or_else(|| text("/message")),
        ];
        let joined = parts.into_iter().flatten().collect::<Vec<_>>().join(": ");
        let line = joined.lines().next().unwrap_or_default();
        // Entra's trace ids are of no use without its portal.
        line.split(" Trace ID:").next().unwrap_or_default().chars().take(MAX_DETAIL_CHARS).collect()
    }

    /// Its own code of an error, such as `KeyNotFound`.
    pub(super) fn has_code(&self, code: &str) -> bool {
        self.detail().split(": ").any(|part| part == code)
    }
}

/// Seconds, or a date (RFC 9110 §10.2.3).
fn wait_of(retry_after: &str) -> Option<Duration> {
    if let Ok(seconds) = retry_after.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = chrono::DateTime::parse_from_rfc2822(retry_after.trim()).ok()?;
    SystemTime::from(date).duration_since(SystemTime::now()).ok()
}

/// 429 and 5xx: what every service of Azure asks callers to repeat.
pub(super) fn is_busy(status: u16) -> bool {
    matches!(status, 429 | 500..=599)
}
