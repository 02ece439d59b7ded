//! Short reads on the calling thread's connection. The serving threads' connections are opened at the start, so that a
//! lack of file descriptors later does not stop them; other threads open theirs at their first read.

use std::{
    cell::RefCell,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use diesel::sqlite::SqliteConnection;
use parking_lot::Mutex;

use super::{file::DatabaseFile, open};
use crate::db::{Connection, DbError};

/// A thread's connection; `None` once the database is closed. The mutex lets another thread close it, and has no
/// contention until then.
type ThreadConnection = Mutex<Option<SqliteConnection>>;

thread_local! {
    /// This thread's connections by the database's id. They close when the thread ends.
    static CONNECTIONS: RefCell<Vec<(u64, Arc<ThreadConnection>)>> = const { RefCell::new(Vec::new()) };
}

/// The short reads of one database.
pub(super) struct ShortReads {
    /// Tells databases apart: tests open several at once.
    id: u64,
    file: Arc<DatabaseFile>,
    /// The connections of all threads; `None` once closed.
    of_threads: Mutex<Option<Vec<Weak<ThreadConnection>>>>,
    /// Opened, and not yet assigned to a thread.
    spare: Mutex<Vec<SqliteConnection>>,
}

impl ShortReads {
    pub fn new(file: Arc<DatabaseFile>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            file,
            of_threads: Mutex::new(Some(Vec::new())),
            spare: Mutex::default(),
        }
    }

    /// Opens connections for this many threads.
    pub fn prepare(&self, threads: usize) -> Result<(), DbError> {
        let mut spare = self.spare.lock();
        while spare.len() < threads {
            spare.push(open::for_reading(&self.file)?);
        }
        Ok(())
    }

    /// Runs the work on this thread.
    pub fn run<T, E: From<DbError>>(&self, work: impl FnOnce(&mut Connection<'_>) -> Result<T, E>) -> Result<T, E> {
        let connection = self.of_this_thread()?;
        let mut connection = connection.lock();
        let connection = connection.as_mut().ok_or(DbError::Closed)?;
        work(&mut Connection::Sqlite(connection))
    }

    /// Waits for running reads, and closes every thread's connection.
    pub fn close(&self) {
        self.spare.lock().clear();
        for connection in self.of_threads.lock().take().iter().flatten().filter_map(Weak::upgrade) {
            connection.lock().take();
        }
    }

    fn of_this_thread(&self) -> Result<Arc<ThreadConnection>, DbError> {
        let known = CONNECTIONS.with_borrow(|connections| {
            connections
                .iter()
                .find(|(id, _)| *id == self.id)
                .map(|(_, connection)| Arc::clone(connection))
        });
        known.map_or_else(|| self.open(), Ok)
    }

    fn open(&self) -> Result<Arc<ThreadConnection>, DbError> {
        let mut of_threads = self.of_threads.lock();
        let of_threads = of_threads.as_mut().ok_or(DbError::Closed)?;
        let spare = self.spare.lock().pop();
        let connection = spare.map_or_else(|| open::for_reading(&self.file), Ok)?;
        let connection = Arc::new(Mutex::new(Some(connection)));
        of_threads.retain(|connection| connection.strong_count() > 0);
        of_threads.push(Arc::downgrade(&connection));
        CONNECTIONS.with_borrow_mut(|connections| {
            connections.retain(|(_, connection)| connection.lock().is_some());
            connections.push((self.id, Arc::clone(&connection)));
        });
        Ok(connection)
    }
}
