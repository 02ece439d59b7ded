//! Short reads on the calling thread's own connection, opened when the thread first reads.

use std::{
    cell::RefCell,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicU64, Ordering},
    },
};

use diesel::sqlite::SqliteConnection;

use super::open;
use crate::db::{Connection, DbError};

/// A thread's connection. `None` once the database is closed. The mutex is for closing it from another thread; while
/// the database is open nobody else wants it.
type Slot = Mutex<Option<SqliteConnection>>;

thread_local! {
    /// This thread's connections, by the database's number. They close when the thread ends.
    static CONNECTIONS: RefCell<Vec<(u64, Arc<Slot>)>> = const { RefCell::new(Vec::new()) };
}

/// The short reads of one database.
pub(super) struct ShortReads {
    /// Which database: several may be open at once, in tests.
    number: u64,
    path: Box<Path>,
    /// Every thread's connection; `None` once closed.
    slots: Mutex<Option<Vec<Weak<Slot>>>>,
}

impl ShortReads {
    pub fn new(path: &Path) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self { number: NEXT.fetch_add(1, Ordering::Relaxed), path: path.into(), slots: Mutex::new(Some(Vec::new())) }
    }

    /// Runs the work now, on this thread.
    pub fn run<T, E: From<DbError>>(&self, work: impl FnOnce(&mut Connection<'_>) -> Result<T, E>) -> Result<T, E> {
        let slot = self.slot()?;
        let mut connection = lock(&slot);
        let connection = connection.as_mut().ok_or(DbError::Closed)?;
        work(&mut Connection::Sqlite(connection))
    }

    /// Waits for the reads that run, and closes every thread's connection.
    pub fn close(&self) {
        for slot in lock(&self.slots).take().iter().flatten().filter_map(Weak::upgrade) {
            lock(&slot).take();
        }
    }

    fn slot(&self) -> Result<Arc<Slot>, DbError> {
        let known = CONNECTIONS.with_borrow(|connections| {
            connections.iter().find(|(number, _)| *number == self.number).map(|(_, slot)| Arc::clone(slot))
        });
        known.map_or_else(|| self.open_slot(), Ok)
    }

    fn open_slot(&self) -> Result<Arc<Slot>, DbError> {
        let mut slots = lock(&self.slots);
        let slots = slots.as_mut().ok_or(DbError::Closed)?;
        let slot = Arc::new(Mutex::new(Some(open::for_reading(&self.path)?)));
        slots.retain(|slot| slot.strong_count() > 0);
        slots.push(Arc::downgrade(&slot));
        CONNECTIONS.with_borrow_mut(|connections| {
            connections.retain(|(_, slot)| lock(slot).is_some());
            connections.push((self.number, Arc::clone(&slot)));
        });
        Ok(slot)
    }
}

/// Nothing here is left half-done by a panic, so a poisoned mutex is as good as another.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
