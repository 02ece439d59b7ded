//! Reads that take milliseconds (deep `skip`, many posts, an author's), away from the serving threads.
//!
//! A few at a time, each on a connection from a small pool: with a connection per blocking thread there would be
//! hundreds of them.

use std::{sync::Arc, time::Instant};

use diesel::sqlite::SqliteConnection;
use parking_lot::Mutex;
use tokio::{sync::Semaphore, time};

use super::{file::DatabaseFile, open};
use crate::db::{Connection, DbError};

/// Reads at once, and connections at most.
const AT_ONCE: usize = 4;

/// The long reads of one database.
pub(super) struct LongReads {
    file: Arc<DatabaseFile>,
    permits: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<SqliteConnection>>>,
}

impl LongReads {
    pub fn new(file: Arc<DatabaseFile>) -> Self {
        Self {
            file,
            permits: Arc::new(Semaphore::new(AT_ONCE)),
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

    /// Runs the work on a blocking thread when its turn comes, if it comes in time.
    pub async fn run<T, E>(
        &self,
        ends: Instant,
        work: impl FnOnce(&mut Connection<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        let permits = Arc::clone(&self.permits);
        let begun = Instant::now();
        let turn = time::timeout_at(ends.into(), Arc::clone(&permits).acquire_owned()).await;
        let permit = turn
            .map_err(|_| DbError::late_since(begun))?
            .map_err(|_| DbError::Closed)?;
        let (file, idle) = (Arc::clone(&self.file), Arc::clone(&self.idle));
        let reading = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let pooled = idle.lock().pop();
            let mut connection = pooled.map_or_else(|| open::for_reading(&file), Ok)?;
            let outcome = work(&mut Connection::Sqlite(&mut connection));
            let mut idle = idle.lock();
            if !permits.is_closed() {
                idle.push(connection);
            }
            outcome
        });
        match time::timeout_at(ends.into(), reading).await {
            Ok(outcome) => outcome.unwrap_or_else(|_| Err(DbError::Panicked.into())),
            Err(_) => Err(DbError::late_since(begun).into()),
        }
    }

    /// Closes the pool; a read that still runs closes its own connection at its end.
    pub fn close(&self) {
        self.permits.close();
        self.idle.lock().clear();
    }
}
