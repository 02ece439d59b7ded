//! Why the database did not do it. No message holds a password or a post's content.

use std::{borrow::Cow, sync::Arc, time::Instant};

use super::{failure::Failure, legacy};
use crate::hint::Hint;

/// Why the database did not do it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DbError {
    /// `database.url` is neither a path, `sqlite:…` nor `postgres:…`.
    #[error("database.url is not understood: {0}")]
    Url(String),
    /// It cannot be opened or reached.
    #[error("cannot open the database {database}: {reason}")]
    Open {
        /// Which, without a password.
        database: String,
        /// What the database said, and what to do.
        reason: String,
    },
    /// There is a connection pooler, and `database.prepared_statements` is `on`.
    #[error(
        "there is a connection pooler before the database {database}, through which prepared statements of one client \
         are executed by another; set database.prepared_statements to auto, or name the server's own port in database.url"
    )]
    Pooler {
        /// Which, without a password.
        database: String,
    },
    /// All connections are in use, or the server has gone.
    #[error("no connection to the database {database} within {seconds} seconds: {reason}")]
    NoConnection {
        /// Which, without a password.
        database: String,
        /// How long was waited.
        seconds: u64,
        /// What the database said last.
        reason: String,
    },
    /// The request's time was over before the database had done it.
    #[error("the database did not answer within {seconds} seconds")]
    Deadline {
        /// The time that the request had.
        seconds: u64,
    },
    /// Somebody has deleted or replaced an SQLite file that is open.
    #[error(
        "{path} was deleted or replaced while the database is open: nothing is written until it is back; put the original \
         back, or restart to go on with what is there now"
    )]
    FileGone {
        /// The database or its write-ahead log.
        path: String,
    },
    /// As many searches run and wait as may.
    #[error("too many searches are running and waiting; see database.search_connections and database.search_queue")]
    SearchBusy,
    /// A statement failed.
    #[error("the database refused a statement: {0}")]
    Statement(#[from] diesel::result::Error),
    /// The transaction that held this write, and perhaps others, was not committed.
    #[error("the write was not committed: {0}")]
    NotCommitted(Arc<diesel::result::Error>),
    /// The work panicked; its transaction was rolled back.
    #[error("the work on the database panicked and was rolled back")]
    Panicked,
    /// The database was closed meanwhile.
    #[error("the database is closed")]
    Closed,
    /// A migration did not apply, or could not be reverted.
    #[error("a schema migration failed, nothing was changed: {0}")]
    Migration(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The database was migrated by a newer blogctl.
    #[error("the database has schema version {version}, which this blogctl does not know; use a newer blogctl")]
    NewerSchema {
        /// The version.
        version: String,
    },
    /// The database has the tables of the Python system, which no migration changes.
    #[error("{path} is a database of the Python system, and was not changed")]
    PythonDatabase {
        /// The file.
        path: String,
    },
    /// The file of the Python system cannot be read.
    #[error("cannot read {path}: {reason}")]
    Legacy {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
}

impl Hint for DbError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::PythonDatabase { .. } => Some(Cow::Borrowed(legacy::HOW_TO_IMPORT)),
            _ => None,
        }
    }
}

impl DbError {
    /// The time that began then is over.
    pub(super) fn late_since(begun: Instant) -> Self {
        Self::Deadline {
            seconds: begun.elapsed().as_secs().max(1),
        }
    }

    /// Whether it passes by itself, so that the same may succeed a little later.
    pub fn is_transient(&self) -> bool {
        match self {
            // It was open before; whether the address is right, the start has shown.
            Self::Open { .. }
            | Self::Pooler { .. }
            | Self::NoConnection { .. }
            | Self::Deadline { .. }
            | Self::FileGone { .. }
            | Self::SearchBusy
            | Self::Closed => true,
            Self::Statement(error) => Failure::of(error).is_transient(),
            Self::NotCommitted(error) => Failure::of(error).is_transient(),
            Self::Url(_)
            | Self::Panicked
            | Self::Migration(_)
            | Self::NewerSchema { .. }
            | Self::PythonDatabase { .. }
            | Self::Legacy { .. } => false,
        }
    }
}
