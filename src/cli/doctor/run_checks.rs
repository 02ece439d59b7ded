//! Runs the checks: side by side where none needs another's result, each for a bounded time.

use std::{
    collections::BTreeSet,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use super::{
    Patient,
    finding::{Check, Finding, Said, Status},
    settings_errors::Broken,
};

/// A check may make two requests, each bounded by itself; this bounds what is not.
const SLACK: u32 = 2;

/// The findings of all, in the order of `checks`.
pub fn run_checks(patient: &Arc<Patient>, broken: &Broken, checks: Vec<Check>) -> Vec<Finding> {
    let mut findings: Vec<Vec<Finding>> = checks.iter().map(|_| Vec::new()).collect();
    let titles: Vec<_> = checks.iter().map(|check| (check.name, check.title)).collect();
    let mut open: Vec<(usize, Check)> = checks.into_iter().enumerate().collect();
    let mut unwell: BTreeSet<&'static str> = BTreeSet::new();
    while !open.is_empty() {
        let names: Vec<_> = open.iter().map(|(_, check)| check.name).collect();
        let (ready, later): (Vec<_>, Vec<_>) = open
            .into_iter()
            .partition(|(_, check)| check.after.iter().all(|name| !names.contains(name)));
        // Names that wait for each other would be a mistake in the list of checks; nobody may wait for ever.
        let ready = if ready.is_empty() { later.clone() } else { ready };
        let started: Vec<_> = ready
            .iter()
            .map(|(n, check)| {
                let reason = broken.reason_to_skip(check).or_else(|| {
                    let failed = check.after.iter().find(|name| unwell.contains(*name))?;
                    let title = titles
                        .iter()
                        .find(|(name, _)| name == failed)
                        .map_or(*failed, |(_, title)| *title);
                    Some(format!("needs {title}, which did not succeed"))
                });
                (*n, *check, reason.map_or_else(|| Ok(start(patient, check.run)), Err))
            })
            .collect();
        let deadline = Instant::now() + patient.timeout * SLACK + Duration::from_secs(1);
        for (n, check, outcome) in started {
            let said = outcome.map_or_else(
                |reason| vec![Said::skipped(reason)],
                |running| {
                    let left = deadline.saturating_duration_since(Instant::now());
                    running.recv_timeout(left).unwrap_or_else(|_| vec![too_slow(patient)])
                },
            );
            let found: Vec<_> = said.into_iter().map(|said| check.finding(said)).collect();
            if found
                .iter()
                .any(|finding| matches!(finding.status, Status::Failed | Status::Skipped))
            {
                unwell.insert(check.name);
            }
            if let Some(place) = findings.get_mut(n) {
                *place = found;
            }
        }
        open = later
            .into_iter()
            .filter(|(n, _)| !ready.iter().any(|(done, _)| done == n))
            .collect();
    }
    findings.into_iter().flatten().collect()
}

/// On a thread of its own, which is left behind when it does not end in time.
fn start(patient: &Arc<Patient>, run: fn(&Patient) -> Vec<Said>) -> mpsc::Receiver<Vec<Said>> {
    let (send, receive) = mpsc::channel();
    let patient = Arc::clone(patient);
    // Who waited too long is no longer there.
    thread::spawn(move || drop(send.send(run(&patient))));
    receive
}

fn too_slow(patient: &Patient) -> Said {
    Said::failed(
        "the check did not end in time",
        format!("an answer within {} seconds", patient.timeout.as_secs()),
        "look for a firewall or a name server that lets requests hang, or allow more time with --timeout",
    )
}
