//! `serve-api`: the REST API of blog posts. Lets in only requests with a valid Entra access token.
//!
//! A request walks straight through: middleware ([`server`]) → handler (one file per thing a user can do) → the rules
//! in [`crate::blog`]. No handler holds SQL or a rule, and only [`problem`] makes an error into a response.

mod docs;
mod etag;
mod health;
mod idempotency;
mod json_body;
mod key_watch;
mod middleware;
mod name_updates;
mod openapi;
mod page_link;
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
