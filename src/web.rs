//! `serve-client`: the web site. Users sign in with Entra ID; tokens stay on the server.
//!
//! A request meets, in this order: request id and access log, [`security_headers`], [`cookies`], the session
//! ([`sessions`]), [`error_page`], then one of [`pages`]. Posts are fetched over HTTP ([`api_client`]); nothing in
//! here knows the API's code or the database.

mod access_tokens;
mod api_client;
mod certificate_watch;
mod compression;
mod cookies;
mod csrf;
mod drafts;
mod error_page;
mod failed_sign_ins;
mod form_seal;
mod key_ring;
mod lanes;
mod lost_sessions;
mod moment;
mod pages;
mod pending_sign_ins;
mod public_address;
mod redis_store;
mod return_path;
mod routes;
mod security_headers;
mod server;
mod session;
mod sessions;
mod sign_outs;
mod site;
mod static_files;
mod templates;
mod token_roles;
mod token_store;
mod visit;

pub use key_ring::KeyRing;
pub use redis_store::{RedisSetupError, RedisStore, StoreError};
pub use server::{Server, StartError};
pub use site::{Addresses, SettingProblem};
