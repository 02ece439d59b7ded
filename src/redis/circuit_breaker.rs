//! A circuit breaker, so that requests fail fast while Redis is down: after a failed attempt to connect no request
//! tries for a while. Then one request tries, and the others keep failing at once until it has succeeded.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// How long no request tries after a failure.
const PAUSE: Duration = Duration::from_millis(500);

/// Closed at first: every request may try.
#[derive(Default)]
pub struct CircuitBreaker(Mutex<State>);

#[derive(Default)]
struct State {
    /// When the last attempt failed, while the breaker is open.
    failed_at: Option<Instant>,
    /// Whether one request tries again.
    is_probing: bool,
}

/// An attempt to connect. Dropped without an outcome, it counts as failed.
pub struct Attempt<'b> {
    breaker: &'b CircuitBreaker,
    is_probe: bool,
    outcome: Outcome,
}

enum Outcome {
    Failed,
    Succeeded,
    Unknown,
}

impl CircuitBreaker {
    /// An attempt. `None` when the last one failed a moment ago, or another request tries again.
    pub fn attempt(&self) -> Option<Attempt<'_>> {
        let mut state = self.0.lock();
        let is_probe = match state.failed_at {
            None => false,
            Some(at) if at.elapsed() < PAUSE || state.is_probing => return None,
            Some(_) => true,
        };
        state.is_probing |= is_probe;
        Some(Attempt {
            breaker: self,
            is_probe,
            outcome: Outcome::Failed,
        })
    }
}

impl Attempt<'_> {
    /// Redis accepted the connection: closes the breaker.
    pub fn succeed(mut self) {
        self.outcome = Outcome::Succeeded;
    }

    /// Redis did not accept the connection: opens the breaker.
    pub fn fail(mut self) {
        self.outcome = Outcome::Failed;
    }

    /// The attempt ended without showing whether Redis is up: the breaker stays as it is.
    pub fn abandon(mut self) {
        self.outcome = Outcome::Unknown;
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let mut state = self.breaker.0.lock();
        match self.outcome {
            Outcome::Failed => state.failed_at = Some(Instant::now()),
            Outcome::Succeeded => state.failed_at = None,
            Outcome::Unknown => {}
        }
        if self.is_probe {
            state.is_probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_failure_no_request_tries_for_a_while_and_then_one_does() {
        let breaker = CircuitBreaker::default();
        let many: Vec<_> = (0..5).map_while(|_| breaker.attempt()).collect();
        assert_eq!(many.len(), 5, "closed");
        many.into_iter().for_each(Attempt::succeed);
        drop(breaker.attempt());
        assert!(breaker.attempt().is_none());
        breaker.0.lock().failed_at = Instant::now().checked_sub(PAUSE);
        let first = breaker.attempt().unwrap();
        assert!(breaker.attempt().is_none(), "one attempt is enough");
        drop(first);
        assert!(breaker.attempt().is_none());
        breaker.0.lock().failed_at = Instant::now().checked_sub(PAUSE);
        breaker.attempt().unwrap().succeed();
        let [first, second] = [(); 2].map(|()| breaker.attempt());
        assert!(first.is_some() && second.is_some(), "closed again");
    }

    #[test]
    fn an_attempt_without_outcome_leaves_the_breaker_unchanged() {
        let breaker = CircuitBreaker::default();
        breaker.attempt().unwrap().abandon();
        assert!(breaker.0.lock().failed_at.is_none(), "no failure");
        breaker.0.lock().failed_at = Instant::now().checked_sub(PAUSE);
        breaker.attempt().unwrap().abandon();
        assert!(breaker.0.lock().failed_at.is_some(), "no success");
        assert!(breaker.attempt().is_some(), "the next request tries");
    }
}
