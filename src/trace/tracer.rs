//! Begins the spans of a server.

use std::{borrow::Cow, fmt};

use opentelemetry::{
    Context, KeyValue,
    trace::{Link, Span as _, SpanBuilder, SpanContext, SpanKind, TraceContextExt as _, Tracer as _},
};
use opentelemetry_sdk::trace::{SdkTracer, Span as SdkSpan};

use super::{Scope, Span, TraceContext};

/// Records spans for one server. Cheap to clone.
#[derive(Clone)]
pub struct Tracer(SdkTracer);

/// Where the trace of a request comes from.
#[derive(Debug, Clone)]
pub enum Origin {
    /// The request begins a trace.
    Here,
    /// A trusted caller began it: the caller decides whether it is recorded.
    TrustedCaller(TraceContext),
    /// Another caller sent a trace: a new one begins, which links to it.
    OtherCaller(TraceContext),
}

/// The first span of a request in this process, and the scope for everything within it.
pub struct Begun {
    /// Ends when it is dropped.
    pub span: Span,
    /// For the work within the span.
    pub scope: Scope,
}

impl Tracer {
    /// A tracer for these spans.
    pub fn new(tracer: SdkTracer) -> Self {
        Self(tracer)
    }

    /// Begins the span of a request that a server has received. The sampler decides whether it is recorded.
    pub fn begin_request(&self, request_id: &str, origin: Origin, name: Cow<'static, str>) -> Begun {
        let (parent, links) = match origin {
            Origin::Here => (Context::new(), None),
            Origin::TrustedCaller(caller) => (context_of(caller.span_context()), None),
            Origin::OtherCaller(caller) => {
                let link = Link::with_context(caller.span_context().clone());
                (Context::new(), Some(vec![link]))
            }
        };
        let mut builder = SpanBuilder::from_name(name).with_kind(SpanKind::Server);
        builder.links = links;
        let span = self.0.build_with_context(builder, &parent);
        let context = TraceContext::from(span.span_context().clone());
        let tracer = span.is_recording().then(|| self.clone());
        let scope = Scope::new(request_id, None).within(context, tracer);
        Begun {
            span: Span::recording(span, &scope),
            scope,
        }
    }

    /// Begins a span within the recorded span at `parent`.
    pub(super) fn begin_child(
        &self,
        parent: &TraceContext,
        kind: SpanKind,
        name: Cow<'static, str>,
        attributes: Vec<KeyValue>,
    ) -> SdkSpan {
        let builder = SpanBuilder::from_name(name).with_kind(kind).with_attributes(attributes);
        self.0.build_with_context(builder, &context_of(parent.span_context()))
    }
}

fn context_of(parent: &SpanContext) -> Context {
    Context::new().with_remote_span_context(parent.clone())
}

impl fmt::Debug for Tracer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tracer")
    }
}
