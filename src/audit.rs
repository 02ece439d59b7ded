//! The audit trail: who signed in, who changed which post, what was rejected, which certificate was used. One JSON object per
//! line, each with the hash of the line before it, so that [`verify`] finds a changed or missing line.
//!
//! A leaf, above `metrics` only: the servers record events through an [`AuditLog`], which never blocks. A thread writes them. No line holds a title,
//! a post's content, a token, a name or an e-mail address: [`Event`] has no field for them.

mod chain;
mod damaged_bytes;
mod event;
mod line;
mod log;
mod queue;
mod repeats;
mod sink;
mod trail_file;
mod verify;
mod whole_write;
mod writer;

pub use chain::Head;
pub use event::{CertificateUse, Event, Origin, Person, SignOutScope};
pub use log::{AuditError, AuditLog, AuditStatus};
pub use verify::{Chain, Expectations, Finding, Report, Verifier, is_line_hash, last_line};
