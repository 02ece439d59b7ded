//! Stopping while clients continue to send requests.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use super::{Api, Connection, eventually, status_in};

/// What the clients observed.
#[derive(Default)]
struct Counts {
    served: AtomicUsize,
    failed: AtomicUsize,
    /// The load balancer has noticed that the server is not ready.
    has_noticed: AtomicBool,
}

/// Sends requests on persistent connections until the load balancer has noticed.
fn client(url: &str, seen: &Counts) {
    let mut connection = Connection::to(url);
    while !seen.has_noticed.load(Ordering::Relaxed) {
        connection.get("/health/live");
        let head = connection.head();
        if status_in(&head) != 200 {
            seen.failed.fetch_add(1, Ordering::Relaxed);
            return;
        }
        seen.served.fetch_add(1, Ordering::Relaxed);
        connection.skip_body(&head);
        if head.to_ascii_lowercase().contains("\r\nconnection: close\r\n") {
            connection = Connection::to(url);
        }
    }
}

#[test]
fn a_server_behind_a_load_balancer_stops_without_a_failed_request() {
    let api = Api::start(&[("SERVER__DRAIN_SECONDS", "4"), ("SERVER__WORKERS", "2")]);
    let seen = Arc::new(Counts::default());
    let clients: Vec<_> = (0..32)
        .map(|_| {
            let (url, seen) = (api.url.clone(), Arc::clone(&seen));
            thread::spawn(move || client(&url, &seen))
        })
        .collect();
    // An idle connection gets no message; it is closed.
    let mut idle = api.connect();
    eventually("all clients are served", || seen.served.load(Ordering::Relaxed) > 200);
    api.running.signal("TERM");
    eventually("readiness is 503", || {
        let mut probe = api.connect();
        probe.get("/health/ready");
        let head = probe.head();
        status_in(&head) == 503 && head.to_ascii_lowercase().contains("\r\nconnection: close\r\n")
    });
    assert_eq!(api.get("/health/live"), 200, "it serves on");
    // The load balancer notices late.
    let before = seen.served.load(Ordering::Relaxed);
    eventually("clients are served on", || {
        seen.served.load(Ordering::Relaxed) > before + 500
    });
    seen.has_noticed.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().expect("it ends");
    }
    assert_eq!(
        seen.failed.load(Ordering::Relaxed),
        0,
        "of {}",
        seen.served.load(Ordering::Relaxed)
    );
    let (status, output) = api.running.wait_for_exit();
    assert_eq!(status.code(), Some(0), "{output}");
    assert!(idle.is_closed());
}

#[test]
fn a_second_signal_and_an_interrupt_do_not_drain() {
    // Longer than any test waits.
    let settings = [("SERVER__DRAIN_SECONDS", "300"), ("SERVER__SHUTDOWN_SECONDS", "300")];
    let api = Api::start(&settings);
    let _idle = api.connect();
    api.running.signal("INT");
    let (status, output) = api.running.wait_for_exit();
    assert_eq!(status.code(), Some(0), "{output}");

    let mut api = Api::start(&settings);
    api.running.signal("TERM");
    api.running.wait_for("still serving for 300 s");
    api.running.signal("TERM");
    let (status, output) = api.running.wait_for_exit();
    assert_eq!(status.code(), Some(0), "{output}");
}
