//! Nothing that was acknowledged is lost or doubled, whatever happens to the processes, the disk, the network and the clock.
//!
//! Writers create, change and delete posts, note every acknowledgement, and repeat a request until it is acknowledged.
//! Meanwhile a scenario breaks something and repairs it. At the end, the database must hold exactly what was acknowledged.
//!
//! The short form runs with all other tests, in less than a minute. `tests/torture` runs the full form, of about 15 minutes:
//! more rounds, longer outages, a soak of ten minutes. Both print a table: docs/durability.md shows and explains it.

mod clock;
mod connections;
mod disk;
mod kills;
mod ledger;
mod overload;
mod report;
mod soak;
mod stage;
mod writers;

use std::time::Duration;

/// Whether `tests/torture` runs the full form.
fn is_full() -> bool {
    std::env::var("BLOGCTL_TORTURE").as_deref() == Ok("full")
}

/// One of two numbers, for the short and the full form.
fn either<T>(short: T, full: T) -> T {
    if is_full() { full } else { short }
}

/// Acknowledgements after each repair, before the next outage.
fn more() -> usize {
    either(50, 300)
}

/// Sleeps for these seconds of an outage, or of normal service between two.
fn pass_seconds(short: f64, full: f64) {
    std::thread::sleep(Duration::from_secs_f64(either(short, full)));
}
