//! What all servers of blogctl share: they listen, limit connections, bytes and time, give each request an id, log it in one
//! line, and shut down gracefully.

pub(crate) mod access_log;
pub(crate) mod byte_budget;
pub(crate) mod client_address;
mod connection;
mod connection_data;
pub(crate) mod content_coding;
pub(crate) mod cookie_header;
pub(crate) mod descriptors;
pub(crate) mod exposure;
mod framing;
mod gate;
mod handshake;
pub(crate) mod listen;
pub(crate) mod loopback_guard;
mod registry;
mod request_audit;
pub(crate) mod request_error;
pub(crate) mod request_guard;
pub(crate) mod request_id;
pub(crate) mod server;
pub(crate) mod shutdown;
mod socket;
pub(crate) mod static_file;
mod tls;
mod tracing;
mod unix_socket;
mod workers;

pub use client_address::{Source, TrustedProxies};
pub use listen::{ListenAddress, ListenError, Listener, Listeners, UnixSocket, listen};
pub use request_audit::RequestAudit;
pub use request_error::RequestError;
pub use request_id::RequestId;
pub use server::{Options, Server, ShutdownHandle};
pub use static_file::StaticFile;
pub use tls::{ClientCertificates, Tls};
pub use tracing::Tracing;
pub use unix_socket::{SocketFile, UnixSocketError};
pub use workers::workers;
