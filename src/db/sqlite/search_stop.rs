//! Stops a running search: its query calls the SQL function `search_goes_on`, which fails once the search must stop.

use std::{
    fmt,
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use diesel::{
    QueryResult,
    serialize::{self, IsNull, Output, ToSql},
    sql_types::Bool,
    sqlite::{Sqlite, SqliteConnection},
};
use parking_lot::Mutex;

/// Whether a search must stop: when its request was dropped, its deadline has passed, or the database was closed.
pub(super) struct StopSignal {
    is_abandoned: AtomicBool,
    is_closed: Arc<AtomicBool>,
    ends: Instant,
}

impl StopSignal {
    /// The signal of a search that may run until `ends`. `is_closed` is that of the database.
    pub fn new(ends: Instant, is_closed: Arc<AtomicBool>) -> Self {
        Self {
            is_abandoned: AtomicBool::new(false),
            is_closed,
            ends,
        }
    }

    /// Whether the search must stop now.
    pub fn is_set(&self) -> bool {
        self.is_abandoned.load(Ordering::Relaxed)
            || self.is_closed.load(Ordering::Relaxed)
            || Instant::now() >= self.ends
    }
}

/// Stops the search when the request drops this.
pub(super) struct StopOnDrop(pub Arc<StopSignal>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.is_abandoned.store(true, Ordering::Relaxed);
    }
}

/// The signal of the search that runs on a connection, if one runs.
pub(super) type CurrentSearch = Arc<Mutex<Option<Arc<StopSignal>>>>;

diesel::define_sql_function! {
    /// True while the search on this connection may go on; fails when it must stop. It takes a post's id, so that SQLite
    /// calls it for each post instead of once.
    fn search_goes_on(post_id: diesel::sql_types::BigInt) -> Bool;
}

/// Defines `search_goes_on` on a connection. Without `current` it is always true.
pub(super) fn register(connection: &mut SqliteConnection, current: Option<CurrentSearch>) -> QueryResult<()> {
    // Unwind safety: the lock protects a single pointer, which a panic cannot leave half changed.
    let current = AssertUnwindSafe(current);
    search_goes_on_utils::register_nondeterministic_impl(connection, move |_: i64| {
        let current = (*current).as_ref().map(|current| current.lock());
        let must_stop = current.is_some_and(|current| current.as_ref().is_some_and(|signal| signal.is_set()));
        GoesOn { must_stop }
    })
}

/// True, or an error that ends the statement.
struct GoesOn {
    must_stop: bool,
}

impl fmt::Debug for GoesOn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.must_stop { "stops" } else { "goes on" })
    }
}

impl ToSql<Bool, Sqlite> for GoesOn {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        if self.must_stop {
            return Err("the search was stopped".into());
        }
        out.set_value(1_i32);
        Ok(IsNull::No)
    }
}
