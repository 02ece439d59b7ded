//! One request to Azure with its answer, repeated with back-off while the answer is one that passes, and within a limit that
//! holds for all tries together.

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

/// The first pause is the service's own, the following are twice as long each.
const LONGEST_PAUSE: Duration = Duration::from_secs(20);
/// Even where a service asks for less.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);

/// Longest part of somebody's error text that a message repeats.
const MAX_DETAIL_CHARS: usize = 500;

/// Who waits for the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// The start of the site, or somebody who has given a command.
    Start,
    /// A user whose page hangs.
    Request,
    /// Somebody who has said how long one answer may take.
    Within(Duration),
}

/// An answer, whatever its status. It may hold a token, or a private key.
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) challenge: Option<String>,
    retry_after: Option<Duration>,
    body: Zeroizing<Vec<u8>>,
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
    pub(super) first_pause: Duration,
    /// All tries together, at start; a user's are over sooner.
    pub(super) longest: Duration,
}

enum Failure {
    Connection(ureq::Error),
    Passing(Answer),
}

impl Patience {
    fn limit(self, service: &Service<'_>) -> Duration {
        match self {
            Self::Start => service.longest,
            Self::Request => Duration::from_secs(8),
            Self::Within(limit) => limit.min(service.longest),
        }
    }

    fn repeats(self) -> usize {
        match self {
            Self::Start => 8,
            Self::Request | Self::Within(_) => 3,
        }
    }
}

impl Service<'_> {
    /// Asks, again and again while the answer is one that passes; the last answer is the outcome. `request` is told how long it
    /// may take. When the service itself asks for a longer pause than there is time for, that is the end.
    pub(super) fn ask(
        &self,
        agent: &Agent,
        patience: Patience,
        request: impl Fn(Duration) -> Result<Response<Body>, ureq::Error>,
    ) -> Result<Answer, AzureError> {
        let end = Instant::now() + patience.limit(self);
        let one = agent.config().timeouts().global.unwrap_or(self.longest);
        let mut pauses = ExponentialBuilder::default()
            .with_min_delay(self.first_pause)
            .with_max_delay(LONGEST_PAUSE)
            .with_max_times(patience.repeats())
            .with_jitter()
            .build();
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let failure = match attempt(request(one.min(left))) {
                Ok(answer) if !(self.passes)(answer.status) => return Ok(answer),
                Ok(answer) => Failure::Passing(answer),
                Err(error) if self.reconnects && may_pass(&error) => Failure::Connection(error),
                Err(error) => return Err(self.unreachable(&error)),
            };
            let pause = pauses.next().map(|pause| match &failure {
                Failure::Passing(Answer {
                    retry_after: Some(wish),
                    ..
                }) => SHORTEST_PAUSE.max(*wish),
                _ => pause,
            });
            match pause {
                Some(pause) if pause < end.saturating_duration_since(Instant::now()) => {
                    log::debug!("{} is asked again in {pause:?}", self.name);
                    thread::sleep(pause);
                }
                _ => {
                    return match failure {
                        Failure::Passing(answer) => Ok(answer),
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
            text("/error/message")
                .or_else(|| text("/error_description"))
                .or_else(|| text("/message")),
        ];
        let joined = parts.into_iter().flatten().collect::<Vec<_>>().join(": ");
        let mut lines = joined.lines();
        // Entra's trace ids are of no use without its portal.
        let first = lines
            .next()
            .unwrap_or_default()
            .split(" Trace ID:")
            .next()
            .unwrap_or_default();
        // Azure's access control says who may not do what in lines of their own.
        let who_and_what = lines.filter(|line| line.starts_with("Caller:") || line.starts_with("Action:"));
        printable(
            &std::iter::once(first)
                .chain(who_and_what)
                .collect::<Vec<_>>()
                .join("; "),
        )
    }

    /// Whether its error has this code, such as `KeyNotFound`, or these words.
    pub(super) fn says(&self, code: &str) -> bool {
        self.detail().contains(code)
    }
}

fn attempt(response: Result<Response<Body>, ureq::Error>) -> Result<Answer, ureq::Error> {
    let mut response = response?;
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    let challenge = header("www-authenticate").map(str::to_owned);
    let retry_after = header("retry-after").and_then(|text| wait_of(text, SystemTime::now()));
    let status = response.status().as_u16();
    let body = Zeroizing::new(outbound::read_body(&mut response)?);
    Ok(Answer {
        status,
        challenge,
        retry_after,
        body,
    })
}

/// A network may be better a moment later; a certificate, an address or an answer that is too long will not.
fn may_pass(error: &ureq::Error) -> bool {
    match error {
        // What TLS finds wrong comes as such an error, too.
        ureq::Error::Io(error) => error.kind() != io::ErrorKind::InvalidData,
        ureq::Error::Timeout(_) | ureq::Error::HostNotFound | ureq::Error::ConnectionFailed => true,
        _ => false,
    }
}

/// Seconds, or a date (RFC 9110 §10.2.3).
fn wait_of(retry_after: &str, now: SystemTime) -> Option<Duration> {
    if let Ok(seconds) = retry_after.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = chrono::DateTime::parse_from_rfc2822(retry_after.trim()).ok()?;
    Some(SystemTime::from(date).duration_since(now).unwrap_or_default())
}

/// What somebody else has written, for a log or a terminal: one line without control characters, not too long.
pub(super) fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(MAX_DETAIL_CHARS)
        .collect()
}

/// 408, 429 and 5xx: what every service of Azure asks callers to repeat.
pub(super) fn is_busy(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..=599)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_asked_for_in_seconds_or_by_a_date() {
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
            assert_eq!(wait_of(text, now), expected.map(Duration::from_secs), "{text}");
        }
    }

    fn answer(body: &Value) -> Answer {
        let body = Zeroizing::new(body.to_string().into_bytes());
        Answer {
            status: 403,
            challenge: None,
            retry_after: None,
            body,
        }
    }

    #[test]
    fn of_an_error_the_lines_are_kept_that_say_who_may_not_do_what() {
        let message = "Caller is not authorized to perform action on resource.\r\nIf role assignments were changed recently, \
                       please observe propagation time.\r\nCaller: appid=1;oid=2\r\n\
                       Action: 'Microsoft.KeyVault/vaults/keys/sign/action'\r\nVault: blog;location=west";
        let body = serde_json::json!({ "error": {
            "code": "Forbidden", "message": message, "innererror": { "code": "ForbiddenByRbac" },
        }});
        assert_eq!(
            answer(&body).detail(),
            "Forbidden: ForbiddenByRbac: Caller is not authorized to perform action on resource.; Caller: appid=1;oid=2; \
             Action: 'Microsoft.KeyVault/vaults/keys/sign/action'"
        );
    }

    #[test]
    fn what_others_write_cannot_move_the_cursor() {
        let body = serde_json::json!({ "error": { "code": "x", "message": "a\u{1b}[2Jb\u{7}" }});
        assert_eq!(answer(&body).detail(), "x: a [2Jb ");
    }
}
