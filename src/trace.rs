//! The request that a thread or task works for: its id, its trace, and the spans of that trace.
//!
//! A server enters a [`Scope`] for each request; everything that the request causes runs in it, on whatever thread. Log lines
//! take the request id and the trace from it, and [`Span`]s their parent. Work that moves to another thread takes its scope
//! along with [`carry`]. Without a [`Tracer`], or if a trace is not sampled, a span is empty and costs next to nothing.
//!
//! A span never holds a token, code, cookie, query string, statement value, post or e-mail address.

mod context;
mod scope;
mod span;
mod tracer;

pub use context::{PARENT, STATE, TraceContext};
pub use scope::{Scope, carry, within};
pub use span::Span;
pub use tracer::{Begun, Origin, Tracer};
