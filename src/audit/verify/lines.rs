//! Reads lines of any length in bounded memory: a line that is too long comes in pieces.

use std::io::{self, BufRead, Read as _};

use crate::audit::line::MAX_LINE;

/// A line, or a part of one that is too long.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece<'b> {
    /// With the line break, if it is there.
    pub bytes: &'b [u8],
    /// The piece is the beginning of a line.
    pub is_first: bool,
    /// The piece is a whole line with its line break.
    pub is_whole: bool,
    /// The file ends here, without a line break.
    pub is_last: bool,
}

impl Piece<'_> {
    pub fn content(&self) -> &[u8] {
        self.bytes.strip_suffix(b"\n").unwrap_or(self.bytes)
    }
}

pub(super) struct Lines<R> {
    reader: R,
    buffer: Vec<u8>,
    is_within_line: bool,
}

impl<R: BufRead> Lines<R> {
    pub fn new(reader: R) -> Self {
        Self {
            reader,
            buffer: Vec::new(),
            is_within_line: false,
        }
    }

    pub fn next_piece(&mut self) -> io::Result<Option<Piece<'_>>> {
        self.buffer.clear();
        // The limit includes the line break.
        let limit = u64::try_from(MAX_LINE + 1).unwrap_or(u64::MAX);
        self.reader.by_ref().take(limit).read_until(b'\n', &mut self.buffer)?;
        if self.buffer.is_empty() {
            return Ok(None);
        }
        let is_first = !self.is_within_line;
        let has_end = self.buffer.ends_with(b"\n");
        self.is_within_line = !has_end;
        Ok(Some(Piece {
            is_first,
            is_whole: is_first && has_end,
            is_last: !has_end && self.buffer.len() <= MAX_LINE,
            bytes: &self.buffer,
        }))
    }
}
