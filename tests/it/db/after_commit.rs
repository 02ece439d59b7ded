//! What is called after a commit: also when the caller has gone, and never without a commit.

use std::{
    sync::mpsc::{self, RecvTimeoutError},
    time::Duration,
};

use blogctl::db::{Connection, DbError};
use futures_util::FutureExt as _;

use crate::support::{database::each_blog, entra::wait_until};

/// Only a failing test waits until then.
const DEADLINE: Duration = Duration::from_secs(10);

#[test]
fn a_commit_is_reported_even_if_the_caller_has_gone_before_it() {
    each_blog(async |test| {
        let (begun, has_begun) = mpsc::channel();
        let (release, is_released) = mpsc::channel::<()>();
        let (committed, reports) = mpsc::channel();
        let work = move |_: &mut Connection<'_>| {
            let _ = begun.send(());
            let _ = is_released.recv_timeout(DEADLINE);
            Ok::<_, DbError>(7)
        };
        let mut write = Box::pin(test.database.write_then(work, move |value: &i32| {
            let _ = committed.send(*value);
        }));
        let mut is_running = false;
        wait_until("the work", || {
            let _ = write.as_mut().now_or_never();
            is_running = is_running || has_begun.try_recv().is_ok();
            is_running
        });
        // As actix-web does with the request of a client that has disconnected.
        drop(write);
        release.send(()).expect("it waits");
        assert_eq!(reports.recv_timeout(DEADLINE), Ok(7));
    });
}

#[test]
fn a_write_that_is_rolled_back_is_not_reported() {
    each_blog(async |test| {
        let (committed, reports) = mpsc::channel();
        let work = |_: &mut Connection<'_>| Err::<i32, _>(DbError::Closed);
        let outcome = test.database.write_then(work, move |value: &i32| {
            let _ = committed.send(*value);
        });
        assert!(outcome.await.is_err());
        // The sender is dropped with the write.
        assert_eq!(reports.recv_timeout(DEADLINE), Err(RecvTimeoutError::Disconnected));
    });
}
