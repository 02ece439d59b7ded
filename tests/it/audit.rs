//! The audit trail: what the servers record, and what its verification finds.

mod events;
mod failures;
mod files;
mod verify;

use std::{
    fs,
    io::BufReader,
    path::{Path, PathBuf},
};

use blogctl::{
    audit::{AuditLog, Event, Expectations, Origin, Report, Verifier},
    config::{AuditSettings, Role},
};
use serde_json::Value;

/// Settings of a trail in this file.
fn settings(path: &Path) -> AuditSettings {
    AuditSettings {
        path: Some(path.to_owned()),
        ..AuditSettings::default()
    }
}

/// Runs a process that records posts with these ids.
fn record(settings: &AuditSettings, ids: std::ops::Range<i64>) {
    let log = AuditLog::start(settings, Role::Api).expect("a trail");
    for post_id in ids {
        log.record(Event::PostCreated { post_id }, Origin::default());
    }
    log.record_stop();
}

/// Checks these files in this order.
fn verify(files: &[PathBuf], expectations: Expectations) -> Report {
    let mut verifier = Verifier::new(expectations);
    for path in files {
        let file = fs::File::open(path).expect("a file");
        verifier
            .file(&path.display().to_string(), BufReader::new(file))
            .expect("readable");
    }
    verifier.finish()
}

/// Checks the content of one file.
fn verify_bytes(content: &[u8]) -> Report {
    let mut verifier = Verifier::new(Expectations::default());
    verifier.file("trail", content).expect("memory");
    verifier.finish()
}

fn problems(report: &Report) -> Vec<String> {
    let problem = |finding: &blogctl::audit::Finding| format!("{}: {}", finding.line, finding.problem);
    report.findings.iter().map(problem).collect()
}

/// The lines of a trail. Checks that it is intact.
fn lines(path: &Path) -> Vec<Value> {
    let report = verify(&[path.to_owned()], Expectations::default());
    assert!(report.is_intact(), "{report:?}");
    let text = fs::read_to_string(path).expect("a trail");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a JSON object"))
        .collect()
}
