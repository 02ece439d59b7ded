//! The client of Redis, for state that replicas share. Calls block: [`RedisClient::run_blocking`] runs them on separate
//! threads.
//!
//! While Redis is down, requests fail fast: after a failed attempt to connect, only one request at a time tries again. When
//! a connection fails, the others that were made before are dropped too. All commands of one request together take at most
//! `redis.timeout_seconds`.
//!
//! What is stored, and under which names, is up to the users of this room.

mod circuit_breaker;
mod client;
mod connections;
mod error;
mod sentinel;
mod servers;
pub mod time_budget;

pub use self::{
    client::{RedisClient, eval, millis},
    error::{RedisFailure, RedisSetupError},
};
