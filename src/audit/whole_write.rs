//! Writes a batch as a whole, or says how much of it was written.

use std::{
    io::{self, ErrorKind, Write},
    thread,
    time::Duration,
};

/// Time before a non-blocking stream that accepted nothing is retried.
const RETRY_INTERVAL: Duration = Duration::from_millis(20);

/// How many bytes of a batch were written, and why not all.
#[derive(Debug)]
pub(super) struct PartialWrite {
    pub written: usize,
    pub error: io::Error,
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
