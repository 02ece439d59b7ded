//! A connection to either database, so that repository code is written once.
//!
//! A repository function takes a [`Connection`] and writes its query once, in `on_either!`, which compiles it for each
//! database. Diesel's `MultiConnection` does the same at run time, but does not support `ON CONFLICT` and boxes every
//! bound value.

use diesel::{pg::PgConnection, sqlite::SqliteConnection};

/// A connection to either database, borrowed by the work that runs on it.
pub enum Connection<'c> {
    /// SQLite.
    Sqlite(&'c mut SqliteConnection),
    /// PostgreSQL.
    Postgres(&'c mut PgConnection),
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
