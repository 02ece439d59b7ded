//! `serve-client`: the web site. Users sign in with Entra ID; their tokens stay on the server.
//!
//! A request passes the request id and the access log, then the [`middleware`] (security headers, compression, cookies,
//! the session, error pages), then one of the [`pages`]; [`server`] has the order. [`state`] creates the components
//! that pages use. Posts come from the API over HTTP ([`api_client`]): nothing here knows the API's code or the
//! database.

mod addresses;
mod api_client;
mod blocking_pools;
mod certificate_watch;
mod cookies;
mod csrf;
mod csrf_token;
mod drafts;
mod error;
mod forced_sign_in;
mod form_seal;
mod health_checks;
mod middleware;
mod pages;
mod paths;
mod post_input;
mod request_context;
mod routes;
mod sealed_cookies;
mod security_headers;
mod server;
mod session;
mod session_store;
mod sign_in;
mod start_error;
mod state;
mod static_files;
mod storage;
mod templates;
mod timestamp;
mod token_store;
mod user_sessions;

pub use addresses::Addresses;
pub use server::Server;
pub use start_error::{SettingError, StartError};
pub use storage::{KeyRing, RedisStore, StoreError};
