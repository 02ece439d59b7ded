//! A connection to either database, for one repository code over both.
//!
//! A function of a repository takes a [`Connection`] and writes its query once, in `on_either!`, which compiles it for
//! each database. Diesel's own `MultiConnection` does the same at run time, but knows no `ON CONFLICT`, and boxes every
//! bound value.

use diesel::{pg::PgConnection, sqlite::SqliteConnection};

/// A connection to either database, lent to the work that runs on it.
pub enum Connection<'c> {
    /// SQLite.
    Sqlite(&'c mut SqliteConnection),
    /// PostgreSQL.
    Postgres(&'c mut PgConnection),
}

/// Runs a query on whichever database the connection is to.
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
