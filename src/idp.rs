//! `serve-idp`: a development look-alike of Entra ID that really verifies client assertions. Shares no code with `entra`.

mod server;

pub use server::{Server, StartError};
