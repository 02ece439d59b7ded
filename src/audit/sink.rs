//! Where lines go: a file, or a stream such as stdout.

use std::io::{self, Write};

use super::{
    chain::Head,
    trail_file::TrailFile,
    whole_write::{PartialWrite, write_whole},
};

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
