//! Records each attack that a test tries, for the summary at the end of `tests/run`. The assertion in the test decides;
//! this file only counts.
//!
//! ```ignore
//! attacks::record("cookie", "one bit changed", page.status == 303);
//! assert_eq!(page.status, 303);
//! ```

use std::{fs::OpenOptions, io::Write as _};

/// Records an attack, and whether it was blocked. `family` and `attack` are words without tabs.
pub fn record(family: &str, attack: &str, is_blocked: bool) {
    let Ok(file) = std::env::var("BLOGCTL_TEST_ATTACKS") else {
        return;
    };
    let outcome = if is_blocked { "blocked" } else { "PASSED" };
    let line = format!("{family}\t{attack}\t{outcome}\n");
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(file)
        .expect("the record of attacks");
    // One write, so that parallel tests do not write into the line.
    file.write_all(line.as_bytes()).expect("the record of attacks");
}
