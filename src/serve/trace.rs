//! W3C Trace Context: takes the trace of a request from `traceparent` and passes it on, so that one search finds what
//! each server did for that request. The servers relay and log the headers, and record no spans.

use actix_web::{
    HttpMessage, HttpRequest,
    http::header::{HeaderMap, HeaderName},
};
use rand::RngExt as _;

pub const PARENT: HeaderName = HeaderName::from_static("traceparent");
pub const STATE: HeaderName = HeaderName::from_static("tracestate");

/// Longest `tracestate` that is passed on (Trace Context §3.3.1.5 demands at least 512).
const MAX_STATE_BYTES: usize = 512;

/// The trace of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: String,
    flags: String,
    state: Option<String>,
}

impl TraceContext {
    /// Parses the headers; `None` if they are missing or invalid.
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let mut parents = headers.get_all(PARENT);
        let parent = parents.next()?.to_str().ok()?;
        if parents.next().is_some() {
            return None;
        }
        let mut parts = parent.split('-');
        let (version, trace_id, parent_id, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        // A later version may have more parts (§4.3). Version 00 has four.
        let is_known = is_hex(version, 2) && version != "ff" && (version != "00" || parts.next().is_none());
        let is_whole = is_hex(trace_id, 32) && is_hex(parent_id, 16) && is_hex(flags, 2);
        if !is_known || !is_whole || is_zero(trace_id) || is_zero(parent_id) {
            return None;
        }
        let state = headers.get(STATE).and_then(|state| state.to_str().ok());
        let state = state.filter(|state| state.len() <= MAX_STATE_BYTES).map(str::to_owned);
        Some(Self {
            trace_id: trace_id.to_owned(),
            flags: flags.to_owned(),
            state,
        })
    }

    /// The trace of the request, or a new one.
    pub fn get_or_start(request: &HttpRequest) -> Self {
        request.extensions().get::<Self>().cloned().unwrap_or_else(Self::start)
    }

    /// The trace id for log lines; empty, and then not logged, if the request has no trace.
    pub fn id(request: &HttpRequest) -> String {
        request
            .extensions()
            .get::<Self>()
            .map_or_else(String::new, |trace| trace.trace_id.clone())
    }

    /// Begins a trace that is not sampled.
    fn start() -> Self {
        Self {
            trace_id: random_hex(32),
            flags: "00".to_owned(),
            state: None,
        }
    }

    /// 32 lower-case hex digits.
    pub fn trace_id(&self) -> &str {
        &self.trace_id
    }

    /// `traceparent` for a request that this one causes: the same trace, with a new parent id.
    pub fn next_traceparent(&self) -> String {
        format!("00-{}-{}-{}", self.trace_id, random_hex(16), self.flags)
    }

    /// `tracestate`, to be passed on unchanged.
    pub fn state(&self) -> Option<&str> {
        self.state.as_deref()
    }
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_zero(hex: &str) -> bool {
    hex.bytes().all(|byte| byte == b'0')
}

fn random_hex(digits: usize) -> String {
    let mut rng = rand::rng();
    // The first digit is never 0, so that the id is not all zeros.
    (0..digits)
        .map(|n| char::from_digit(rng.random_range(u32::from(n == 0)..16), 16).unwrap_or('1'))
        .collect()
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;

    use super::*;

    fn read(parents: &[&str], state: Option<&str>) -> Option<TraceContext> {
        let mut headers = HeaderMap::new();
        for parent in parents {
            headers.append(PARENT, HeaderValue::from_str(parent).expect("a header value"));
        }
        if let Some(state) = state {
            headers.append(STATE, HeaderValue::from_str(state).expect("a header value"));
        }
        TraceContext::from_headers(&headers)
    }

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn a_trace_is_taken_over_and_passed_on_with_a_step_of_its_own() {
        let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
        let trace = read(&[&parent], Some("vendor=a,other=b")).expect("a trace");
        let next = trace.next_traceparent();
        assert!(
            next.starts_with(&format!("00-{TRACE}-")) && next.ends_with("-01"),
            "{next}"
        );
        assert_ne!(next, parent);
        assert_eq!(trace.state(), Some("vendor=a,other=b"));
        assert_eq!(
            read(&[&next], None).expect("a trace").trace_id(),
            TRACE,
            "what is passed on can be taken over"
        );
        assert!(
            read(&[&format!("cc-{TRACE}-00f067aa0ba902b7-01-more")], None).is_some(),
            "a later version"
        );
    }

    #[test]
    fn what_is_no_trace_is_ignored() {
        for bad in [
            "",
            "00",
            &format!("00-{TRACE}-00f067aa0ba902b7"),
            &format!("00-{TRACE}-00f067aa0ba902b7-01-more"),
            &format!("ff-{TRACE}-00f067aa0ba902b7-01"),
            &format!("00-{}-00f067aa0ba902b7-01", TRACE.to_uppercase()),
            &format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
            &format!("00-{TRACE}-0000000000000000-01"),
            &format!("00-{TRACE}x-00f067aa0ba902b7-01"),
        ] {
            assert_eq!(read(&[bad], None), None, "{bad:?}");
        }
        let good = format!("00-{TRACE}-00f067aa0ba902b7-01");
        assert_eq!(read(&[&good, &good], None), None, "two of them");
        assert_eq!(
            read(&[&good], Some(&"x".repeat(513))).expect("a trace").state(),
            None,
            "too much state"
        );
    }
}
