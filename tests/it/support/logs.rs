//! What this process has logged, for tests that say what an operator must be told. All tests log beside each other: look for
//! something that is your own, such as a port.

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

/// Keeps every line from now on.
pub fn keep() {
    static STARTED: Once = Once::new();
    STARTED.call_once(|| {
        log::set_logger(&Lines).expect("the only logger of this process");
        log::set_max_level(LevelFilter::Info);
    });
}

/// The lines that hold `text`, so far.
pub fn with(text: &str) -> Vec<String> {
    LINES
        .lock()
        .expect("not poisoned")
        .iter()
        .filter(|line| line.contains(text))
        .cloned()
        .collect()
}
