//! A record of the attacks that were tried, for the summary at the end of `tests/run`. What counts is the assertion beside
//! each; this only counts them.

use std::{fs::OpenOptions, io::Write as _};

/// Notes an attack and whether it was refused. `family` and `attack` are words without tabs.
pub fn record(family: &str, attack: &str, refused: bool) {
    let Ok(file) = std::env::var("BLOGCTL_TEST_ATTACKS") else {
        return;
    };
    let outcome = if refused { "refused" } else { "PASSED" };
    let line = format!("{family}\t{attack}\t{outcome}\n");
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(file)
        .expect("the record of attacks");
    // In one piece, so that tests beside this one do not write into the line.
    file.write_all(line.as_bytes()).expect("the record of attacks");
}
