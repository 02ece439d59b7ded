//! `serve-idp`: an Entra ID emulator for development that really verifies client assertions.
//!
//! It has the addresses, parameters, tokens and AADSTS codes of Entra ID, and keeps all state in memory. It asks for no
//! password, so it must never replace a real identity provider: it listens on loopback unless forced. It shares no code
//! with `entra`: an error that both share would go unnoticed.

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
pub use tls::LocalTlsError;
