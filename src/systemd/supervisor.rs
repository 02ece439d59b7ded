//! Reports a server to the service manager: ready once it answers, alive only while it answers, stopping at the end.
//!
//! The thread asks the server over its own socket, like a client. A timer that merely runs would call a server alive whose
//! threads hang.

use std::{
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread,
    time::{Duration, Instant},
};

use super::notify;
use crate::probe::{self, ProbeError, Response, Target};

/// How long the service waits to become ready before it reports that it has started. A dependency such as Entra ID may be
/// down for hours; without this limit, systemd would restart the service over and over, which helps nothing.
const READY_WAIT: Duration = Duration::from_secs(30);
/// Time between two attempts while the server starts.
const START_INTERVAL: Duration = Duration::from_millis(100);
/// Longest time between two checks.
const MAX_INTERVAL: Duration = Duration::from_secs(10);
/// Longest time for one answer.
const MAX_TIMEOUT: Duration = Duration::from_secs(5);

/// See the module. The thread ends when this is dropped.
#[derive(Debug)]
pub struct Supervisor {
    stopping: Sender<()>,
}

impl Supervisor {
    /// Starts the thread; `None` without a service manager, or if the system starts no thread.
    pub fn start(target: Target) -> Option<Self> {
        let is_used = notify::is_used() || notify::watchdog_timeout().is_some();
        if !is_used {
            return None;
        }
        let (stopping, events) = mpsc::channel();
        let watchdog = notify::watchdog_timeout();
        let interval = watchdog.map_or(MAX_INTERVAL, |timeout| (timeout / 3).min(MAX_INTERVAL));
        let started = thread::Builder::new().name("systemd".to_owned()).spawn(move || {
            let timeout = interval.clamp(START_INTERVAL, MAX_TIMEOUT);
            let supervised = Supervised {
                name: target.to_string(),
                ask: |path: &str| probe::get(&target, path, timeout),
                send: |message: Message<'_>| message.send(),
                events,
                status: String::new(),
            };
            supervised.run(READY_WAIT, interval);
        });
        if let Err(error) = started {
            log::error!("the service manager gets no notifications: {error}");
            return None;
        }
        Some(Self { stopping })
    }

    /// The server begins to stop.
    pub fn stopping(&self) {
        // The thread has ended only if it has panicked.
        let _ = self.stopping.send(());
    }
}

