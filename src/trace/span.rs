//! One operation of a trace, with a beginning, an end and attributes.

use std::{borrow::Cow, future::Future};

use opentelemetry::{
    KeyValue, Value,
    trace::{Span as _, SpanKind, Status},
};
use opentelemetry_sdk::trace::Span as SdkSpan;

use super::{Scope, TraceContext};

/// A span, which ends when it is dropped. Empty if the trace is not recorded.
#[must_use = "a span ends when it is dropped"]
#[derive(Debug)]
pub struct Span(Option<Box<Recording>>);

#[derive(Debug)]
struct Recording {
    span: SdkSpan,
    scope: Scope,
}

impl Span {
    /// Begins a request to another server or to the database, within the span of this scope. `describe` returns the name and the
    /// attributes that are known at the start; it is called only if the trace is recorded.
    pub fn client(describe: impl FnOnce() -> (Cow<'static, str>, Vec<KeyValue>)) -> Self {
        Self::begin(SpanKind::Client, describe)
    }

    /// Begins an operation within this process, like [`Self::client`].
    pub fn internal(describe: impl FnOnce() -> (Cow<'static, str>, Vec<KeyValue>)) -> Self {
        Self::begin(SpanKind::Internal, describe)
    }

    fn begin(kind: SpanKind, describe: impl FnOnce() -> (Cow<'static, str>, Vec<KeyValue>)) -> Self {
        let recording = Scope::with_current(|scope| {
            let (tracer, parent) = (scope.tracer()?, scope.context()?);
            let (name, attributes) = describe();
            let span = tracer.begin_child(parent, kind, name, attributes);
            let context = TraceContext::from(span.span_context().clone());
            let scope = scope.within(context, Some(tracer.clone()));
            Some(Box::new(Recording { span, scope }))
        });
        Self(recording.flatten())
    }

    /// An empty span.
    pub fn none() -> Self {
        Self(None)
    }

    /// A span that its tracer has begun; empty if its sampler has decided against it.
    pub(super) fn recording(span: SdkSpan, scope: &Scope) -> Self {
        let is_recording = span.is_recording();
        Self(is_recording.then(|| {
            Box::new(Recording {
                span,
                scope: scope.clone(),
            })
        }))
    }

    /// Whether attributes are worth computing.
    pub fn is_recording(&self) -> bool {
        self.0.is_some()
    }

    /// The position of this span in its trace; `None` if it is empty.
    pub fn context(&self) -> Option<&TraceContext> {
        self.0.as_ref()?.scope.context()
    }

    /// Replaces the name.
    pub fn rename(&mut self, name: impl Into<Cow<'static, str>>) {
        if let Some(recording) = &mut self.0 {
            recording.span.update_name(name);
        }
    }

    /// Sets an attribute.
    pub fn set(&mut self, key: &'static str, value: impl Into<Value>) {
        if let Some(recording) = &mut self.0 {
            recording.span.set_attribute(KeyValue::new(key, value));
        }
    }

    /// Marks the operation as failed. `error_type` is a code, a status or a type name with few values (`error.type`), never a
    /// message.
    pub fn fail(&mut self, error_type: impl Into<Cow<'static, str>>) {
        if let Some(recording) = &mut self.0 {
            let error_type: Cow<'static, str> = error_type.into();
            recording.span.set_attribute(KeyValue::new("error.type", error_type));
            recording.span.set_status(Status::error(""));
        }
    }

    /// Runs `work` within this span, on this thread.
    pub fn enter<T>(&self, work: impl FnOnce() -> T) -> T {
        match &self.0 {
            Some(recording) => recording.scope.clone().enter(work),
            None => work(),
        }
    }

    /// Runs `work` within this span.
    pub async fn run<F: Future>(&self, work: F) -> F::Output {
        match &self.0 {
            Some(recording) => recording.scope.clone().run(work).await,
            None => work.await,
        }
    }
}
