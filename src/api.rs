//! `serve-api`: the REST API for blog posts. It accepts only requests with a valid Entra access token.
//!
//! A request passes the middleware ([`middleware`]), then its handler (one file for each action), then the rules in
//! [`crate::blog`]. No handler contains SQL or a rule, and only [`problem`] turns an error into a response.

mod docs;
mod etag;
mod health;
mod idempotency;
mod json_body;
mod key_watch;
mod middleware;
mod name_updates;
mod openapi;
mod pagination;
mod posts;
mod problem;
mod profile;
mod resource_metadata;
mod response_cache;
mod responses;
mod routes;
mod server;
mod users;

pub use middleware::cors::InvalidOrigin;
pub use openapi::Description;
pub use posts::posts_as_json;
pub use server::{Server, StartError};
