//! Damaged bytes of a trail where a line should be. The next line declares them.

use openssl::sha::Sha256;

use super::line::Damaged;

/// Bytes at the end that are not a line.
#[derive(Clone)]
pub(super) struct DamagedBytes {
    hash: Sha256,
    bytes: u64,
    /// Whether the line break before the next line is still missing.
    needs_line_break: bool,
}

impl DamagedBytes {
    /// `bytes` are not empty.
    pub fn new(bytes: &[u8]) -> Self {
        let mut damaged = Self {
            hash: Sha256::new(),
            bytes: 0,
            needs_line_break: false,
        };
        damaged.add(bytes);
        damaged
    }

    /// More bytes behind them.
    pub fn add(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        if self.bytes > 0 && !self.needs_line_break {
            self.update(b"\n");
        }
        let content = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        self.needs_line_break = content.len() == bytes.len();
        self.update(content);
    }

    fn update(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
        self.bytes = self
            .bytes
            .saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
    }

    /// Whether a line break must be written before the next line.
    pub fn needs_line_break(&self) -> bool {
        self.needs_line_break
    }

    /// What the next line says about them.
    pub fn declaration(&self) -> Damaged {
        Damaged {
            bytes: self.bytes,
            sha256: hex::encode(self.hash.clone().finish()),
            is_interrupted: self.needs_line_break,
        }
    }
}
