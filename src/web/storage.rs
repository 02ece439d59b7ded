//! Where the site stores records outside of a request: in memory, or sealed in Redis.

mod executor;
mod key_ring;
mod random_id;
pub mod redis;

pub use self::{
    executor::StorageExecutor,
    key_ring::KeyRing,
    random_id::random_id,
    redis::{RedisStore, StoreError},
};
