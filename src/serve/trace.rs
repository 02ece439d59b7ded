//! W3C Trace Context: the trace that a request is part of, taken over from `traceparent` and passed on, so that one search
//! finds what every server did for it. Nothing is recorded here; the headers are relayed and logged.

use actix_web::{
    HttpMessage, HttpRequest,
    http::header::{HeaderMap, HeaderName},
};
use rand::RngExt as _;

/// `traceparent`
pub const PARENT: HeaderName = HeaderName::from_static("traceparent");
/// `tracestate`
pub const STATE: HeaderName = HeaderName::from_static("tracestate");

/// Longest `tracestate` that is passed on (Trace Context §3.3.1.5 asks for 512 at least).
const MAX_STATE_BYTES: usize = 512;

/// The trace of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: String,
    flags: String,
    state: Option<String>,
}

impl TraceContext {
    /// What the headers say; `None` when they say nothing that can be used.
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let mut parents = headers.get_all(PARENT);
        let parent = parents.next()?.to_str().ok()?;
        if parents.next().is_some() {
            return None;
        }
        let mut parts = parent.split('-');
        let (version, trace_id, parent_id, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        // A later version may have more parts (§4.3); version 00 has four.
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

    /// The trace that the request is part of, or a new one that it begins.
    pub fn of(request: &HttpRequest) -> Self {
        request.extensions().get::<Self>().cloned().unwrap_or_else(Self::begin)
    }

    /// Its id for the log lines of a request; empty, and then not shown, when the request is part of none.
    pub fn id_of(request: &HttpRequest) -> String {
        request
            .extensions()
            .get::<Self>()
            .map_or_else(String::new, |trace| trace.trace_id.clone())
    }

    /// A new trace, which nobody has asked to be recorded.
    fn begin() -> Self {
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

    /// `traceparent` for a request that is made because of this one: the same trace, a step of its own.
    pub fn parent_of_next(&self) -> String {
        format!("00-{}-{}-{}", self.trace_id, random_hex(16), self.flags)
    }

    /// `tracestate`, to be passed on as it is.
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
    // The first is never 0, so that not all are.
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
        let next = trace.parent_of_next();
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
