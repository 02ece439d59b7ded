//! The handle through which the servers record events.

use std::{
    borrow::Cow,
    fmt,
    fs::File,
    io,
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::{
    chain::Head,
    event::{Event, Origin, Record},
    queue::Queue,
    sink::Sink,
    trail_file::{Opened, TrailError, TrailFile},
    writer::Writer,
};
use crate::{
    background,
    config::{AuditSettings, Role},
    hint::Hint,
    metrics::{Observation, audit},
    trusted_file::TrustedFileError,
};

/// Longest wait at the end of the process until the events are written.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);
/// The same when the server ended in another way than [`AuditLog::record_stop`].
const DROP_TIMEOUT: Duration = Duration::from_secs(1);
/// The value of `audit.path` for standard output.
const STDOUT: &str = "stdout";
/// In `audit.path`, this becomes the name of the role.
const ROLE: &str = "{role}";

/// Why the audit trail cannot be started.
#[derive(Debug, thiserror::Error)]
#[error("the audit trail {} cannot be used: {reason}", .path.display())]
pub struct AuditError {
    path: PathBuf,
    #[source]
    reason: Reason,
}

#[derive(Debug, thiserror::Error)]
enum Reason {
    #[error(transparent)]
    File(TrailError),
    #[error("standard output: {0}")]
    Stdout(io::Error),
    #[error("the system starts no thread: {0}")]
    Thread(io::Error),
}

impl Hint for AuditError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        let hint = match &self.reason {
            Reason::File(TrailError::InUse) => {
                "each process needs its own file: write {role} in audit.path if the site and the API share a blog.toml"
            }
            Reason::File(TrailError::OtherContent) => {
                "check audit.path; if the file is an audit trail, blogctl audit verify says what is wrong: move it away, and keep it"
            }
            Reason::File(TrailError::File(TrustedFileError::NotFound)) => "create the folder of audit.path",
            Reason::File(TrailError::File(TrustedFileError::Untrusted(_))) => {
                "let audit.path name a file in a folder that belongs to the account of the service and has mode 0700 or 0755"
            }
            Reason::File(TrailError::File(TrustedFileError::Io(_))) => {
                "let the account of the service write to the folder of audit.path"
            }
            Reason::Stdout(_) | Reason::Thread(_) => return None,
        };
        Some(Cow::Borrowed(hint))
    }
}

/// The state of the trail, for health.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditStatus {
    /// Why the last write failed; `None` if it succeeded.
    pub failure: Option<String>,
    /// Events lost since the start of the process.
    pub lost: u64,
}

/// Records events. Cheap to clone. Without `audit.path`, it drops them.
#[derive(Clone, Default)]
pub struct AuditLog(Option<Arc<Handle>>);

impl fmt::Debug for AuditLog {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(if self.is_on() { "AuditLog(on)" } else { "AuditLog(off)" })
    }
}

/// Dropping it closes the trail.
struct Handle {
    queue: Arc<Queue>,
    _metrics: Observation,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.queue.close();
        // The server did not end in the regular way, or did not start.
        self.queue.wait_for_end(DROP_TIMEOUT);
    }
}

impl AuditLog {
    /// A trail that drops all events.
    pub fn off() -> Self {
        Self(None)
    }

    /// Opens the trail of `role`, and starts the thread that writes it.
    ///
    /// # Errors
    /// When the file cannot be used.
    pub fn start(settings: &AuditSettings, role: Role) -> Result<Self, AuditError> {
        let Some(path) = &settings.path else {
            return Ok(Self::off());
        };
        let role = match role {
            Role::Api => "api",
            Role::Client => "client",
            Role::Any => "any",
        };
        let path = path_for(path, role);
        let failed = |reason| AuditError {
            path: path.clone(),
            reason,
        };
        let queue = Arc::new(Queue::default());
        let target = path.display().to_string();
        let mut writer = if path == Path::new(STDOUT) {
            // A duplicate, because the standard library's stdout has a buffer.
            let stdout = io::stdout().as_fd().try_clone_to_owned();
            let stdout = File::from(stdout.map_err(|error| failed(Reason::Stdout(error)))?);
            let sink = Sink::Stream(Box::new(stdout));
            Writer::new(Arc::clone(&queue), sink, role, Head::new_chain(), target)
        } else {
            let max_bytes = settings.max_mib.saturating_mul(1024 * 1024);
            let opened = TrailFile::open(&path, max_bytes).map_err(|error| failed(Reason::File(error)))?;
            let Opened {
                file,
                head,
                damaged,
                missing_until,
            } = opened;
            if let Some(missing) = missing_until {
                log::error!(
                    "{target} lacks lines up to number {} of chain {}: they were removed, or lost in a power failure; hint: \
                     blogctl audit verify {target}",
                    missing.seq,
                    missing.chain
                );
            }
            let sink = Sink::File(Box::new(file));
            Writer::new(Arc::clone(&queue), sink, role, head, target).after_damage(damaged)
        };
        let thread = background::spawn_restarting("audit", move || writer.run());
        thread.map_err(|error| failed(Reason::Thread(error)))?;
        let observed = Arc::clone(&queue);
        let metrics = audit::observe(move || observed.trail_state());
        Ok(Self(Some(Arc::new(Handle {
            queue,
            _metrics: metrics,
        }))))
    }

    /// Whether events are written anywhere.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Records an event that happens now. Never blocks.
    pub fn record(&self, event: Event, origin: Origin) {
        if let Some(handle) = &self.0 {
            handle.queue.push(Record::new(event, origin));
        }
    }

    /// Records that the server begins to serve with settings that have this fingerprint.
    pub fn record_start(&self, settings: String) {
        let version = env!("CARGO_PKG_VERSION");
        self.record(Event::ServerStarted { version, settings }, Origin::default());
    }

    /// Records that the server has answered its last request, and closes the trail. Waits a few seconds at most. Blocks.
    pub fn record_stop(&self) {
        self.record(Event::ServerStopped, Origin::default());
        self.close();
    }

    /// The state of the trail; `None` when it is off.
    pub fn status(&self) -> Option<AuditStatus> {
        let (failure, lost) = self.0.as_ref()?.queue.status();
        Some(AuditStatus { failure, lost })
    }

    /// Writes all events, and ends.
    fn close(&self) {
        if let Some(handle) = &self.0 {
            handle.queue.close();
            if !handle.queue.wait_for_end(CLOSE_TIMEOUT) {
                log::error!("the audit trail was not completely written: its file system or reader does not respond");
            }
        }
    }
}

/// `audit.path` of a role.
fn path_for(path: &Path, role: &str) -> PathBuf {
    match path.to_str() {
        Some(text) if text.contains(ROLE) => PathBuf::from(text.replace(ROLE, role)),
        _ => path.to_owned(),
    }
}
