//! Clients that write without a pause, and note every acknowledgement.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::ledger::Ledger;
use crate::support::{
    api::{ApiResponse, Client, KeepAliveClient},
    stored_posts::PostText,
};

/// Longest time until a request must be acknowledged.
const DEADLINE: Duration = Duration::from_mins(3);
/// Pause before a request is repeated.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// The base URL of the API now: it changes when the API restarts.
type Address = Arc<dyn Fn() -> String + Send + Sync>;

/// Running writers.
pub struct Writers {
    shared: Arc<Shared>,
    threads: Vec<thread::JoinHandle<()>>,
}

/// What the writers observed.
#[derive(Default)]
pub struct Shared {
    is_over: AtomicBool,
    acknowledged: AtomicUsize,
    last: Mutex<Option<Instant>>,
    pub ledger: Mutex<Ledger>,
    /// Attempts without an acknowledgement, by status; `broken` if there was no response.
    pub failures: Mutex<BTreeMap<String, usize>>,
}

impl Writers {
    /// Starts `count` writers, each with its own connection, and a pause after each acknowledgement.
    pub fn start(count: usize, pause: Duration, address: &Address, client: &Client) -> Self {
        let shared = Arc::<Shared>::default();
        let threads = (0..count).map(|number| {
            let writer = Writer {
                number,
                pause,
                address: Arc::clone(address),
                client: client.keep_alive(),
                shared: Arc::clone(&shared),
            };
            thread::spawn(move || writer.run())
        });
        let threads = threads.collect();
        Self { shared, threads }
    }

    /// Acknowledgements so far.
    pub fn acknowledged(&self) -> usize {
        self.shared.acknowledged.load(Ordering::SeqCst)
    }

    /// Number of attempts that ended with this status, or `broken`.
    pub fn failures(&self, outcome: &str) -> usize {
        self.shared.failures.lock().get(outcome).copied().unwrap_or(0)
    }

    /// Waits until `more` requests have been acknowledged.
    pub fn wait_for(&self, more: usize) {
        self.wait_for_since(Instant::now(), more);
    }

    /// Waits until `more` requests have been acknowledged; returns the time from `start`, when a repair began, to the first
    /// one.
    pub fn wait_for_since(&self, start: Instant, more: usize) -> Duration {
        let before = self.acknowledged();
        let mut first = None;
        while self.acknowledged() < before + more {
            let last = *self.shared.last.lock();
            first = first.or(last.filter(|last| *last > start));
            assert!(
                start.elapsed() < DEADLINE,
                "no acknowledgement: {:?}",
                self.shared.failures.lock()
            );
            assert!(
                !self.threads.iter().all(thread::JoinHandle::is_finished),
                "a writer failed"
            );
            thread::sleep(Duration::from_millis(5));
        }
        first.map_or(start.elapsed(), |first| first - start)
    }

    /// Waits until attempts fail.
    pub fn wait_for_failures(&self) {
        let (start, before) = (Instant::now(), self.shared.failures.lock().values().sum::<usize>());
        while self.shared.failures.lock().values().sum::<usize>() == before {
            assert!(start.elapsed() < DEADLINE, "every attempt succeeds");
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Lets each writer finish its request, and returns what all of them observed.
    pub fn finish(self) -> Arc<Shared> {
        self.shared.is_over.store(true, Ordering::SeqCst);
        for thread in self.threads {
            thread
                .join()
                .expect("every request of a writer is acknowledged in the end");
        }
        self.shared
    }
}

struct Writer {
    number: usize,
    pause: Duration,
    address: Address,
    client: KeepAliveClient,
    shared: Arc<Shared>,
}

impl Writer {
    fn run(self) {
        for n in 0_usize.. {
            if self.shared.is_over.load(Ordering::SeqCst) {
                return;
            }
            let mut text = PostText {
                title: format!("Writer {}, post {n}", self.number),
                content: "As it was written.".to_owned(),
            };
            let body = json!({ "title": text.title, "content": text.content });
            let key = format!("{}-{n}", self.number);
            let made = self.repeat(&[201], || self.send("POST", "/v1/posts", &key, Some(&body)));
            let id = made.value("id").as_i64().expect("an id");
            self.acknowledge(id, Some(text.clone()));
            let path = format!("/v1/posts/{id}");
            if n.is_multiple_of(3) {
                text.content = "As it was changed.".to_owned();
                let change = json!({ "content": text.content });
                self.repeat(&[200], || self.send("PUT", &path, "", Some(&change)));
                self.acknowledge(id, Some(text));
            }
            if n.is_multiple_of(5) {
                // A repeated deletion finds nothing.
                self.repeat(&[204, 404], || self.send("DELETE", &path, "", None));
                self.acknowledge(id, None);
            }
        }
    }

    fn acknowledge(&self, id: i64, text: Option<PostText>) {
        self.shared.ledger.lock().0.insert(id, text);
        *self.shared.last.lock() = Some(Instant::now());
        self.shared.acknowledged.fetch_add(1, Ordering::SeqCst);
        thread::sleep(self.pause);
    }

    fn send(&self, method: &str, path: &str, key: &str, body: Option<&Value>) -> Result<ApiResponse, ureq::Error> {
        let headers = [("Idempotency-Key", key)];
        let headers = if key.is_empty() { &[][..] } else { &headers };
        self.client
            .at_server(&(self.address)())
            .try_send(method, path, headers, body)
    }

    /// Repeats a request until it is acknowledged with one of these statuses.
    fn repeat(&self, expected: &[u16], send: impl Fn() -> Result<ApiResponse, ureq::Error>) -> ApiResponse {
        let start = Instant::now();
        loop {
            let outcome = match send() {
                Ok(answer) if expected.contains(&answer.status) => return answer,
                Ok(answer) => answer.status.to_string(),
                Err(_) => "broken".to_owned(),
            };
            *self.shared.failures.lock().entry(outcome).or_default() += 1;
            assert!(start.elapsed() < DEADLINE, "a request is never acknowledged");
            thread::sleep(RETRY_PAUSE);
        }
    }
}
