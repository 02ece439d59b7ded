//! Cancels the statement of a search when its client has gone or its time is over, so that the server does not go on
//! working on it.
//!
//! Only on a direct connection: through a pooler, the server process may serve another client by now. There, the
//! transaction's time limit ends the statement.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use diesel::{RunQueryDsl, pg::PgConnection, sql_types::Integer};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use super::{
    slot::{Checkout, ConnectionSlot},
    workers::Workers,
};

/// How long a cancellation may take.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(2);

/// What the server does for one search.
#[derive(Default)]
pub(super) struct RunningSearch {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The server process, while it executes a statement of the search.
    process: Option<i32>,
    is_abandoned: bool,
}

impl RunningSearch {
    /// Records which server process executes the search, until the returned value is dropped. `None` when the search
    /// was abandoned.
    pub fn begin(&self, process: Option<i32>) -> Option<Execution<'_>> {
        let mut state = self.state.lock();
        if state.is_abandoned {
            return None;
        }
        state.process = process;
        Some(Execution(self))
    }
}

/// The server process executes the search while this exists.
pub(super) struct Execution<'a>(&'a RunningSearch);

impl Execution<'_> {
    /// Ends the execution; whether the connection can be used again. After an abandoned search it cannot: a
    /// cancellation may still be on its way to it.
    pub fn end(self) -> bool {
        let mut state = self.0.state.lock();
        state.process = None;
        !state.is_abandoned
    }
}

impl Drop for Execution<'_> {
    fn drop(&mut self) {
        self.0.state.lock().process = None;
    }
}

/// Marks the search as abandoned when dropped, and cancels its statement if that still runs.
pub(super) struct CancelOnDrop {
    pub search: Arc<RunningSearch>,
    /// The workers that send cancellations.
    pub workers: Arc<Workers>,
    /// One cancellation at a time. While another is under way, the search is left to its time limit.
    pub permit: Arc<Semaphore>,
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        let is_running = {
            let mut state = self.search.state.lock();
            state.is_abandoned = true;
            state.process.is_some()
        };
        if !is_running {
            return;
        }
        let Ok(permit) = Arc::clone(&self.permit).try_acquire_owned() else {
            return;
        };
        let search = Arc::clone(&self.search);
        let job = Box::new(move |slot: &mut ConnectionSlot| {
            if let Ok(Checkout { connection, .. }) = slot.check_out() {
                // While this lock is held, the search cannot end, so its server process cannot begin anything else.
                let state = search.state.lock();
                if let Some(process) = state.process
                    && let Err(reason) = cancel(connection, process)
                {
                    log::debug!("an abandoned search was not cancelled: {reason}");
                }
            }
            slot.check_in();
            Box::new(|| {}) as Box<dyn FnOnce() + Send>
        });
        if let Err(reason) = self.workers.run(job, permit, Instant::now() + CANCEL_TIMEOUT) {
            log::debug!("an abandoned search was not cancelled: {reason}");
        }
    }
}

fn cancel(connection: &mut PgConnection, process: i32) -> diesel::QueryResult<usize> {
    diesel::sql_query("SELECT pg_cancel_backend($1)")
        .bind::<Integer, _>(process)
        .execute(connection)
}
