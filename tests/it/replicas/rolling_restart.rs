//! A rolling update: each replica gets SIGTERM, ends, and starts again, while clients continue.

use std::{
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::support::{
    api::KeepAliveClient,
    replicated_system::ReplicatedSystem,
    web::{ALICE, BOB, Browser},
};

/// API clients, and connections of each.
const CLIENTS: usize = 3;
const CONNECTIONS: usize = 3;
/// Responses that all clients together get between two steps of the update.
const BETWEEN_STEPS: usize = 60;
/// Pages and posts of the site between two steps.
const PAGES_BETWEEN_STEPS: usize = 6;
/// Longer than the load balancer needs to notice that a replica is not ready.
const DRAIN: &str = "server.drain_seconds=3";
const DEADLINE: Duration = Duration::from_mins(2);

#[derive(Default)]
struct Seen {
    answers: AtomicUsize,
    pages: AtomicUsize,
    failures: Mutex<Vec<String>>,
    /// Titles that the API or the site acknowledged.
    titles: Mutex<Vec<String>>,
    is_over: AtomicBool,
}

impl Seen {
    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    fn fail(&self, failure: String) {
        self.failures.lock().expect("unpoisoned").push(failure);
    }

    /// Waits until clients have been served this often in addition.
    fn wait_for_more(&self) {
        let counts = || (self.answers.load(Ordering::SeqCst), self.pages.load(Ordering::SeqCst));
        let (before, deadline) = (counts(), Instant::now() + DEADLINE);
        while counts().0 < before.0 + BETWEEN_STEPS || counts().1 < before.1 + PAGES_BETWEEN_STEPS {
            assert!(Instant::now() < deadline, "clients are not served: {:?}", self.failures);
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Writes, reads, lists and changes posts until the update is over.
fn use_api(client: &KeepAliveClient, name: &str, seen: &Seen) {
    let call = |method: &str, path: &str, body: Option<&Value>, expected: u16| {
        let answer = client.try_send(method, path, &[], body);
        match answer {
            Ok(answer) if answer.status == expected => {
                seen.answers.fetch_add(1, Ordering::SeqCst);
                Some(answer)
            }
            other => {
                seen.fail(format!("{method} {path}: {other:?}"));
                None
            }
        }
    };
    for n in 0.. {
        if seen.is_over() {
            return;
        }
        let title = format!("{name}-{n}");
        let post = json!({ "title": title, "content": "Written during an update." });
        let Some(made) = call("POST", "/v1/posts", Some(&post), 201) else {
            continue;
        };
        seen.titles.lock().expect("unpoisoned").push(title);
        let path = format!("/v1/posts/{}", made.value("id"));
        call("GET", &path, None, 200);
        call(
            "PUT",
            &path,
            Some(&json!({ "content": "Changed during an update." })),
            200,
        );
        call("GET", "/v1/posts?limit=5", None, 200);
    }
}

/// Looks at pages and publishes posts until the update is over.
fn use_site(system: &ReplicatedSystem, oid: &str, seen: &Seen) {
    let browser = Browser::new();
    let page = browser.pick(&browser.get(&system.site.url("/login?next=/posts")), oid);
    assert_eq!((page.status, page.url.path()), (200, "/posts"), "{}", page.body);
    for n in 0.. {
        if seen.is_over() {
            return;
        }
        let title = format!("site-{oid}-{n}");
        let form = browser.get(&system.site.url("/posts/new")).form("Publish");
        let shown = browser.submit(
            &form
                .with("title", &title)
                .with("content", "Published during an update."),
        );
        if shown.status != 200 || !shown.body.contains(&title) {
            seen.fail(format!("publish: {} {}", shown.status, shown.error()));
            continue;
        }
        seen.titles.lock().expect("unpoisoned").push(title);
        for path in ["/posts", "/profile"] {
            let page = browser.get_once(&system.site.url(path));
            if page.status != 200 {
                seen.fail(format!("GET {path}: {} {}", page.status, page.error()));
            }
            seen.pages.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[test]
fn a_rolling_restart_under_load_fails_no_request() {
    let Some(system) = ReplicatedSystem::start(&[DRAIN]) else {
        return;
    };
    let seen = Seen::default();
    thread::scope(|scope| {
        // Ends the clients also when a step fails, so that the scope ends.
        let _end = EndOnDrop(&seen.is_over);
        for client in 0..CLIENTS {
            let connections = system.alice().keep_alive();
            for connection in 0..CONNECTIONS {
                let (client_name, connections, seen) =
                    (format!("api-{client}-{connection}"), connections.clone(), &seen);
                scope.spawn(move || use_api(&connections, &client_name, seen));
            }
        }
        for oid in [ALICE, BOB] {
            let (system, seen) = (&system, &seen);
            scope.spawn(move || use_site(system, oid, seen));
        }
        seen.wait_for_more();
        for replica in system.replicas() {
            replica.terminate();
            seen.wait_for_more();
            let before = replica.backend.served();
            replica.start();
            seen.wait_for_more();
            assert!(replica.backend.served() > before, "the new replica serves");
        }
    });
    let failures = seen.failures.into_inner().expect("unpoisoned");
    assert!(failures.is_empty(), "{} failures: {failures:#?}", failures.len());
    for balancer in [&system.api, &system.site] {
        assert_eq!((balancer.bad_gateways(), balancer.repeated()), (0, 0));
    }
    let written = seen.titles.into_inner().expect("unpoisoned");
    let stored = system.titles();
    let missing: Vec<_> = written
        .iter()
        .filter(|title| stored.iter().filter(|other| other == title).count() != 1)
        .collect();
    assert!(
        missing.is_empty(),
        "of {} posts, lost or doubled: {missing:?}",
        written.len()
    );
    assert_eq!(stored.len(), written.len());
}

struct EndOnDrop<'a>(&'a AtomicBool);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}
