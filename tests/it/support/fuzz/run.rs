//! Sends random requests to a server, and checks each response.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use serde_json::Value;
use url::Url;

use super::{Grammar, RawRequest, sent};
use crate::support::{
    dev::Dev,
    raw_http::{self, RawResponse},
};

const SEED: u64 = 20_261_124;
/// Parallel connections.
const CLIENTS: usize = 12;
/// The run stops after this many failures.
const ENOUGH_FAILURES: usize = 5;

/// `BLOGCTL_FUZZ_SEED`, or a fixed seed.
pub fn seed() -> u64 {
    number_from("BLOGCTL_FUZZ_SEED", SEED)
}

/// `BLOGCTL_FUZZ_REQUESTS`, or `otherwise`.
pub fn requests(otherwise: u64) -> u64 {
    number_from("BLOGCTL_FUZZ_REQUESTS", otherwise)
}

fn number_from(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable)
        .ok()
        .and_then(|value| value.parse().ok())
        .unwrap_or(otherwise)
}

/// A server, the requests to send to it, and the check of its responses.
pub struct Target<'a> {
    pub url: &'a str,
    pub grammar: &'a Grammar,
    pub check: fn(&RawRequest, &[RawResponse]) -> Result<(), String>,
}

impl Target<'_> {
    /// Sends the requests with these numbers, and counts the kinds of responses. Fails if a response fails its check.
    pub fn run(&self, seed: u64, numbers: Range<u64>) -> BTreeMap<String, u64> {
        let port = Url::parse(self.url).expect("a URL").port().expect("a port");
        let next = AtomicU64::new(numbers.start);
        let failures = Mutex::new(Vec::new());
        let counts = Mutex::new(BTreeMap::new());
        thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= numbers.end || failures.lock().expect("unpoisoned").len() >= ENOUGH_FAILURES {
                            return;
                        }
                        let sent = sent(seed, number, self.grammar);
                        match self.send(port, &sent) {
                            Ok(answers) => {
                                let mut counts = counts.lock().expect("unpoisoned");
                                for answer in answers {
                                    *counts.entry(kind(&answer)).or_default() += 1;
                                }
                            }
                            Err(wrong) => {
                                let shown = raw_http::shown(&sent.bytes);
                                let failure = format!("seed {seed}, request {number}: {wrong}\n  sent: {shown}");
                                failures.lock().expect("unpoisoned").push(failure);
                            }
                        }
                    }
                });
            }
        });
        let failures = failures.into_inner().expect("unpoisoned");
        assert!(failures.is_empty(), "{}", failures.join("\n\n"));
        counts.into_inner().expect("unpoisoned")
    }

    fn send(&self, port: u16, sent: &RawRequest) -> Result<Vec<RawResponse>, String> {
        let answers = raw_http::exchange(port, sent)?;
        (self.check)(sent, &answers)?;
        Ok(answers)
    }
}

/// Status, and the code of a problem.
fn kind(answer: &RawResponse) -> String {
    let problem: Option<Value> = serde_json::from_slice(&answer.body).ok();
    match problem.as_ref().and_then(|problem| problem.get("code")?.as_str()) {
        Some(code) => format!("{} {code}", answer.status),
        None => answer.status.to_string(),
    }
}

/// Stops the process, which must exit normally.
pub fn stops_cleanly(dev: Dev, seed: u64) {
    dev.running.signal("TERM");
    let (status, output) = dev.running.wait_for_exit();
    assert_eq!(
        status.code(),
        Some(0),
        "{}",
        output.lines().rev().take(20).collect::<Vec<_>>().join("\n")
    );
    let panics: Vec<_> = output.lines().filter(|line| line.contains("panicked")).collect();
    assert!(panics.is_empty(), "seed {seed}: {panics:?}");
}
