//! Runs the checks: in parallel unless one needs the result of another, each with a time limit.

use std::{
    collections::BTreeSet,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use super::{
    DoctorContext,
    finding::{Check, CheckResult, Finding, Status},
    settings_errors::FailedPrerequisites,
};

/// A check may send two requests, each with its own timeout. The deadline also covers everything else in the check.
const SLACK: u32 = 2;

/// The findings of all checks, in the order of `checks`.
pub fn run_checks(
    context: &Arc<DoctorContext>,
    prerequisites: &FailedPrerequisites,
    checks: Vec<Check>,
) -> Vec<Finding> {
    let mut findings: Vec<Vec<Finding>> = checks.iter().map(|_| Vec::new()).collect();
    let titles: Vec<_> = checks.iter().map(|check| (check.name, check.title)).collect();
    let mut open: Vec<(usize, Check)> = checks.into_iter().enumerate().collect();
    let mut unsuccessful: BTreeSet<&'static str> = BTreeSet::new();
    while !open.is_empty() {
        let names: Vec<_> = open.iter().map(|(_, check)| check.name).collect();
        let (ready, later): (Vec<_>, Vec<_>) = open
            .into_iter()
            .partition(|(_, check)| check.after.iter().all(|name| !names.contains(name)));
        // If checks wait for each other, which would be a bug in their list, all of them run.
        let ready = if ready.is_empty() { later.clone() } else { ready };
        let started: Vec<_> = ready
            .iter()
            .map(|(n, check)| {
                let reason = prerequisites.reason_to_skip(check).or_else(|| {
                    let failed = check.after.iter().find(|name| unsuccessful.contains(*name))?;
                    let title = titles
                        .iter()
                        .find(|(name, _)| name == failed)
                        .map_or(*failed, |(_, title)| *title);
                    Some(format!("needs {title}, which did not succeed"))
                });
                (*n, *check, reason.map_or_else(|| Ok(start(context, check.run)), Err))
            })
            .collect();
        let deadline = Instant::now() + context.timeout * SLACK + Duration::from_secs(1);
        for (n, check, outcome) in started {
            let results = outcome.map_or_else(
                |reason| vec![CheckResult::skipped(reason)],
                |running| {
                    let left = deadline.saturating_duration_since(Instant::now());
                    running.recv_timeout(left).unwrap_or_else(|_| vec![too_slow(context)])
                },
            );
            let found: Vec<_> = results.into_iter().map(|result| check.finding(result)).collect();
            if found
                .iter()
                .any(|finding| matches!(finding.status, Status::Failed | Status::Skipped))
            {
                unsuccessful.insert(check.name);
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

/// Starts a check on its own thread, which keeps running if it does not end in time.
fn start(
    context: &Arc<DoctorContext>,
    run: fn(&DoctorContext) -> Vec<CheckResult>,
) -> mpsc::Receiver<Vec<CheckResult>> {
    let (send, receive) = mpsc::channel();
    let context = Arc::clone(context);
    // Fails if the caller has stopped waiting.
    thread::spawn(move || drop(send.send(run(&context))));
    receive
}

fn too_slow(context: &DoctorContext) -> CheckResult {
    CheckResult::failed(
        "the check did not finish in time",
        format!("an answer within {} seconds", context.timeout.as_secs()),
        "check for a firewall or a name server that drops requests, or allow more time with --timeout",
    )
}