/// A notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Message<'m> {
    Ready(&'m str),
    Status(&'m str),
    Alive,
    Stopping(&'m str),
}

impl Message<'_> {
    fn send(self) {
        match self {
            Self::Ready(status) => notify::ready(status),
            Self::Status(status) => notify::status(status),
            Self::Alive => notify::alive(),
            Self::Stopping(status) => notify::stopping(status),
        }
    }
}

struct Supervised<A, S> {
    /// The server.
    name: String,
    ask: A,
    send: S,
    /// A message means that the server begins to stop; a closed channel, that it has stopped.
    events: Receiver<()>,
    /// The last status that was sent.
    status: String,
}

/// What the thread waits for.
enum Next {
    Check,
    Stopping,
    Ended,
}

impl<A, S> Supervised<A, S>
where
    A: Fn(&str) -> Result<Response, ProbeError>,
    S: Fn(Message<'_>),
{
    fn run(mut self, ready_wait: Duration, interval: Duration) {
        if !self.wait_until_started(ready_wait) {
            return;
        }
        let mut was_answering = true;
        loop {
            match self.wait(interval) {
                Next::Ended => return,
                Next::Stopping => {
                    (self.send)(Message::Stopping("stopping: finishing the requests under way"));
                    return self.keep_alive_until_end(interval);
                }
                Next::Check => {}
            }
            let is_answering = match (self.ask)("/health/live") {
                Ok(_) => {
                    (self.send)(Message::Alive);
                    self.report_readiness();
                    true
                }
                Err(error) => {
                    if was_answering {
                        log::error!("the server does not answer its own probe: {error}");
                    } else {
                        log::debug!("still no answer: {error}");
                    }
                    self.report(format!("not answering: {error}"));
                    false
                }
            };
            was_answering = is_answering;
        }
    }

    /// Reports that the service has started. False if it ended before.
    fn wait_until_started(&mut self, ready_wait: Duration) -> bool {
        let deadline = Instant::now().checked_add(ready_wait);
        loop {
            let is_late = deadline.is_some_and(|deadline| Instant::now() >= deadline);
            let status = match (self.ask)("/health/ready") {
                Ok(response) if response.status == 200 => Some(self.serving()),
                Ok(response) if is_late => Some(not_ready(&response)),
                Ok(_) | Err(_) => None,
            };
            if let Some(status) = status {
                (self.send)(Message::Ready(&status));
                self.status = status;
                return true;
            }
            match self.wait(START_INTERVAL) {
                Next::Check => {}
                Next::Ended => return false,
                Next::Stopping => {
                    (self.send)(Message::Stopping("stopping before it was ready"));
                    return false;
                }
            }
        }
    }

    /// The service manager may still watch a server that drains.
    fn keep_alive_until_end(&self, interval: Duration) {
        while !matches!(self.wait(interval), Next::Ended) {
            if (self.ask)("/health/live").is_ok() {
                (self.send)(Message::Alive);
            }
        }
    }

    fn report_readiness(&mut self) {
        match (self.ask)("/health/ready") {
            Ok(response) if response.status == 200 => self.report(self.serving()),
            Ok(response) => self.report(not_ready(&response)),
            Err(error) => self.report(format!("not ready: {error}")),
        }
    }

    fn report(&mut self, status: String) {
        if status != self.status {
            (self.send)(Message::Status(&status));
            self.status = status;
        }
    }

    fn serving(&self) -> String {
        format!("serving on {}", self.name)
    }

    fn wait(&self, time: Duration) -> Next {
        match self.events.recv_timeout(time) {
            Err(RecvTimeoutError::Timeout) => Next::Check,
            Err(RecvTimeoutError::Disconnected) => Next::Ended,
            Ok(()) => Next::Stopping,
        }
    }
}

fn not_ready(response: &Response) -> String {
    match response.unavailable() {
        Some(what) => format!("not ready: {what}"),
        None => format!("not ready: status {}", response.status),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    const LIVE: Result<u16, ()> = Ok(200);

    /// Runs it with these answers, in order; the server ends after the last one. Returns what was sent.
    fn sent(answers: &[Result<u16, ()>], ready_wait: Duration) -> Vec<String> {
        let (end, events) = mpsc::channel();
        let (end, answers) = (RefCell::new(Some(end)), RefCell::new(answers.iter()));
        let sent = RefCell::new(Vec::new());
        let ask = |_: &str| {
            let mut answers = answers.borrow_mut();
            let answer = answers.next().copied().unwrap_or(Err(()));
            if answers.len() == 0 {
                *end.borrow_mut() = None;
            }
            let body = br#"{"checks":{"database":"unavailable"}}"#.to_vec();
            answer
                .map(|status| Response { status, body })
                .map_err(|()| ProbeError::Timeout {
                    target: "it".to_owned(),
                    timeout: Duration::from_secs(1),
                })
        };
        let supervised = Supervised {
            name: "it".to_owned(),
            ask,
            send: |message: Message<'_>| {
                sent.borrow_mut().push(match message {
                    Message::Ready(status) => format!("ready, {status}"),
                    Message::Status(status) => status.to_owned(),
                    Message::Alive => "alive".to_owned(),
                    Message::Stopping(_) => "stopping".to_owned(),
                });
            },
            events,
            status: String::new(),
        };
        supervised.run(ready_wait, Duration::from_millis(1));
        sent.into_inner()
    }

    #[test]
    fn a_server_is_alive_only_while_it_answers() {
        let answers = [
            Ok(200), // ready
            LIVE,
            Ok(200),
            Err(()), // hangs
            Err(()),
            Err(()),
            LIVE,
            Ok(503), // its database is down
            LIVE,
            Ok(200),
        ];
        assert_eq!(
            sent(&answers, Duration::from_mins(1)),
            [
                "ready, serving on it",
                "alive",
                "not answering: it did not answer within 1 s",
                "alive",
                "not ready: database unavailable",
                "alive",
                "serving on it",
            ]
        );
    }

    #[test]
    fn a_server_that_does_not_become_ready_has_started_after_a_while_if_it_answers() {
        assert_eq!(
            sent(&[Err(()), Err(()), Ok(503)], Duration::ZERO),
            ["ready, not ready: database unavailable"]
        );
        assert!(sent(&[Err(()), Ok(503), Ok(503)], Duration::from_mins(1)).is_empty());
    }
}
