//! Acknowledged posts survive a restart, however the process ended.

use std::{
    collections::HashSet,
    path::Path,
    sync::{
        Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{dev::Dev, idp::IdpControl};

/// Parallel clients that write.
const WRITERS: usize = 8;
/// Number of acknowledged posts before the process is killed.
const BEFORE_THE_KILL: usize = 200;
const DEADLINE: Duration = Duration::from_mins(1);

#[test]
fn a_post_survives_a_restart() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dev = Dev::start_in(folder.path(), &[]);
    let token = IdpControl::at(&dev.idp("")).token().mint();
    let post = create(&dev.api("/v1/posts"), &token, "Still here").expect("acknowledged");
    dev.running.signal("TERM");
    let (status, output) = dev.running.wait_for_exit();
    assert_eq!(status.code(), Some(0), "{output}");

    let titles = titles(folder.path());
    assert!(titles.contains(&(post, "Still here".to_owned())), "{titles:?}");
}

#[test]
fn a_kill_during_writes_loses_no_acknowledged_post() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dev = Dev::start_in(folder.path(), &["--set", "api.rate_limits=false"]);
    let token = IdpControl::at(&dev.idp("")).token().mint();
    let url = dev.api("/v1/posts");

    let acknowledged = Mutex::new(Vec::new());
    let killed = AtomicBool::new(false);
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (url, token, acknowledged, killed) = (&url, &token, &acknowledged, &killed);
            scope.spawn(move || {
                for n in 0.. {
                    let title = format!("Writer {writer}, post {n}");
                    match create(url, token, &title) {
                        Some(id) => acknowledged.lock().expect("unpoisoned").push((id, title)),
                        None if killed.load(Ordering::SeqCst) => return,
                        None => panic!("rejected before the kill"),
                    }
                }
            });
        }
        let deadline = Instant::now() + DEADLINE;
        while acknowledged.lock().expect("unpoisoned").len() < BEFORE_THE_KILL {
            assert!(Instant::now() < deadline, "too few posts were acknowledged in time");
            thread::yield_now();
        }
        killed.store(true, Ordering::SeqCst);
        dev.running.signal("KILL");
    });
    drop(dev);

    let acknowledged = acknowledged.into_inner().expect("unpoisoned");
    let there = titles(folder.path());
    let lost: Vec<_> = acknowledged.iter().filter(|post| !there.contains(post)).collect();
    assert!(
        lost.is_empty(),
        "of {} acknowledged posts these are lost: {lost:?}",
        acknowledged.len()
    );
}

/// Id of the post if the API acknowledges it; `None` once the API has stopped.
fn create(url: &str, token: &str, title: &str) -> Option<i64> {
    let post = json!({ "title": title, "content": "Not to be lost." });
    let mut answer = ureq::post(url)
        .header("Authorization", format!("Bearer {token}"))
        .send_json(post)
        .ok()?;
    let made: Value = answer.body_mut().read_json().ok()?;
    made["id"].as_i64()
}

/// Id and title of every post, from a system restarted in `folder`.
fn titles(folder: &Path) -> HashSet<(i64, String)> {
    let dev = Dev::start_in(folder, &[]);
    let token = IdpControl::at(&dev.idp("")).token().mint();
    let mut titles = HashSet::new();
    let mut skip = 0;
    loop {
        let url = dev.api(&format!("/v1/posts?skip={skip}&limit=1000"));
        let mut answer = ureq::get(&url)
            .header("Authorization", format!("Bearer {token}"))
            .call()
            .expect("the list");
        let page: Vec<Value> = answer.body_mut().read_json().expect("posts");
        if page.is_empty() {
            return titles;
        }
        skip += page.len();
        titles.extend(page.iter().map(|post| {
            (
                post["id"].as_i64().expect("an id"),
                post["title"].as_str().expect("a title").to_owned(),
            )
        }));
    }
}
