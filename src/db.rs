//! The database: SQLite (embedded) or PostgreSQL, one repository code for both. The only place with SQL.

use crate::config::{DatabaseSettings, Environment};

pub mod migrate;

/// Why the database did not do it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DbError {
    /// `database.url` is neither a path, `sqlite:…` nor `postgres:…`.
    #[error("database.url is not understood: {0}")]
    Url(String),
}

/// An open database. Cheap to clone; the last clone closes it.
#[derive(Clone)]
pub struct Database {}

impl Database {
    /// Opens it; on SQLite the file is made when missing. Applies no migrations.
    ///
    /// # Errors
    /// When the URL is not understood or the database cannot be reached.
    pub fn open(settings: &DatabaseSettings) -> Result<Self, DbError> {
        let _ = settings;
        let _: Option<Environment> = None;
        unimplemented!()
    }
    /// Asks the database something trivial: for readiness.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn ping(&self) -> Result<(), DbError> {
        unimplemented!()
    }
    /// Applies pending migrations. Blocks.
    ///
    /// # Errors
    /// When one fails; those before it stay applied.
    pub fn migrate(&self) -> Result<(), DbError> {
        unimplemented!()
    }
    /// Whether migrations are pending. Blocks.
    ///
    /// # Errors
    /// When the database does not answer.
    pub fn has_pending_migrations(&self) -> Result<bool, DbError> {
        unimplemented!()
    }
    /// Finishes queued writes and closes the files (checkpointing the WAL). Blocks.
    pub fn close(&self) {
        unimplemented!()
    }
}
