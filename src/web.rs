//! `serve-client`: the web site. Users sign in with Entra ID; tokens stay on the server.

mod server;

pub use server::{Server, StartError};
