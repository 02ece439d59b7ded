//! Where the site keeps records: sealed by its own keys, in Redis if the settings name one.

pub mod key_ring;
pub mod redis;
