//! `serve-idp`: a development look-alike of Entra ID that really verifies client assertions.
//!
//! Same addresses, parameters, tokens and AADSTS numbers as Entra ID, with all state in memory. It asks for no
//! password, so it must never stand in for a real identity provider: it listens on loopback unless forced. It shares no
//! code with `entra`: a mistake made in one would otherwise go unseen in the other.

mod assets;
mod authority;
mod authorize;
mod certificate;
mod claims;
mod clock;
mod control;
mod discovery;
mod error;
mod expiring_map;
mod faults;
mod grants;
mod logout;
mod middleware;
mod pages;
mod parameters;
mod paths;
mod random;
mod registrations;
mod request_log;
mod requested_claims;
mod scope;
mod server;
mod session;
mod signing_keys;
mod start_error;
mod state;
mod tls;
mod token;

pub use registrations::RegistrationError;
pub use server::Server;
pub use start_error::StartError;
pub use tls::TlsError;
