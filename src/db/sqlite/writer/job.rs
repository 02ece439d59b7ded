//! A queued write: its work, then the outcome, then the reply to the caller.

use std::{
    panic::{self, AssertUnwindSafe},
    sync::Arc,
    time::Instant,
};

use tokio::sync::oneshot;

use crate::db::{Connection, DbError};

/// A queued write, independent of its types.
pub(super) trait Job: Send {
    /// When it was queued.
    fn queued_at(&self) -> Instant;
    /// The deadline.
    fn ends(&self) -> Instant;
    /// Runs the work unless its deadline has passed, and stores the outcome. An error rolls its savepoint back.
    fn run(&mut self, connection: &mut Connection<'_>) -> Result<(), SavepointError>;
    /// Replies with the outcome, or with the reason why the transaction was not committed.
    fn reply(self: Box<Self>, committed: Result<(), CommitError>);
}

/// Why a transaction is not acknowledged.
#[derive(Clone)]
pub(super) enum CommitError {
    /// SQLite did not commit it.
    NotCommitted(Arc<diesel::result::Error>),
    /// The file was deleted or replaced: [`DbError::FileGone`].
    FileGone(Arc<DbError>),
}

impl From<CommitError> for DbError {
    fn from(error: CommitError) -> Self {
        match error {
            CommitError::NotCommitted(error) => Self::NotCommitted(error),
            CommitError::FileGone(error) => match &*error {
                Self::FileGone { path } => Self::FileGone { path: path.clone() },
                _ => Self::Closed,
            },
        }
    }
}

/// Why a savepoint is rolled back.
pub(super) enum SavepointError {
    /// The work returned an error or panicked. The other writes of the batch are not affected.
    Work,
    /// The savepoint itself failed, so the whole transaction is lost.
    Database(diesel::result::Error),
}

impl From<diesel::result::Error> for SavepointError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Database(error)
    }
}

/// A write with its types.
pub(super) struct Write<W, C, T, E> {
    work: Option<W>,
    after_commit: C,
    queued_at: Instant,
    ends: Instant,
    outcome: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

impl<W, C, T, E> Write<W, C, T, E> {
    pub fn new(work: W, after_commit: C, ends: Instant, reply: oneshot::Sender<Result<T, E>>) -> Self {
        Self {
            work: Some(work),
            after_commit,
            queued_at: Instant::now(),
            ends,
            outcome: None,
            reply,
        }
    }
}

impl<W, C, T, E> Job for Write<W, C, T, E>
where
    W: FnOnce(&mut Connection<'_>) -> Result<T, E> + Send,
    C: FnOnce(&T) + Send,
    T: Send,
    E: From<DbError> + Send,
{
    fn queued_at(&self) -> Instant {
        self.queued_at
    }

    fn ends(&self) -> Instant {
        self.ends
    }

    fn run(&mut self, connection: &mut Connection<'_>) -> Result<(), SavepointError> {
        let Some(work) = self.work.take() else { return Ok(()) };
        // The caller has already been told that the time is over.
        if Instant::now() >= self.ends {
            self.outcome = Some(Err(DbError::late_since(self.ends).into()));
            return Ok(());
        }
        // After a panic the savepoint is rolled back.
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| work(connection)))
            .unwrap_or_else(|_| Err(DbError::Panicked.into()));
        let is_failed = outcome.is_err();
        self.outcome = Some(outcome);
        if is_failed { Err(SavepointError::Work) } else { Ok(()) }
    }

    fn reply(self: Box<Self>, committed: Result<(), CommitError>) {
        let reply = match (committed, self.outcome) {
            (Ok(()), Some(outcome)) => outcome,
            (Ok(()), None) => Err(DbError::Closed.into()),
            (Err(error), _) => Err(DbError::from(error).into()),
        };
        if let Ok(value) = &reply {
            (self.after_commit)(value);
        }
        // The caller may have gone; the write is committed all the same.
        drop(self.reply.send(reply));
    }
}
