//! The errors of the database. No message holds a password or a post's content.

use std::{borrow::Cow, fmt::Display, path::Path, sync::Arc, time::Instant};

use super::{failure::Failure, legacy};
use crate::{hint::Hint, passwords::PasswordError};

/// Why work on the database failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DbError {
    /// `database.url` is neither a path, `sqlite:…` nor `postgres:…`.
    #[error("database.url is invalid: {0}")]
    Url(String),
    /// The database cannot be opened or reached.
    #[error("cannot open the database {database}: {reason}")]
    Open {
        /// The address, without a password.
        database: String,
        /// The database's message, or what to do.
        reason: String,
    },
    /// The folder of the SQLite file does not exist.
    #[error("cannot open the database {database}: there is no folder {folder}; create it first")]
    NoFolder {
        /// The file.
        database: String,
        /// Its folder.
        folder: String,
    },
    /// There is no password for the database.
    #[error("there is no password for the database: {0}")]
    Password(#[from] PasswordError),
    /// A connection pooler may use another server connection for each statement, so transactions are impossible.
    #[error("cannot open the database {database}: it takes no transaction: {reason}")]
    StatementPooling {
        /// The address, without a password.
        database: String,
        /// The pooler's message.
        reason: String,
    },
    /// There is a connection pooler although `database.prepared_statements` is `on`.
    #[error(
        "there is a connection pooler in front of the database {database}: through it, one client could execute a statement \
         that another client prepared; set database.prepared_statements to auto, or name the server's own port in \
         database.url"
    )]
    Pooler {
        /// The address, without a password.
        database: String,
    },
    /// All connections are in use, or the server is unreachable.
    #[error("no connection to the database {database} within {seconds} seconds: {reason}")]
    NoConnection {
        /// The address, without a password.
        database: String,
        /// How long the request waited.
        seconds: u64,
        /// The last error.
        reason: String,
    },
    /// The request's deadline passed.
    #[error("the database did not answer within {seconds} seconds")]
    Deadline {
        /// How long the request waited.
        seconds: u64,
    },
    /// An SQLite file was deleted or replaced while it was open.
    #[error(
        "{path} was deleted or replaced while the database is open, so nothing can be written; put the original file back, \
         or restart to use the file that is there now"
    )]
    FileGone {
        /// The database or its write-ahead log.
        path: String,
    },
    /// The search lane is full.
    #[error("too many searches are running and waiting; see database.search_connections and database.search_queue")]
    SearchBusy,
    /// A statement failed.
    #[error("the database rejected a statement: {0}")]
    Statement(#[from] diesel::result::Error),
    /// The transaction of this write, and perhaps of others, was not committed.
    #[error("the write was not committed: {0}")]
    NotCommitted(Arc<diesel::result::Error>),
    /// The work panicked; its transaction was rolled back.
    #[error("work on the database panicked and was rolled back")]
    Panicked,
    /// The database was closed.
    #[error("the database is closed")]
    Closed,
    /// A migration could not be applied or reverted.
    #[error("a schema migration failed; nothing was changed: {0}")]
    Migration(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A newer blogctl has migrated the database.
    #[error("the database has schema version {version}, which this blogctl does not know; use a newer blogctl")]
    NewerSchema {
        /// The newest version.
        version: String,
    },
    /// The SQL of an applied migration is not that of this binary.
    #[error(
        "the migration {name} was edited after it was applied: its checksum in the database differs; nothing was changed"
    )]
    EditedMigration {
        /// Its name.
        name: &'static str,
    },
    /// Another transaction holds a lock that a migration needs.
    #[error(
        "a migration got no lock within {seconds} seconds, because other transactions hold it; nothing was changed"
    )]
    MigrationBlocked {
        /// How long it tried.
        seconds: u64,
    },
    /// There is no migration of this version.
    #[error("there is no migration {version}")]
    UnknownVersion {
        /// The version.
        version: String,
    },
    /// The database has the Python system's tables, which no migration changes.
    #[error("{path} is a database of the Python system and was not changed")]
    PythonDatabase {
        /// The file.
        path: String,
    },
    /// The Python system's file cannot be read.
    #[error("cannot read {path}: {reason}")]
    Legacy {
        /// The file.
        path: String,
        /// The cause.
        reason: String,
    },
}

impl Hint for DbError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::PythonDatabase { .. } => Some(Cow::Borrowed(legacy::HOW_TO_IMPORT)),
            Self::EditedMigration { .. } => Some(Cow::Borrowed(
                "use the release that applied it; if only comments differ, delete its row from __blogctl_migrations, and run \
                 blogctl migrate run",
            )),
            Self::MigrationBlocked { .. } => Some(Cow::Borrowed(
                "end long transactions (pg_stat_activity shows them), or give it more time with --lock-wait-seconds",
            )),
            Self::UnknownVersion { .. } => {
                Some(Cow::Borrowed("blogctl migrate status lists the versions, such as 0004"))
            }
            Self::Password(error) => error.hint(),
            _ => None,
        }
    }
}

impl DbError {
    pub(super) fn cannot_open(database: impl Display, reason: impl Display) -> Self {
        Self::Open {
            database: database.to_string(),
            reason: reason.to_string(),
        }
    }

    pub(super) fn no_folder(database: &Path, folder: &Path) -> Self {
        Self::NoFolder {
            database: database.display().to_string(),
            folder: folder.display().to_string(),
        }
    }

    /// A [`Self::Deadline`] for a request that has waited since `begun`.
    pub(super) fn late_since(begun: Instant) -> Self {
        Self::Deadline {
            seconds: begun.elapsed().as_secs().max(1),
        }
    }

    /// What failed, in a word for the metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Deadline { .. } => "deadline",
            Self::SearchBusy => "search_busy",
            Self::Closed => "closed",
            Self::Panicked => "panicked",
            error if error.is_transient() => "unavailable",
            Self::NotCommitted(_) => "not_committed",
            _ => "statement",
        }
    }

    /// Whether a later retry may succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            // The address is right: the database could be opened at the start.
            Self::Open { .. }
            | Self::NoFolder { .. }
            | Self::Password(_)
            | Self::StatementPooling { .. }
            | Self::Pooler { .. }
            | Self::NoConnection { .. }
            | Self::Deadline { .. }
            | Self::FileGone { .. }
            | Self::SearchBusy
            | Self::Closed => true,
            Self::Statement(error) => Failure::classify(error).is_transient(),
            Self::NotCommitted(error) => Failure::classify(error).is_transient(),
            Self::Url(_)
            | Self::Panicked
            | Self::Migration(_)
            | Self::NewerSchema { .. }
            | Self::EditedMigration { .. }
            | Self::MigrationBlocked { .. }
            | Self::UnknownVersion { .. }
            | Self::PythonDatabase { .. }
            | Self::Legacy { .. } => false,
        }
    }
}
