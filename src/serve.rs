//! What all servers of blogctl share: they listen, limit connections, bytes and time, give each request an id, log it in one
//! line, and shut down gracefully.

pub mod access_log;
pub mod byte_budget;
pub mod client_address;
mod connection;
mod connection_data;
pub mod content_coding;
pub mod cookie_header;
pub mod descriptors;
mod framing;
mod gate;
pub mod listen;
pub mod loopback_guard;
mod registry;
pub mod request_error;
pub mod request_guard;
pub mod request_id;
pub mod server;
pub mod shutdown;
pub mod sliced_body;
mod socket;
pub mod static_file;
pub mod trace;
mod workers;

pub use client_address::{Source, TrustedProxies};
pub use listen::{ListenError, listen};
pub use request_error::RequestError;
pub use request_id::RequestId;
pub use server::{Options, Server, ShutdownHandle};
pub use static_file::StaticFile;
pub use trace::TraceContext;
pub use workers::workers;
