//! Notices that nobody is there, so that not every request waits for nobody: after a failure nobody tries for a while, then one
//! request does, and the others go on failing at once until it has succeeded.

use std::time::{Duration, Instant};

use parking_lot::{Mutex, MutexGuard};

/// How long nobody tries after a failure.
const PAUSE: Duration = Duration::from_millis(500);

/// Closed at first.
#[derive(Default)]
pub struct Breaker(Mutex<State>);

#[derive(Default)]
struct State {
    failed_at: Option<Instant>,
    is_tried: bool,
}

/// An attempt. Dropped without an outcome, it counts as failed.
pub struct Attempt<'b> {
    breaker: &'b Breaker,
    is_alone: bool,
    outcome: Outcome,
}

enum Outcome {
    Failed,
    Succeeded,
    Unknown,
}

impl Breaker {
    /// An attempt, unless the last one has failed a moment ago, or is repeated by somebody else.
    pub fn attempt(&self) -> Option<Attempt<'_>> {
        let mut state = self.state();
        let is_alone = match state.failed_at {
            None => false,
            Some(at) if at.elapsed() < PAUSE || state.is_tried => return None,
            Some(_) => true,
        };
        state.is_tried |= is_alone;
        Some(Attempt {
            breaker: self,
            is_alone,
            outcome: Outcome::Failed,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing that holds the lock can leave it half changed.
        self.0.lock()
    }
}

impl Attempt<'_> {
    /// Somebody is there.
    pub fn succeed(mut self) {
        self.outcome = Outcome::Succeeded;
    }

    /// The attempt ended before anybody could know: the breaker stays as it was.
    pub fn leave(mut self) {
        self.outcome = Outcome::Unknown;
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        let mut state = self.breaker.state();
        match self.outcome {
            Outcome::Failed => state.failed_at = Some(Instant::now()),
            Outcome::Succeeded => state.failed_at = None,
            Outcome::Unknown => {}
        }
        if self.is_alone {
            state.is_tried = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_failure_nobody_tries_for_a_while_and_then_one_does() {
        let breaker = Breaker::default();
        let many: Vec<_> = (0..5).map_while(|_| breaker.attempt()).collect();
        assert_eq!(many.len(), 5, "all is well");
        many.into_iter().for_each(Attempt::succeed);
        drop(breaker.attempt());
        assert!(breaker.attempt().is_none());
        breaker.state().failed_at = Instant::now().checked_sub(PAUSE);
        let first = breaker.attempt().unwrap();
        assert!(breaker.attempt().is_none(), "one is enough");
        drop(first);
        assert!(breaker.attempt().is_none());
        breaker.state().failed_at = Instant::now().checked_sub(PAUSE);
        breaker.attempt().unwrap().succeed();
        let [first, second] = [(); 2].map(|()| breaker.attempt());
        assert!(first.is_some() && second.is_some(), "all is well again");
    }

    #[test]
    fn an_attempt_that_tells_nothing_leaves_the_breaker_as_it_was() {
        let breaker = Breaker::default();
        breaker.attempt().unwrap().leave();
        assert!(breaker.state().failed_at.is_none(), "nobody has failed");
        breaker.state().failed_at = Instant::now().checked_sub(PAUSE);
        breaker.attempt().unwrap().leave();
        assert!(breaker.state().failed_at.is_some(), "nobody has succeeded");
        assert!(breaker.attempt().is_some(), "the next one tries");
    }
}
