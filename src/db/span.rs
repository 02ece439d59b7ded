//! Spans of work on the database: one for each statement of a repository, and one around work that waits for its turn or for a
//! commit. They name the operation and the table, never a value.

use std::borrow::Cow;

use opentelemetry::KeyValue;

use super::{Connection, DbError, WorkError, work::WorkOnce};
use crate::trace::{self, Scope, Span};

/// Runs a statement of a repository within its span. `operation` is the SQL verb, `table` what it reads or changes.
pub(super) fn statement<'c, T>(
    connection: &mut Connection<'c>,
    operation: &'static str,
    table: &'static str,
    run: impl FnOnce(&mut Connection<'c>) -> Result<T, DbError>,
) -> Result<T, DbError> {
    let mut span = Span::client(|| {
        let attributes = vec![
            KeyValue::new("db.system.name", connection.system()),
            KeyValue::new("db.operation.name", operation),
            KeyValue::new("db.collection.name", table),
        ];
        (Cow::Owned(format!("{operation} {table}")), attributes)
    });
    let outcome = run(connection);
    if let Err(error) = &outcome {
        fail(&mut span, error);
    }
    outcome
}

/// Runs work within a span that also covers its wait for a connection, and for its commit.
pub(super) async fn unit<T, E: WorkError>(
    name: &'static str,
    system: &'static str,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let mut span = Span::internal(|| (Cow::Borrowed(name), vec![KeyValue::new("db.system.name", system)]));
    if !span.is_recording() {
        return work.await;
    }
    let outcome = span.run(work).await;
    if let Err(error) = &outcome
        && let Some(error) = error.database_error()
    {
        fail(&mut span, error);
    }
    outcome
}

/// Takes the scope of the caller along to the thread on which `work` will run.
pub(super) fn carry<T, E>(work: impl WorkOnce<T, E>) -> impl WorkOnce<T, E> {
    let scope = Scope::current();
    move |connection: &mut Connection<'_>| trace::within(scope, || work(connection))
}

/// Marks a span as failed. A row that does not exist is a result.
fn fail(span: &mut Span, error: &DbError) {
    let error_type = match error {
        DbError::Statement(diesel::result::Error::NotFound) => return,
        DbError::Statement(_) => "statement",
        DbError::NotCommitted(_) => "not_committed",
        DbError::Deadline { .. } => "deadline",
        DbError::NoConnection { .. } => "no_connection",
        DbError::SearchBusy => "search_busy",
        DbError::FileGone { .. } => "file_gone",
        DbError::Panicked => "panicked",
        DbError::Closed => "closed",
        _ => "other",
    };
    span.fail(error_type);
}
