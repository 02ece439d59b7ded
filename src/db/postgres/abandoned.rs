//! Ends the statement of a search whose client has gone or whose time is over, so that the server does not work for nobody.
//!
//! Only on a direct connection: through a pooler the server process may serve another client by now. There the time limit of
//! the transaction ends it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use diesel::{RunQueryDsl, pg::PgConnection, sql_types::Integer};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Semaphore;

use super::{
    slot::{Ready, Slot},
    workers::Workers,
};

/// Longest time for ending one.
const TIME: Duration = Duration::from_secs(2);

/// What runs for one search.
#[derive(Default)]
pub(super) struct Running {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The server process, while it works.
    process: Option<i32>,
    is_abandoned: bool,
}

impl Running {
    /// The server process begins to work, until the result is dropped. `None` when nobody waits for it any more.
    pub fn begin(&self, process: Option<i32>) -> Option<AtWork<'_>> {
        let mut state = self.lock();
        if state.is_abandoned {
            return None;
        }
        state.process = process;
        Some(AtWork(self))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

/// While this is there, the server process works for the search.
pub(super) struct AtWork<'a>(&'a Running);

impl AtWork<'_> {
    /// It is done. Whether the connection is as good as before: a cancellation may still be on its way to it.
    pub fn end(self) -> bool {
        let mut state = self.0.lock();
        state.process = None;
        !state.is_abandoned
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.0.lock().process = None;
    }
}

/// When this is dropped, nobody waits for the search any more: ends it, if it is not done.
pub(super) struct Guard {
    pub running: Arc<Running>,
    /// Where the cancellation is sent from; one at a time. When another is under way, the time limit must do.
    pub workers: Arc<Workers>,
    pub place: Arc<Semaphore>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        let is_at_work = {
            let mut state = self.running.lock();
            state.is_abandoned = true;
            state.process.is_some()
        };
        if !is_at_work {
            return;
        }
        let Ok(permit) = Arc::clone(&self.place).try_acquire_owned() else {
            return;
        };
        let running = Arc::clone(&self.running);
        let job = Box::new(move |slot: &mut Slot| {
            if let Ok(Ready { connection, .. }) = slot.ready() {
                // As long as this is held, the search cannot end, and its connection do nothing else.
                let state = running.lock();
                if let Some(process) = state.process
                    && let Err(reason) = cancel(connection, process)
                {
                    log::debug!("an abandoned search was not ended: {reason}");
                }
            }
            slot.settle();
            Box::new(|| {}) as Box<dyn FnOnce() + Send>
        });
        if let Err(reason) = self.workers.run(job, permit, Instant::now() + TIME) {
            log::debug!("an abandoned search was not ended: {reason}");
        }
    }
}

fn cancel(connection: &mut PgConnection, process: i32) -> diesel::QueryResult<usize> {
    diesel::sql_query("SELECT pg_cancel_backend($1)")
        .bind::<Integer, _>(process)
        .execute(connection)
}
