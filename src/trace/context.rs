//! W3C Trace Context: the trace that a request belongs to, as the headers `traceparent` and `tracestate` pass it on.

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};

/// `traceparent`
pub const PARENT: &str = "traceparent";
/// `tracestate`
pub const STATE: &str = "tracestate";

/// Longest `tracestate` that is passed on (Trace Context §3.3.1.5 demands at least 512).
const MAX_STATE_BYTES: usize = 512;

/// A position in a trace: the trace, and the span in it that is the parent of whatever happens next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceContext(SpanContext);

impl TraceContext {
    /// Parses the values of the headers; `None` if `traceparent` is missing, sent twice, or invalid. An invalid
    /// `tracestate` is ignored.
    pub fn from_headers<'h>(
        parents: impl IntoIterator<Item = &'h [u8]>,
        states: impl IntoIterator<Item = &'h [u8]>,
    ) -> Option<Self> {
        let mut parents = parents.into_iter();
        let parent = std::str::from_utf8(parents.next()?).ok()?;
        if parents.next().is_some() {
            return None;
        }
        let mut parts = parent.split('-');
        let (version, trace_id, span_id, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        // A later version may have more parts (§4.3). Version 00 has four.
        let is_known = is_hex(version, 2) && version != "ff" && (version != "00" || parts.next().is_none());
        if !is_known || !is_hex(trace_id, 32) || !is_hex(span_id, 16) || !is_hex(flags, 2) {
            return None;
        }
        let (trace_id, span_id) = (TraceId::from_hex(trace_id).ok()?, SpanId::from_hex(span_id).ok()?);
        let flags = TraceFlags::new(u8::from_str_radix(flags, 16).ok()?);
        let context = SpanContext::new(trace_id, span_id, flags, true, state(states));
        context.is_valid().then_some(Self(context))
    }

    /// Begins a trace that is not sampled.
    pub fn start() -> Self {
        let (trace_id, span_id) = (TraceId::from(rand::random::<u128>() | 1), random_span_id());
        Self(SpanContext::new(
            trace_id,
            span_id,
            TraceFlags::NOT_SAMPLED,
            false,
            TraceState::NONE,
        ))
    }

    /// The same position, but no server further on records it on the word of this context.
    #[must_use]
    pub fn not_sampled(self) -> Self {
        let Self(context) = self;
        Self(SpanContext::new(
            context.trace_id(),
            context.span_id(),
            context.trace_flags().with_sampled(false),
            context.is_remote(),
            context.trace_state().clone(),
        ))
    }

    /// The same trace, with a new span that is not recorded.
    #[must_use]
    pub fn next(&self) -> Self {
        let Self(context) = self;
        Self(SpanContext::new(
            context.trace_id(),
            random_span_id(),
            context.trace_flags(),
            false,
            context.trace_state().clone(),
        ))
    }

    /// 32 lower-case hex digits.
    pub fn trace_id(&self) -> String {
        self.0.trace_id().to_string()
    }

    /// 16 lower-case hex digits; `None` for a span of another process.
    pub fn span_id(&self) -> Option<String> {
        (!self.0.is_remote()).then(|| self.0.span_id().to_string())
    }

    /// 2 lower-case hex digits; the lowest bit says whether the trace is recorded.
    pub fn flags(&self) -> String {
        format!("{:02x}", self.0.trace_flags())
    }

    /// The value of `traceparent` for a request that the span of this position sends.
    pub fn traceparent(&self) -> String {
        let Self(context) = self;
        format!(
            "00-{}-{}-{:02x}",
            context.trace_id(),
            context.span_id(),
            context.trace_flags()
        )
    }

    /// The value of `tracestate`, if there is one.
    pub fn state(&self) -> Option<String> {
        Some(self.0.trace_state().header()).filter(|state| !state.is_empty())
    }

    pub(super) fn span_context(&self) -> &SpanContext {
        &self.0
    }
}

impl From<SpanContext> for TraceContext {
    fn from(context: SpanContext) -> Self {
        Self(context)
    }
}

/// Several `tracestate` headers are one list (§3.3.1.1).
fn state<'h>(values: impl IntoIterator<Item = &'h [u8]>) -> TraceState {
    let values: Vec<&[u8]> = values.into_iter().collect();
    let joined = values.join(&b","[..]);
    let text = std::str::from_utf8(&joined)
        .ok()
        .filter(|text| text.len() <= MAX_STATE_BYTES);
    text.and_then(|text| text.parse().ok()).unwrap_or_default()
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn random_span_id() -> SpanId {
    // Never zero, which would be invalid.
    SpanId::from(rand::random::<u64>() | 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(parents: &[&str], state: Option<&str>) -> Option<TraceContext> {
        TraceContext::from_headers(parents.iter().map(|parent| parent.as_bytes()), state.map(str::as_bytes))
    }

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

    #[test]
    fn a_trace_is_taken_over_and_passed_on_with_a_step_of_its_own() {
        let parent = format!("00-{TRACE}-00f067aa0ba902b7-01");
        let trace = read(&[&parent], Some("vendor=a,other=b")).expect("a trace");
        assert_eq!(trace.traceparent(), parent);
        let next = trace.next().traceparent();
        assert!(
            next.starts_with(&format!("00-{TRACE}-")) && next.ends_with("-01"),
            "{next}"
        );
        assert_ne!(next, parent);
        assert_eq!(trace.next().state().as_deref(), Some("vendor=a,other=b"));
        assert_eq!(
            read(&[&next], None).expect("a trace").trace_id(),
            TRACE,
            "what is passed on can be taken over"
        );
        assert!(trace.not_sampled().traceparent().ends_with("-00"));
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
            &format!("00-{TRACE}-00f067aa0ba902b7-+1"),
        ] {
            assert_eq!(read(&[bad], None), None, "{bad:?}");
        }
        let good = format!("00-{TRACE}-00f067aa0ba902b7-01");
        assert_eq!(read(&[&good, &good], None), None, "two of them");
        for bad in [&*"x".repeat(513), "no pair", "Vendor=a"] {
            assert_eq!(read(&[&good], Some(bad)).expect("a trace").state(), None, "{bad}");
        }
    }

    #[test]
    fn each_new_trace_is_valid_and_not_sampled() {
        let trace = TraceContext::start();
        assert_ne!(trace.trace_id(), TraceContext::start().trace_id());
        assert_eq!(
            read(&[&trace.traceparent()], None).map(|read| read.traceparent()),
            Some(trace.traceparent())
        );
        assert!(trace.traceparent().ends_with("-00"));
    }
}
