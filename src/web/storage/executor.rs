//! Runs storage work where it may block.

use super::redis::{RedisStore, StoreError};

/// Runs work on sessions, tokens or drafts: in place while they are in memory, on the threads of Redis when they are
/// there.
#[derive(Clone)]
pub struct StorageExecutor(Option<RedisStore>);

impl StorageExecutor {
    /// An executor for stores in `redis`; `None` when they are in memory.
    pub fn new(redis: Option<RedisStore>) -> Self {
        Self(redis)
    }

    /// Runs `work`.
    ///
    /// # Errors
    /// Those of `work`; also when Redis does not answer in time, or too many requests wait for it.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        match &self.0 {
            Some(redis) => redis.run_blocking(work).await.flatten(),
            None => work(),
        }
    }
}
