//! What everything that a request causes has in common, on whatever thread it runs.

use std::future::Future;

use super::{TraceContext, Tracer};

/// Longest request id, in bytes.
const MAX_REQUEST_ID: usize = 64;

tokio::task_local! {
    static CURRENT: Scope;
}

/// The request that this thread or task works for, and its position in the trace.
#[derive(Debug, Clone, Default)]
pub struct Scope {
    request_id: RequestIdText,
    context: Option<TraceContext>,
    /// Only while the trace is recorded.
    tracer: Option<Tracer>,
}

/// Copied without an allocation: every request has one.
#[derive(Clone, Copy)]
struct RequestIdText {
    bytes: [u8; MAX_REQUEST_ID],
    length: usize,
}

impl Scope {
    /// The scope of a request that no span records. A longer `request_id` is cut.
    pub fn new(request_id: &str, context: Option<TraceContext>) -> Self {
        Self {
            request_id: RequestIdText::new(request_id),
            context,
            tracer: None,
        }
    }

    /// The scope of this task or thread.
    pub fn current() -> Option<Self> {
        Self::with_current(Self::clone)
    }

    /// Runs `read` on the scope of this task or thread, if there is one.
    pub fn with_current<T>(read: impl FnOnce(&Self) -> T) -> Option<T> {
        CURRENT.try_with(read).ok()
    }

    /// The id of the request, as in `X-Request-ID`.
    pub fn request_id(&self) -> &str {
        self.request_id.as_str()
    }

    /// The position in the trace, if the request has a trace.
    pub fn context(&self) -> Option<&TraceContext> {
        self.context.as_ref()
    }

    /// Runs `work` in this scope, on this thread.
    pub fn enter<T>(self, work: impl FnOnce() -> T) -> T {
        CURRENT.sync_scope(self, work)
    }

    /// Runs `work` in this scope.
    pub async fn run<F: Future>(self, work: F) -> F::Output {
        CURRENT.scope(self, work).await
    }

    /// The same request, within the span at `context`.
    pub(super) fn within(&self, context: TraceContext, tracer: Option<Tracer>) -> Self {
        Self {
            request_id: self.request_id,
            context: Some(context),
            tracer,
        }
    }

    pub(super) fn tracer(&self) -> Option<&Tracer> {
        self.tracer.as_ref()
    }
}

/// Takes the scope of this thread or task along to the thread on which `work` will run.
pub fn carry<T>(work: impl FnOnce() -> T) -> impl FnOnce() -> T {
    let scope = Scope::current();
    move || within(scope, work)
}

/// Runs `work` in this scope, if there is one, on this thread.
pub fn within<T>(scope: Option<Scope>, work: impl FnOnce() -> T) -> T {
    match scope {
        Some(scope) => scope.enter(work),
        None => work(),
    }
}

impl RequestIdText {
    fn new(id: &str) -> Self {
        let mut text = Self::default();
        for (to, from) in text.bytes.iter_mut().zip(id.bytes()) {
            *to = from;
            text.length += 1;
        }
        text
    }

    fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.length).unwrap_or_default();
        // A request id is ASCII.
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

impl Default for RequestIdText {
    fn default() -> Self {
        Self {
            bytes: [0; MAX_REQUEST_ID],
            length: 0,
        }
    }
}

impl std::fmt::Debug for RequestIdText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn current_id() -> String {
        Scope::with_current(|scope| scope.request_id().to_owned()).unwrap_or_default()
    }

    #[test]
    fn work_on_another_thread_has_the_scope_of_the_request_that_caused_it() {
        assert_eq!(current_id(), "", "no request");
        let (carried, left_behind) = Scope::new("request-1", None).enter(|| {
            let carried = carry(current_id);
            (thread::spawn(carried), thread::spawn(current_id))
        });
        assert_eq!(carried.join().expect("no panic"), "request-1");
        assert_eq!(left_behind.join().expect("no panic"), "");
        assert_eq!(carry(current_id)(), "", "no request");
    }

    #[test]
    fn a_request_id_is_kept_up_to_its_longest_form() {
        let longest = "x".repeat(MAX_REQUEST_ID);
        for (given, kept) in [
            ("", ""),
            ("a", "a"),
            (&*longest, &*longest),
            (&format!("{longest}y"), &longest),
        ] {
            assert_eq!(Scope::new(given, None).request_id(), kept);
        }
    }
}
