//! The site's thread pools for blocking work, one for each target: see [`BlockingPool`].

use std::{io, time::Duration};

use crate::blocking_pool::BlockingPool;

/// The pools of the site, except that of Redis, which the Redis client owns.
pub struct BlockingPools {
    /// Requests to the API.
    pub api: BlockingPool,
    /// Refreshes at Entra ID's token endpoint. Each signs an assertion, possibly in Key Vault.
    pub tokens: BlockingPool,
    /// Redemption of codes at the token endpoint. Anyone can send a code, so this pool is separate from that of
    /// signed-in users.
    pub sign_ins: BlockingPool,
    /// Entra ID's discovery document.
    pub discovery: BlockingPool,
    /// Probes of `/health`: one at a time to each of Entra ID, the API and Redis.
    pub probes: BlockingPool,
}

impl BlockingPools {
    /// Creates the pools. They start threads only when there is work.
    ///
    /// # Errors
    /// When the system does not provide what a pool needs.
    pub fn new() -> io::Result<Self> {
        Ok(Self {
            api: BlockingPool::new("the API", 64, Duration::from_secs(2))?,
            tokens: BlockingPool::new("the token endpoint", 32, Duration::from_secs(5))?,
            sign_ins: BlockingPool::new("sign-ins", 16, Duration::from_secs(5))?,
            discovery: BlockingPool::new("discovery", 8, Duration::from_secs(5))?,
            probes: BlockingPool::new("health", 4, Duration::from_secs(1))?,
        })
    }
}
