//! Reads the metrics of a process.
//!
//! ```ignore
//! let scrape = Scrape::of(&dev.metrics());
//! assert_eq!(scrape.value("blogctl_sign_ins_total", &[("outcome", "success")]), 1.0);
//! ```

use std::{
    collections::BTreeMap,
    io::Write as _,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use super::{idp::agent, stall::patiently};

/// Longest wait for a value. Only a failing test reaches it.
const DEADLINE: Duration = Duration::from_mins(1);

/// One sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

/// All samples at one time.
#[derive(Debug)]
pub struct Scrape {
    pub text: String,
    pub samples: Vec<Sample>,
}

impl Scrape {
    /// Reads the metrics at this address.
    pub fn of(url: &str) -> Self {
        let mut response = patiently(url, || agent().get(url).call());
        assert_eq!(response.status(), 200);
        let text = response.body_mut().read_to_string().expect("text");
        let samples = text.lines().filter(|line| !line.starts_with('#')).map(sample).collect();
        Self { text, samples }
    }

    /// Reads them until `is_met`.
    pub fn until(url: &str, what: &str, is_met: impl Fn(&Self) -> bool) -> Self {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let scrape = Self::of(url);
            if is_met(&scrape) {
                return scrape;
            }
            assert!(Instant::now() < deadline, "never {what} in\n{}", scrape.text);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The samples of this name with these labels, and any others.
    pub fn find<'s>(&'s self, name: &'s str, labels: &'s [(&'s str, &'s str)]) -> impl Iterator<Item = &'s Sample> {
        self.samples.iter().filter(move |sample| {
            let has = |(name, value): &(&str, &str)| sample.labels.get(*name).is_some_and(|own| own == value);
            sample.name == name && labels.iter().all(has)
        })
    }

    /// Their sum; 0 without any.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.find(name, labels).map(|sample| sample.value).sum()
    }

    /// How many there are.
    pub fn count(&self, name: &str, labels: &[(&str, &str)]) -> usize {
        self.find(name, labels).count()
    }

    /// Names of all families.
    pub fn families(&self) -> Vec<&str> {
        let lines = self.text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
        lines.filter_map(|line| line.split(' ').next()).collect()
    }
}

/// What `promtool check metrics` prints about the text; `None` if there is no promtool here.
pub fn promtool_complaints(text: &str) -> Option<String> {
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    let mut input = promtool.stdin.take().expect("piped");
    input.write_all(text.as_bytes()).expect("promtool reads");
    drop(input);
    let output = promtool.wait_with_output().expect("it ends");
    let said = [output.stdout, output.stderr].concat();
    Some(String::from_utf8_lossy(&said).into_owned())
}

fn sample(line: &str) -> Sample {
    let (series, value) = line.rsplit_once(' ').expect(line);
    let (name, labels) = series.split_once('{').unwrap_or((series, "}"));
    let labels = labels.strip_suffix('}').expect(line);
    let mut pairs = BTreeMap::new();
    // No label of ours has a quotation mark or a comma in its value.
    for pair in labels.split("\",").filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once("=\"").expect(line);
        pairs.insert(name.to_owned(), value.trim_end_matches('"').to_owned());
    }
    Sample {
        name: name.to_owned(),
        labels: pairs,
        value: value.parse().expect(line),
    }
}
