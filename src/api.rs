//! `serve-api`: the REST API of blog posts. Lets in only requests with a valid Entra access token.

mod server;

pub use server::{Server, StartError};
