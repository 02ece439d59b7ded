//! The end of a chain of lines: what the next line continues.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The hash before the first line of a chain.
pub(super) const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The last line of a chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Identifies the chain.
    pub chain: Uuid,
    /// The line's sequence number; 0 if there is no line yet.
    pub seq: u64,
    /// The line's hash: 64 lower-case hex digits.
    pub hash: String,
}

impl Head {
    /// A chain without lines.
    pub(super) fn new_chain() -> Self {
        Self {
            chain: Uuid::new_v4(),
            seq: 0,
            hash: GENESIS.to_owned(),
        }
    }
}

/// Whether this is a hash as lines contain it.
pub(super) fn is_hash(text: &str) -> bool {
    text.len() == GENESIS.len() && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}
