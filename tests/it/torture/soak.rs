//! Hours in minutes: steady use of all replicas, without growth of memory, descriptors or threads.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::Pid;

use super::{
    either,
    report::{Row, counts},
    writers::Writers,
};
use crate::support::{
    replicated_system::ReplicatedSystem,
    web::{ALICE, BOB, Browser},
};

/// Time between two requests of a client: the soak leaves room for everything else on the machine.
const PAUSE: Duration = Duration::from_millis(5);
/// Growth that is not a leak: caches of a few MiB, and the allocator's reserve.
const MAX_GROWTH_KIB: u64 = 24 * 1024;
const MAX_MORE_THREADS: u64 = 8;
const MAX_MORE_DESCRIPTORS: u64 = 40;

/// What a process uses.
#[derive(Debug, Clone, Copy, Default)]
struct Usage {
    anonymous_kib: u64,
    threads: u64,
    descriptors: u64,
}

impl Usage {
    fn of(pid: Pid) -> Self {
        let process = format!("/proc/{}", pid.as_raw_nonzero());
        let status = fs::read_to_string(format!("{process}/status")).expect("it runs");
        let field = |name: &str| -> u64 {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
            line.trim().trim_end_matches(" kB").parse().expect("a number")
        };
        Self {
            anonymous_kib: field("RssAnon:"),
            threads: field("Threads:"),
            descriptors: fs::read_dir(format!("{process}/fd")).expect("it runs").count() as u64,
        }
    }

    /// The middle value of each, so that no moment counts alone.
    fn median(samples: &[Self]) -> Self {
        let middle = |value: fn(&Self) -> u64| {
            let mut values: Vec<_> = samples.iter().map(value).collect();
            values.sort_unstable();
            values[values.len() / 2]
        };
        Self {
            anonymous_kib: middle(|usage| usage.anonymous_kib),
            threads: middle(|usage| usage.threads),
            descriptors: middle(|usage| usage.descriptors),
        }
    }
}

/// Pages that the visitors saw.
#[derive(Default)]
struct Pages {
    shown: AtomicUsize,
    /// Pages that asked to try again: on a machine with too much other work, a time limit may pass.
    unavailable: AtomicUsize,
}

/// Reads pages until the soak is over.
fn visit(system: &ReplicatedSystem, oid: &str, is_over: &AtomicBool, pages: &Pages) {
    let browser = Browser::new();
    let page = browser.pick(&browser.get(&system.site.url("/login?next=/posts")), oid);
    assert_eq!((page.status, page.url.path()), (200, "/posts"), "{}", page.body);
    while !is_over.load(Ordering::SeqCst) {
        for path in ["/", "/posts", "/posts/new", "/profile"] {
            let page = browser.get_once(&system.site.url(path));
            assert!(
                matches!(page.status, 200 | 502 | 503),
                "{path}: {} {}",
                page.status,
                page.body
            );
            let count = if page.status == 200 {
                &pages.shown
            } else {
                &pages.unavailable
            };
            count.fetch_add(1, Ordering::SeqCst);
            thread::sleep(PAUSE);
        }
    }
}

#[test]
fn a_soak_needs_no_more_memory_descriptors_and_threads() {
    // Full caches before the first sample.
    let Some(system) = ReplicatedSystem::start(&["server.drain_seconds=0", "api.ready_answers_mib=2"]) else {
        return;
    };
    let (warm_up, soak) = either((8, 20), (120, 480));
    let base = system.api.url("");
    let address: Arc<dyn Fn() -> String + Send + Sync> = Arc::new(move || base.clone());
    let (is_over, pages) = (AtomicBool::new(false), Pages::default());
    let mut samples = vec![Vec::new(); 4];
    let writers = thread::scope(|scope| {
        let writers = Writers::start(3, PAUSE, &address, &system.alice());
        let visitors = [ALICE, BOB].map(|oid| {
            let (system, is_over, pages) = (&system, &is_over, &pages);
            scope.spawn(move || visit(system, oid, is_over, pages))
        });
        thread::sleep(Duration::from_secs(warm_up));
        let end = Instant::now() + Duration::from_secs(soak);
        while Instant::now() < end && !visitors.iter().any(thread::ScopedJoinHandle::is_finished) {
            for (samples, replica) in samples.iter_mut().zip(system.replicas()) {
                samples.push(Usage::of(replica.pid()));
            }
            thread::sleep(Duration::from_millis(500));
        }
        is_over.store(true, Ordering::SeqCst);
        for visitor in visitors {
            visitor.join().expect("every page is shown");
        }
        writers
    });
    let acknowledged = writers.acknowledged();
    let seen = writers.finish();
    let losses = seen.ledger.lock().compare(&system.posts());
    let failures = seen.failures.lock();
    let growth = samples.iter().map(|samples| {
        let third = samples.len() / 3;
        (
            Usage::median(&samples[..third]),
            Usage::median(&samples[samples.len() - third..]),
        )
    });
    let growth: Vec<_> = growth.collect();
    let grown: Vec<_> = growth
        .iter()
        .map(|(first, last)| {
            format!(
                "{:+} KiB {:+} threads {:+} descriptors",
                last.anonymous_kib.cast_signed() - first.anonymous_kib.cast_signed(),
                last.threads.cast_signed() - first.threads.cast_signed(),
                last.descriptors.cast_signed() - first.descriptors.cast_signed(),
            )
        })
        .collect();
    Row {
        scenario: "soak",
        database: "PostgreSQL",
        acknowledged,
        lost: losses.lost.len(),
        doubled: losses.doubled.len(),
        recovered_in: None,
        remarks: format!(
            "{soak} s, {} pages shown, {} unavailable; {}; {}",
            pages.shown.load(Ordering::SeqCst),
            pages.unavailable.load(Ordering::SeqCst),
            grown.join("; "),
            counts(&failures)
        ),
    }
    .record();
    assert!(losses.lost.is_empty() && losses.doubled.is_empty(), "{losses:?}");
    assert!(
        failures.keys().all(|outcome| outcome == "502" || outcome == "503"),
        "{failures:?}"
    );
    assert!(
        pages.shown.into_inner() > pages.unavailable.into_inner(),
        "most pages are shown"
    );
    for (first, last) in growth {
        assert!(last.anonymous_kib <= first.anonymous_kib + MAX_GROWTH_KIB, "{grown:?}");
        assert!(last.threads <= first.threads + MAX_MORE_THREADS, "{grown:?}");
        assert!(
            last.descriptors <= first.descriptors + MAX_MORE_DESCRIPTORS,
            "{grown:?}"
        );
    }
}
