//! The state in [Redis](crate::redis) that replicas of the site share: records with a lifetime, sorted sets of record
//! names, and locks.
//! Calls block.
//!
//! An attacker who reads Redis learns little: records are sealed with the cookie key, and their names are digests, so
//! that no session id can be read from a name. Every command works with Redis 2.6, on one key at a time.

mod error;
mod lock;
mod record_name;
mod sets;
mod store;

pub use self::{
    error::StoreError,
    lock::Lock,
    record_name::{RecordKind, RecordName},
    store::RedisStore,
};
