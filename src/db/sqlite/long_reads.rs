//! Reads that take milliseconds (deep `skip`, search), away from the serving threads.
//!
//! A few at a time, each on a connection from a small pool: with a connection per blocking thread there would be
//! hundreds of them.

use std::{
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use diesel::sqlite::SqliteConnection;
use tokio::sync::Semaphore;

use super::open;
use crate::db::{Connection, DbError};

/// Reads at once, and connections at most.
const AT_ONCE: usize = 4;

/// The long reads of one database.
pub(super) struct LongReads {
    path: Arc<Path>,
    permits: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<SqliteConnection>>>,
}

impl LongReads {
    pub fn new(path: &Path) -> Self {
        Self { path: path.into(), permits: Arc::new(Semaphore::new(AT_ONCE)), idle: Arc::default() }
    }

    /// Runs the work on a blocking thread when its turn comes.
    pub async fn run<T, E>(
        &self,
        work: impl FnOnce(&mut Connection<'_>) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
    {
        let permits = Arc::clone(&self.permits);
        let permit = Arc::clone(&permits).acquire_owned().await.map_err(|_| DbError::Closed)?;
        let (path, idle) = (Arc::clone(&self.path), Arc::clone(&self.idle));
        let reading = tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let pooled = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let mut connection = pooled.map_or_else(|| open::for_reading(&path), Ok)?;
            let outcome = work(&mut Connection::Sqlite(&mut connection));
            let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
            if !permits.is_closed() {
                idle.push(connection);
            }
            outcome
        });
        reading.await.unwrap_or_else(|_| Err(DbError::Panicked.into()))
    }

    /// Closes the pool; a read that still runs closes its own connection at its end.
    pub fn close(&self) {
        self.permits.close();
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}
