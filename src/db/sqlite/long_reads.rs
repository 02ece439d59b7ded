//! Reads that take milliseconds (a deep `skip`, many posts, one author's posts), on blocking threads.
//!
//! A few run at a time, each on a connection from a small pool. A connection for each blocking thread would mean
//! hundreds.

use std::{sync::Arc, time::Instant};

use diesel::sqlite::SqliteConnection;
use parking_lot::Mutex;
use tokio::time;

use super::{file::DatabaseFile, open};
use crate::db::{
    Connection, DbError, WorkError, WorkValue,
    lane::{Lane, NoTurn},
    work::WorkOnce,
};

/// Reads that run at the same time, and the most connections.
const AT_ONCE: usize = 4;

/// The long reads of one database.
pub(super) struct LongReads {
    file: Arc<DatabaseFile>,
    lane: Arc<Lane>,
    idle: Arc<Mutex<Vec<SqliteConnection>>>,
}

impl LongReads {
    pub fn new(file: Arc<DatabaseFile>) -> Self {
        Self {
            file,
            lane: Arc::new(Lane::new("long_reads", AT_ONCE, usize::MAX)),
            idle: Arc::default(),
        }
    }

    /// Opens every connection.
    pub fn prepare(&self) -> Result<(), DbError> {
        let mut idle = self.idle.lock();
        while idle.len() < AT_ONCE {
            idle.push(open::for_reading(&self.file)?);
        }
        Ok(())
    }

    /// Runs the work on a blocking thread once it has its turn.
    ///
    /// # Errors
    /// [`DbError::Deadline`] when it has not ended before `ends`, the work's own, or the database's.
    pub async fn run<T: WorkValue, E: WorkError>(&self, ends: Instant, work: impl WorkOnce<T, E>) -> Result<T, E> {
        let begun = Instant::now();
        let permit = self.lane.enter(ends).await.map_err(|reason| match reason {
            NoTurn::Closed => DbError::Closed,
            NoTurn::Deadline | NoTurn::Full => DbError::late_since(begun),
        })?;
        let (file, lane, idle) = (Arc::clone(&self.file), Arc::clone(&self.lane), Arc::clone(&self.idle));
        let reading = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let pooled = idle.lock().pop();
            let mut connection = pooled.map_or_else(|| open::for_reading(&file), Ok)?;
            let outcome = work(&mut Connection::Sqlite(&mut connection));
            let mut idle = idle.lock();
            if !lane.is_closed() {
                idle.push(connection);
            }
            outcome
        });
        match time::timeout_at(ends.into(), reading).await {
            Ok(outcome) => outcome.unwrap_or_else(|_| Err(DbError::Panicked.into())),
            Err(_) => Err(DbError::late_since(begun).into()),
        }
    }

    /// Closes the pool. A read that still runs closes its own connection at its end.
    pub fn close(&self) {
        self.lane.close();
        self.idle.lock().clear();
    }
}
