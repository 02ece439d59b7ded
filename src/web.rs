//! `serve-client`: the web site. Users sign in with Entra ID; tokens stay on the server.
//!
//! A request meets, in this order: request id and access log, [`security_headers`], [`cookies`], the session
//! ([`sessions`]), [`error_page`], then one of [`pages`]. Posts are fetched over HTTP ([`api_client`]); nothing in
//! here knows the API's code or the database.

mod api_client;
mod blocking_pools;
mod certificate_watch;
mod cookies;
mod csrf;
mod drafts;
mod error;
mod forced_sign_in;
mod form_seal;
mod middleware;
mod pages;
mod request_context;
mod routes;
mod security_headers;
mod server;
mod session;
mod session_store;
mod sign_in;
mod state;
mod static_files;
mod storage;
mod templates;
mod timestamp;
mod token_store;

pub use server::{Server, StartError};
pub use state::{Addresses, SettingProblem};
pub use storage::key_ring::KeyRing;
pub use storage::redis::{RedisSetupError, RedisStore, StoreError};
