//! Short reads on the calling thread's own connection. Those of the serving threads are opened at the start, so that a lack
//! of descriptors later does not stop them; other threads open one when they first read.

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
    file: Arc<DatabaseFile>,
    /// Every thread's connection; `None` once closed.
    slots: Mutex<Option<Vec<Weak<Slot>>>>,
    /// Opened, and not yet any thread's.
    spare: Mutex<Vec<SqliteConnection>>,
}

impl ShortReads {
    pub fn new(file: Arc<DatabaseFile>) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        Self {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            file,
            slots: Mutex::new(Some(Vec::new())),
            spare: Mutex::default(),
        }
    }

    /// Opens connections for so many threads.
    pub fn prepare(&self, threads: usize) -> Result<(), DbError> {
        let mut spare = self.spare.lock();
        while spare.len() < threads {
            spare.push(open::for_reading(&self.file)?);
        }
        Ok(())
    }

    /// Runs the work now, on this thread.
    pub fn run<T, E: From<DbError>>(&self, work: impl FnOnce(&mut Connection<'_>) -> Result<T, E>) -> Result<T, E> {
        let slot = self.slot()?;
        let mut connection = slot.lock();
        let connection = connection.as_mut().ok_or(DbError::Closed)?;
        work(&mut Connection::Sqlite(connection))
    }

    /// Waits for the reads that run, and closes every thread's connection.
    pub fn close(&self) {
        self.spare.lock().clear();
        for slot in self.slots.lock().take().iter().flatten().filter_map(Weak::upgrade) {
            slot.lock().take();
        }
    }

    fn slot(&self) -> Result<Arc<Slot>, DbError> {
        let known = CONNECTIONS.with_borrow(|connections| {
            connections
                .iter()
                .find(|(number, _)| *number == self.number)
                .map(|(_, slot)| Arc::clone(slot))
        });
        known.map_or_else(|| self.open_slot(), Ok)
    }

    fn open_slot(&self) -> Result<Arc<Slot>, DbError> {
        let mut slots = self.slots.lock();
        let slots = slots.as_mut().ok_or(DbError::Closed)?;
        let spare = self.spare.lock().pop();
        let connection = spare.map_or_else(|| open::for_reading(&self.file), Ok)?;
        let slot = Arc::new(Mutex::new(Some(connection)));
        slots.retain(|slot| slot.strong_count() > 0);
        slots.push(Arc::downgrade(&slot));
        CONNECTIONS.with_borrow_mut(|connections| {
            connections.retain(|(_, slot)| slot.lock().is_some());
            connections.push((self.number, Arc::clone(&slot)));
        });
        Ok(slot)
    }
}
