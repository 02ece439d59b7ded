//! Where lines go: a file, or a stream such as stdout.

use std::{
    io::{self, ErrorKind, Write},
    thread,
    time::Duration,
};

use openssl::sha::Sha256;

use super::{chain::Head, line::Damaged, trail_file::TrailFile};

/// Time before a non-blocking stream that accepted nothing is retried.
const RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// How many bytes of a batch were written, and why not all.
#[derive(Debug)]
pub(super) struct PartialWrite {
    pub written: usize,
    pub error: io::Error,
}

pub(super) enum Sink {
    File(Box<TrailFile>),
    Stream(Box<dyn Write + Send>),
}

impl Sink {
    /// Makes room for a batch: reopens a file that was renamed, and begins a new one when it is large enough.
    pub fn prepare(&mut self, bytes: usize, head: &Head) -> io::Result<()> {
        match self {
            Self::File(file) => file.prepare(bytes, head),
            Self::Stream(_) => Ok(()),
        }
    }

    /// Writes a batch. After an error, only the first `written` bytes are there.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), PartialWrite> {
        match self {
            Self::File(file) => file.write(bytes),
            Self::Stream(stream) => write_whole(stream, bytes).and_then(|()| {
                stream.flush().map_err(|error| PartialWrite {
                    written: bytes.len(),
                    error,
                })
            }),
        }
    }

    /// Removes the last bytes, which are not a whole line. `false` if they are still there.
    pub fn remove_last(&mut self, bytes: usize) -> bool {
        match self {
            Self::File(file) => file.remove_last(bytes),
            Self::Stream(_) => false,
        }
    }

    /// Makes the written lines survive a power failure.
    pub fn sync(&mut self) -> io::Result<()> {
        match self {
            Self::File(file) => file.sync(),
            Self::Stream(_) => Ok(()),
        }
    }

    /// Stores the head for the next start.
    pub fn save_head(&mut self, head: &Head) {
        if let Self::File(file) = self {
            file.save_head(head);
        }
    }
}

/// Writes all bytes, unless the reader is gone or writing fails.
pub(super) fn write_whole(to: &mut impl Write, bytes: &[u8]) -> Result<(), PartialWrite> {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match to.write(rest) {
            Ok(0) => {
                let error = ErrorKind::WriteZero.into();
                return Err(PartialWrite { written, error });
            }
            Ok(count) => written += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Another process has made the shared pipe non-blocking.
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(RETRY_INTERVAL),
            Err(error) => return Err(PartialWrite { written, error }),
        }
    }
    Ok(())
}

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
