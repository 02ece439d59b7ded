//! What every server of blogctl does the same: listen, give each request an id, log it in one line, stop gracefully.

pub mod access_log;
pub mod byte_budget;
pub mod client_address;
pub mod connection;
pub mod content_coding;
pub mod cookie_header;
pub mod descriptors;
pub mod framing;
pub mod gate;
pub mod listen;
pub mod loopback_guard;
pub mod registry;
pub mod request_error;
pub mod request_guard;
pub mod request_id;
pub mod server;
pub mod shutdown;
pub mod sliced_body;
pub mod static_file;
pub mod trace;
mod workers;

pub use client_address::{Source, TrustedProxies};
pub use listen::{ListenError, listen};
pub use request_error::Refusal;
pub use request_id::RequestId;
pub use server::{Listening, Options, Stopper};
pub use static_file::StaticFile;
pub use trace::TraceContext;
pub use workers::workers;
