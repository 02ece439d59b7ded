//! The file of the audit trail. Only one process at a time appends to it, and each continues the chain of the one before.
//!
//! A small file with the suffix `.state` holds the lock, and the last line's number and hash. The chain thus goes on when the
//! file was renamed, and a start notices when lines are missing at the end.

use std::{
    ffi::OsString,
    fs::File,
    io::{self, Read as _, SeekFrom},
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::{Path, PathBuf},
};

use rustix::fs::{FlockOperation, OFlags, flock};

use super::{
    chain::{Head, is_hash},
    damaged_bytes::DamagedBytes,
    line::{self, MAX_LINE},
    whole_write::{PartialWrite, write_whole},
};
use crate::trusted_file::{Readers, TrustedFileError, TrustedFolder};

/// How many bytes at the end of the file a start searches for the last line.
const MAX_TAIL: u64 = 1024 * 1024;
/// The state is padded to this length, so that overwriting it needs no space on the disk.
const STATE_BYTES: usize = 200;

/// A number that no trail reaches.
const MAX_SEQ: u64 = 1 << 53;

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum TrailError {
    #[error(transparent)]
    File(#[from] TrustedFileError),
    #[error("another process appends to it")]
    InUse,
    #[error("it does not end in lines of an audit trail")]
    OtherContent,
}

impl From<io::Error> for TrailError {
    fn from(error: io::Error) -> Self {
        Self::File(error.into())
    }
}

/// A file that is open for appending.
pub(super) struct TrailFile {
    path: PathBuf,
    folder: TrustedFolder,
    name: OsString,
    file: File,
    identity: (u64, u64),
    /// Bytes in the file, as far as this process knows.
    length: u64,
    /// 0 means no limit.
    max_bytes: u64,
    /// Whether the last attempt to rename the file failed, which is logged once.
    is_rename_failing: bool,
    /// Also holds the lock.
    state: File,
}

/// A file, the line that the next one continues, and what is damaged behind it.
pub(super) struct Opened {
    pub file: TrailFile,
    pub head: Head,
    pub damaged: Option<DamagedBytes>,
    /// The stored head, if the file lacks its line.
    pub missing_until: Option<Head>,
}

impl TrailFile {
    /// Opens or creates the file, and finds its last line.
    pub fn open(path: &Path, max_bytes: u64) -> Result<Opened, TrailError> {
        let (folder, name) = TrustedFolder::of(path)?;
        let mut state_name = name.to_owned();
        state_name.push(".state");
        let state = folder.open(&state_name, OFlags::empty(), Readers::Group)?;
        flock(&state, FlockOperation::NonBlockingLockExclusive).map_err(|_| TrailError::InUse)?;
        let stored = read_state(&state);
        let mut file = folder.open(name, OFlags::APPEND, Readers::Group)?;
        let metadata = file.metadata()?;
        let tail = Tail::read(&mut file, metadata.len())?;
        if tail.last.is_none() && tail.is_other_content {
            return Err(TrailError::OtherContent);
        }
        let (head, missing_until) = match (tail.last, stored) {
            // The number of the stored line is higher, or the file holds another chain.
            (Some(last), Some(stored)) if stored.chain != last.chain || stored.seq > last.seq => {
                (stored.clone(), Some(stored))
            }
            (Some(last), _) => (last, None),
            (None, Some(stored)) => (stored, None),
            (None, None) => (Head::new_chain(), None),
        };
        let file = Self {
            path: path.to_owned(),
            name: name.to_owned(),
            folder,
            file,
            identity: (metadata.dev(), metadata.ino()),
            length: metadata.len(),
            max_bytes,
            is_rename_failing: false,
            state,
        };
        // Otherwise, a power failure may lose a file that was just created.
        file.folder.sync()?;
        Ok(Opened {
            file,
            head,
            damaged: tail.damaged,
            missing_until,
        })
    }

    pub fn prepare(&mut self, bytes: usize, head: &Head) -> io::Result<()> {
        if self.folder.identity(&self.name)? != Some(self.identity) {
            self.reopen(head)?;
        }
        let on_disk = self.file.metadata()?.len();
        if on_disk < self.length {
            log::error!(
                "{} became shorter while it was in use: lines of the audit trail are missing or were copied elsewhere; hint: \
                 rotate it by renaming (logrotate: no copytruncate)",
                self.path.display()
            );
        }
        self.length = on_disk;
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        if self.max_bytes > 0 && self.length > 0 && self.length.saturating_add(bytes) > self.max_bytes {
            self.rotate(head)?;
        }
        Ok(())
    }

    pub fn write(&mut self, bytes: &[u8]) -> Result<(), PartialWrite> {
        let outcome = write_whole(&mut self.file, bytes);
        let written = outcome.as_ref().err().map_or(bytes.len(), |partial| partial.written);
        self.length = self.length.saturating_add(u64::try_from(written).unwrap_or(0));
        outcome
    }

    pub fn remove_last(&mut self, bytes: usize) -> bool {
        let rest = self.length.saturating_sub(u64::try_from(bytes).unwrap_or(0));
        let is_removed = self.file.set_len(rest).is_ok();
        if is_removed {
            self.length = rest;
        }
        is_removed
    }

    pub fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    /// A failure is ignored: the state only matters if the file is lost, renamed or cut.
    pub fn save_head(&mut self, head: &Head) {
        if let Ok(mut text) = serde_json::to_string(head) {
            text.push_str(&" ".repeat(STATE_BYTES.saturating_sub(text.len() + 1)));
            text.push('\n');
            let _ = self.state.write_all_at(text.as_bytes(), 0);
        }
    }

    /// Closes the file, which another program has renamed or deleted, and opens the one that has the name now.
    fn reopen(&mut self, head: &Head) -> io::Result<()> {
        self.save_head(head);
        // Its content is no longer ours to guarantee.
        let _ = self.file.sync_data();
        let file = self
            .folder
            .open(&self.name, OFlags::APPEND, Readers::Group)
            .map_err(io::Error::other)?;
        let metadata = file.metadata()?;
        self.identity = (metadata.dev(), metadata.ino());
        self.length = metadata.len();
        self.file = file;
        self.folder.sync()
    }

    /// Renames the file to its name and the number of its last line, and begins a new one.
    fn rotate(&mut self, head: &Head) -> io::Result<()> {
        self.sync()?;
        let mut full = self.name.clone();
        full.push(format!(".{:012}", head.seq));
        if let Err(error) = self.folder.rename(&self.name, &full) {
            // The trail goes on in the same file.
            if !self.is_rename_failing {
                log::error!("{} is full, but cannot be renamed: {error}", self.path.display());
            }
            self.is_rename_failing = true;
            return Ok(());
        }
        self.is_rename_failing = false;
        self.reopen(head)
    }
}

fn read_state(state: &File) -> Option<Head> {
    let mut bytes = Vec::new();
    let limit = u64::try_from(STATE_BYTES).unwrap_or(u64::MAX);
    state.take(limit).read_to_end(&mut bytes).ok()?;
    // A file that was tampered with must not make the next lines invalid.
    serde_json::from_slice(&bytes)
        .ok()
        .filter(|head: &Head| is_hash(&head.hash) && head.seq < MAX_SEQ)
}

/// The end of a file.
pub(super) struct Tail {
    /// The last valid line.
    pub last: Option<Head>,
    /// The bytes behind it.
    pub damaged: Option<DamagedBytes>,
    /// Whether the bytes without a valid line are more than one interrupted line.
    pub is_other_content: bool,
}

impl Tail {
    /// Reads the end of a file that is `length` bytes long.
    pub fn read(file: &mut (impl io::Read + io::Seek), length: u64) -> io::Result<Self> {
        let start = length.saturating_sub(MAX_TAIL);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.take(MAX_TAIL).read_to_end(&mut bytes)?;
        let mut end = bytes.len();
        // From the end: each part ends with a line break, except possibly the last one.
        while let Some(part) = bytes.get(..end).filter(|part| !part.is_empty()) {
            let content = part.strip_suffix(b"\n").unwrap_or(part);
            let begin = content.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
            let line = content.get(begin..).unwrap_or_default();
            let is_complete = content.len() < part.len() && line.len() <= MAX_LINE;
            if is_complete && let Ok(link) = line::parse(line) {
                let rest = bytes.get(end..).filter(|rest| !rest.is_empty());
                return Ok(Self {
                    last: Some(link.head),
                    damaged: rest.map(DamagedBytes::new),
                    is_other_content: false,
                });
            }
            end = begin;
        }
        Ok(Self {
            last: None,
            is_other_content: start > 0 || bytes.contains(&b'\n') || bytes.first().is_some_and(|byte| *byte != b'{'),
            damaged: (!bytes.is_empty()).then(|| DamagedBytes::new(&bytes)),
        })
    }
}

/// The last valid line of a file.
///
/// # Errors
/// When the file cannot be read.
pub(super) fn last_line(file: &mut File) -> io::Result<Option<Head>> {
    let length = file.metadata()?.len();
    Ok(Tail::read(file, length)?.last)
}
