//! The table of all scenarios. Tests append to the file that `BLOGCTL_TEST_TORTURE` names, and `tests/run` prints it.

use std::{collections::BTreeMap, fs::OpenOptions, io::Write as _, time::Duration};

/// One line of the table.
pub struct Row<'a> {
    pub scenario: &'a str,
    pub database: &'a str,
    pub acknowledged: usize,
    pub lost: usize,
    pub doubled: usize,
    /// The longest time from a repair to the next acknowledgement.
    pub recovered_in: Option<Duration>,
    /// What happened to requests that were not acknowledged at once.
    pub remarks: String,
}

impl Row<'_> {
    /// Adds the line.
    pub fn record(&self) {
        let Ok(file) = std::env::var("BLOGCTL_TEST_TORTURE") else {
            return;
        };
        let recovered = self
            .recovered_in
            .map_or("-".to_owned(), |time| format!("{:.1} s", time.as_secs_f64()));
        let line = format!(
            "{}\t{}\t{}\t{}\t{}\t{recovered}\t{}\n",
            self.scenario, self.database, self.acknowledged, self.lost, self.doubled, self.remarks
        );
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(file)
            .expect("the table");
        // One write, so that parallel tests do not write into the line.
        file.write_all(line.as_bytes()).expect("the table");
    }
}

/// `503: 12, broken: 3`
pub fn counts(outcomes: &BTreeMap<String, usize>) -> String {
    let counts = outcomes.iter().map(|(outcome, count)| format!("{outcome}: {count}"));
    counts.collect::<Vec<_>>().join(", ")
}
