//! The lines that this process has logged, for tests of messages to operators. All tests log to the same list: search for text
//! that only your test logs, such as a port.
//!
//! ```ignore
//! logs::capture();
//! // …
//! let lines = logs::containing(&azure.server.url(""));
//! ```

use std::sync::{Mutex, Once};

use log::{LevelFilter, Log, Metadata, Record};

static LINES: Mutex<Vec<String>> = Mutex::new(Vec::new());

struct Lines;

impl Log for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("blogctl::")
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            LINES
                .lock()
                .expect("not poisoned")
                .push(format!("{} {}", record.level(), record.args()));
        }
    }

    fn flush(&self) {}
}

/// Records every line from now on.
pub fn capture() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        log::set_logger(&Lines).expect("the only logger of this process");
        log::set_max_level(LevelFilter::Info);
    });
}

/// The recorded lines that contain `text`.
pub fn containing(text: &str) -> Vec<String> {
    LINES
        .lock()
        .expect("not poisoned")
        .iter()
        .filter(|line| line.contains(text))
        .cloned()
        .collect()
}
