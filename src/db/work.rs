//! The bounds on work that runs on a connection, written once.

use super::{Connection, DbError};

/// What work returns. It crosses from the connection's thread to the caller's.
pub trait WorkValue: Send + 'static {}

impl<T: Send + 'static> WorkValue for T {}

/// The error of work: its own, or the database's.
pub trait WorkError: From<DbError> + Send + 'static {
    /// The database's error, if it is one.
    fn database_error(&self) -> Option<&DbError>;
}

impl WorkError for DbError {
    fn database_error(&self) -> Option<&DbError> {
        Some(self)
    }
}

/// Work that may run again: on a fresh connection when the first one is lost, or after its transaction was rolled back
/// for another one.
pub trait Work<T, E>: Fn(&mut Connection<'_>) -> Result<T, E> + Send + 'static {}

impl<T, E, W: Fn(&mut Connection<'_>) -> Result<T, E> + Send + 'static> Work<T, E> for W {}

/// Work that runs once at most.
pub(super) trait WorkOnce<T, E>: FnOnce(&mut Connection<'_>) -> Result<T, E> + Send + 'static {}

impl<T, E, W: FnOnce(&mut Connection<'_>) -> Result<T, E> + Send + 'static> WorkOnce<T, E> for W {}

/// A single statement that writes, after a read whose result it is given. It may run again as [`Work`] does.
pub trait WriteStatement<R, T, E>: Fn(&mut Connection<'_>, R) -> Result<T, E> + Send + 'static {}

impl<R, T, E, W: Fn(&mut Connection<'_>, R) -> Result<T, E> + Send + 'static> WriteStatement<R, T, E> for W {}

/// Called once the transaction of a write is committed, whether or not the caller still waits. It must be quick.
pub trait AfterCommit<T>: FnOnce(&T) + Send + 'static {}

impl<T, C: FnOnce(&T) + Send + 'static> AfterCommit<T> for C {}
