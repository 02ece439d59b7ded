//! One attempt at a time. A caller that arrives while an attempt runs waits for it and gets its outcome instead of starting
//! another one, so that a slow server is not asked once per waiting request.
//! `docs/decisions/0080-one-single-flight.md` says which code uses it, and which does not.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, MutexGuard};

/// Runs attempts one at a time, and shares each outcome with the callers that waited for it.
#[derive(Debug)]
pub(crate) struct SingleFlight<T> {
    finished: AtomicU64,
    /// `None` before the first attempt.
    last: Mutex<Option<T>>,
}

impl<T> Default for SingleFlight<T> {
    fn default() -> Self {
        Self {
            finished: AtomicU64::new(0),
            last: Mutex::new(None),
        }
    }
}

impl<T: Clone> SingleFlight<T> {
    /// Runs `attempt`, or waits for the running one and returns its outcome. Blocks.
    ///
    /// An attempt may have finished between the caller's decision and this call: `attempt` should check again whether it
    /// is needed.
    pub(crate) fn run(&self, attempt: impl FnOnce() -> T) -> T {
        self.run_unless_finished_since(self.finished.load(Ordering::Acquire), attempt)
    }

    /// Runs `attempt`, or returns `None` at once if another one is running.
    pub(crate) fn try_run(&self, attempt: impl FnOnce() -> T) -> Option<T> {
        let last = self.last.try_lock()?;
        Some(self.finish(last, attempt))
    }

    fn run_unless_finished_since(&self, arrival: u64, attempt: impl FnOnce() -> T) -> T {
        let last = self.last.lock();
        if self.finished.load(Ordering::Acquire) != arrival
            && let Some(outcome) = last.as_ref()
        {
            return outcome.clone();
        }
        self.finish(last, attempt)
    }

    /// A panic in `attempt` leaves the earlier outcome, and the counter that belongs to it.
    fn finish(&self, mut last: MutexGuard<'_, Option<T>>, attempt: impl FnOnce() -> T) -> T {
        let outcome = attempt();
        *last = Some(outcome.clone());
        self.finished.fetch_add(1, Ordering::Release);
        outcome
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_caller_that_waited_for_an_attempt_gets_its_outcome() {
        let flight = SingleFlight::default();
        let arrival = flight.finished.load(Ordering::Acquire);
        assert_eq!(flight.run(|| 1), 1);
        assert_eq!(
            flight.run_unless_finished_since(arrival, || panic!("a second attempt")),
            1
        );
    }

    #[test]
    fn a_caller_that_comes_after_an_attempt_starts_a_new_one() {
        let flight = SingleFlight::default();
        assert_eq!(flight.run(|| 1), 1);
        assert_eq!(flight.run(|| 2), 2);
    }

    #[test]
    fn a_caller_that_does_not_want_to_wait_gets_nothing_while_an_attempt_runs() {
        let flight = SingleFlight::default();
        let outer = flight.run(|| {
            assert_eq!(flight.try_run(|| panic!("a second attempt")), None);
            1
        });
        assert_eq!((outer, flight.try_run(|| 2)), (1, Some(2)));
    }
}
