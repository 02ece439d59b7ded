//! Why a backup was not made, not accepted or not put in place.

use std::{borrow::Cow, fmt::Display, io, path::Path};

use crate::{config::quotable_path, db::DbError, hint::Hint};

/// Why a backup or a restore failed.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// The cause.
        source: io::Error,
    },
    /// The new file cannot be written.
    #[error("cannot write {path}: {reason}; there is no partial file")]
    Write {
        /// The file.
        path: String,
        /// The cause.
        reason: String,
    },
    /// There is a file already.
    #[error("{path} exists already")]
    Exists {
        /// The file.
        path: String,
    },
    /// The file is not of any known kind.
    #[error("{path} is neither an SQLite file nor an archive of pg_dump --format=custom")]
    UnknownFormat {
        /// The file.
        path: String,
    },
    /// The file has a write-ahead log, so it is incomplete without it.
    #[error("{path} has a write-ahead log next to it: it is a database in use, or a copy of one, and not a backup")]
    NotABackup {
        /// The file.
        path: String,
    },
    /// The backup is damaged or incomplete.
    #[error("the backup {path} is damaged or incomplete: {reason}")]
    Damaged {
        /// The file.
        path: String,
        /// What was found.
        reason: String,
    },
    /// `pg_restore` cannot be started.
    #[error("cannot run {program}: {source}")]
    Program {
        /// Its name.
        program: &'static str,
        /// The cause.
        source: io::Error,
    },
    /// The target has data.
    #[error("{target} contains users or posts, or is not a database of blogctl; nothing was changed")]
    NotEmpty {
        /// The target.
        target: String,
    },
    /// Another process has the target open.
    #[error("{target} is in use by another process; nothing was changed")]
    InUse {
        /// The target.
        target: String,
    },
    /// A journal or write-ahead log of a deleted database has the name that the target's would have.
    #[error("{log} belongs to a database that is gone; SQLite could apply it to the restored one")]
    StaleLog {
        /// The file.
        log: String,
    },
    /// The database failed.
    #[error(transparent)]
    Database(#[from] DbError),
}

impl BackupError {
    pub(super) fn read(path: &Path, source: io::Error) -> Self {
        Self::Read {
            path: quotable_path(path).into_owned(),
            source,
        }
    }

    pub(super) fn write(path: &Path, reason: impl Display) -> Self {
        Self::Write {
            path: quotable_path(path).into_owned(),
            reason: reason.to_string(),
        }
    }

    pub(super) fn damaged(path: &Path, reason: impl Display) -> Self {
        Self::Damaged {
            path: quotable_path(path).into_owned(),
            reason: reason.to_string(),
        }
    }
}

impl Hint for BackupError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        let hint = match self {
            Self::Exists { .. } => "choose another name, or replace the file with --force",
            Self::NotABackup { .. } => "make a backup with blogctl db backup FILE",
            Self::Damaged { .. } => "use another backup",
            Self::Program { .. } => "install PostgreSQL's client programs, of the server's major version or newer",
            Self::NotEmpty { .. } => {
                "restore into a new file (--set database.url=NEW.db) or a new database, check it with blogctl db check, and then \
                 change database.url"
            }
            Self::InUse { .. } => "stop the API first",
            Self::StaleLog { .. } => "move the file to another folder if you may need it, or delete it",
            Self::Database(error) => return error.hint(),
            Self::Read { .. } | Self::Write { .. } | Self::UnknownFormat { .. } => return None,
        };
        Some(Cow::Borrowed(hint))
    }
}
