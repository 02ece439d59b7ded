//! One attempt at a time: whoever comes while an attempt runs waits for it and takes its outcome, instead of trying
//! again. Keeps a slow provider from being asked once per waiting request.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::ProviderError;

/// Runs attempts one at a time and shares each outcome with those that waited for it.
#[derive(Debug)]
pub(super) struct SingleFlight {
    finished: AtomicU64,
    last: Mutex<Result<(), ProviderError>>,
}

impl SingleFlight {
    pub(super) fn new() -> Self {
        Self {
            finished: AtomicU64::new(0),
            last: Mutex::new(Ok(())),
        }
    }

    /// Runs `attempt`, or waits for the one that runs already and returns its outcome. Blocks.
    ///
    /// An attempt may have ended between the caller's decision and this call: `attempt` should look once more whether
    /// it is needed.
    pub(super) fn run(&self, attempt: impl FnOnce() -> Result<(), ProviderError>) -> Result<(), ProviderError> {
        self.run_unless_finished_since(self.finished.load(Ordering::Acquire), attempt)
    }

    fn run_unless_finished_since(
        &self,
        arrival: u64,
        attempt: impl FnOnce() -> Result<(), ProviderError>,
    ) -> Result<(), ProviderError> {
        // A panic inside an attempt leaves an older outcome behind, which is no reason to panic here too.
        let mut last = self.last.lock();
        if self.finished.load(Ordering::Acquire) == arrival {
            *last = attempt();
            self.finished.fetch_add(1, Ordering::Release);
        }
        last.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure() -> ProviderError {
        ProviderError::Issuer {
            expected: "one".to_owned(),
            found: "another".to_owned(),
        }
    }

    #[test]
    fn who_waited_for_an_attempt_takes_its_outcome() {
        let flight = SingleFlight::new();
        let arrival = flight.finished.load(Ordering::Acquire);
        assert!(flight.run(|| Err(failure())).is_err());
        let outcome = flight.run_unless_finished_since(arrival, || panic!("a second attempt"));
        assert_eq!(outcome.unwrap_err().to_string(), failure().to_string());
    }

    #[test]
    fn who_comes_after_an_attempt_tries_anew() {
        let flight = SingleFlight::new();
        assert!(flight.run(|| Err(failure())).is_err());
        assert!(flight.run(|| Ok(())).is_ok());
    }
}
