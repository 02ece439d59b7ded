//! A connection to either database, so that repository code is written once.
//!
//! A repository function takes a [`Connection`] and writes its query once, in `on_either!`, which compiles it for each
//! database. Diesel's `MultiConnection` does the same at run time, but does not support `ON CONFLICT` and boxes every
//! bound value.

use diesel::{pg::PgConnection, sqlite::SqliteConnection};

/// OpenTelemetry's name of SQLite (`db.system.name`).
pub(super) const SQLITE: &str = "sqlite";
/// OpenTelemetry's name of PostgreSQL.
pub(super) const POSTGRES: &str = "postgresql";

/// A connection to either database, borrowed by the work that runs on it.
pub enum Connection<'c> {
    /// SQLite.
    Sqlite(&'c mut SqliteConnection),
    /// PostgreSQL.
    Postgres(&'c mut PgConnection),
}

impl Connection<'_> {
    /// OpenTelemetry's name of the database.
    pub(super) fn system(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => SQLITE,
            Self::Postgres(_) => POSTGRES,
        }
    }
}

/// Compiles a query for both databases, and runs it on the one that the connection belongs to.
macro_rules! on_either {
    ($connection:expr, |$c:ident| $query:expr) => {
        match $connection {
            $crate::db::Connection::Sqlite(c) => {
                let $c = &mut **c;
                $query
            }
            $crate::db::Connection::Postgres(c) => {
                let $c = &mut **c;
                $query
            }
        }
    };
}

pub(super) use on_either;
