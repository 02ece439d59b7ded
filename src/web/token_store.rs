//! The tokens of signed-in users. They stay on the server, and never reach a cookie, a page or a log.
//!
//! They are separate from the session's other state, because two requests of one session may run at once: the second
//! must find a refreshed token before the first is answered, and a token must not come back after a sign-out.

mod memory;
mod redis;
mod refresh;
pub mod store;

pub use self::{
    memory::MemoryTokens,
    redis::RedisTokens,
    refresh::{AccessTokens, TokenError},
    store::{TokenStore, lock_timeout},
};
