//! What every server of blogctl does the same: listen, give each request an id, log it in one line, stop gracefully.

pub mod access_log;
pub mod budget;
pub mod client_address;
pub mod connection;
pub mod content_coding;
pub mod cookie_header;
pub mod descriptors;
pub mod framing;
pub mod gate;
pub mod listen;
pub mod local_programs;
pub mod refusal;
pub mod registry;
pub mod request_guard;
pub mod request_id;
pub mod server;
pub mod static_file;
pub mod stop;
pub mod trace;
mod workers;

pub use client_address::{Source, TrustedProxies};
pub use listen::{ListenError, listen};
pub use refusal::Refusal;
pub use request_id::RequestId;
pub use server::{Listening, Options, Stopper};
pub use static_file::StaticFile;
pub use trace::TraceContext;
pub use workers::workers;
