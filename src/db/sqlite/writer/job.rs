//! One queued write: the work, then its outcome, then the answer to whoever waits for it.

use std::{
    panic::{self, AssertUnwindSafe},
    sync::Arc,
    time::Instant,
};

use tokio::sync::oneshot;

use crate::db::{Connection, DbError};

/// A queued write, whatever it returns.
pub(super) trait Job: Send {
    /// When its time is over.
    fn ends(&self) -> Instant;
    /// Runs the work, if it still has time, and keeps its outcome. Its savepoint stays only if this is `Ok`.
    fn run(&mut self, connection: &mut Connection<'_>) -> Result<(), Undone>;
    /// Answers with the outcome, or with what kept the whole transaction from being committed.
    fn answer(self: Box<Self>, committed: Result<(), Refusal>);
}

/// Why a whole transaction is not acknowledged.
#[derive(Clone)]
pub(super) enum Refusal {
    /// The database did not commit it.
    NotCommitted(Arc<diesel::result::Error>),
    /// The file was deleted or replaced: [`DbError::FileGone`].
    FileGone(Arc<DbError>),
}

impl From<Refusal> for DbError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::NotCommitted(error) => Self::NotCommitted(error),
            Refusal::FileGone(error) => match &*error {
                Self::FileGone { path } => Self::FileGone { path: path.clone() },
                _ => Self::Closed,
            },
        }
    }
}

/// Why a savepoint is rolled back.
pub(super) enum Undone {
    /// The work returned an error or panicked: the others of the batch are none the worse.
    ByTheJob,
    /// The savepoint itself failed: the transaction is lost.
    ByTheDatabase(diesel::result::Error),
}

impl From<diesel::result::Error> for Undone {
    fn from(error: diesel::result::Error) -> Self {
        Self::ByTheDatabase(error)
    }
}

/// A write with its types.
pub(super) struct Write<W, T, E> {
    work: Option<W>,
    ends: Instant,
    outcome: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

impl<W, T, E> Write<W, T, E> {
    pub fn new(work: W, ends: Instant, reply: oneshot::Sender<Result<T, E>>) -> Self {
        Self {
            work: Some(work),
            ends,
            outcome: None,
            reply,
        }
    }
}

impl<W, T, E> Job for Write<W, T, E>
where
    W: FnOnce(&mut Connection<'_>) -> Result<T, E> + Send,
    T: Send,
    E: From<DbError> + Send,
{
    fn ends(&self) -> Instant {
        self.ends
    }

    fn run(&mut self, connection: &mut Connection<'_>) -> Result<(), Undone> {
        let Some(work) = self.work.take() else { return Ok(()) };
        // Whoever asked has been told that nothing may have come of it.
        if Instant::now() >= self.ends {
            self.outcome = Some(Err(DbError::late_since(self.ends).into()));
            return Ok(());
        }
        // The savepoint undoes what a panic left half-done.
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| work(connection)))
            .unwrap_or_else(|_| Err(DbError::Panicked.into()));
        let undo = outcome.is_err();
        self.outcome = Some(outcome);
        if undo { Err(Undone::ByTheJob) } else { Ok(()) }
    }

    fn answer(self: Box<Self>, committed: Result<(), Refusal>) {
        let answer = match (committed, self.outcome) {
            (Ok(()), Some(outcome)) => outcome,
            (Ok(()), None) => Err(DbError::Closed.into()),
            (Err(refusal), _) => Err(DbError::from(refusal).into()),
        };
        // Whoever asked may have gone; the write stands all the same.
        drop(self.reply.send(answer));
    }
}
