//! HTTPS for all servers: certificates from files or from an ACME CA, their reload and renewal, client certificates, and what
//! happens to plain HTTP. The room `serve` accepts the connections. `docs/tls.md` explains the settings.

mod acme;
mod api_agent;
mod certificate_files;
mod challenges;
mod error;
mod https;
mod inspection;
mod installation;
mod names;
mod plain_http;
mod report;
mod served_certificate;
mod server_config;

pub use api_agent::ApiAgent;
pub use error::{Purpose, TlsError};
pub use https::{Https, HttpsRole};
pub use inspection::{LoadedCertificate, load};
pub(crate) use names::is_for;
pub use served_certificate::ServedCertificate;
