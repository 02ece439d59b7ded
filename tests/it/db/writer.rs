//! Grouped writes: one job does not fail another, and nobody is answered before the commit.

use std::{
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::{Duration, Instant},
};

use blogctl::{
    blog::{Blog, BlogError, Filter, Paging},
    db::{Connection, Database, DbError, posts, posts::NewPost, users},
};
use chrono::{DateTime, Utc};
use diesel::connection::SimpleConnection;
use futures_util::{FutureExt, future::join_all};

use crate::support::database::{SqliteFile, block_on, draft, each_blog, key};

#[test]
fn a_write_that_fails_or_panics_takes_no_other_with_it() {
    each_blog(async |test| {
        let author_id = test.user(1).await.id;
        let at: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().expect("a time");
        // Queued at once, so that they share a transaction on SQLite.
        let writes = (0..60).map(|n| {
            test.database.write(move |connection| -> Result<i64, DbError> {
                let new = NewPost {
                    author_id,
                    title: "Grouped",
                    content: "Text",
                    created_at: at,
                    updated_at: at,
                };
                let id = posts::insert(connection, &new)?;
                match n % 4 {
                    0 => Err(DbError::Closed),
                    1 => panic!("on purpose"),
                    // A CHECK of the schema refuses it.
                    2 => posts::insert(connection, &NewPost { title: " ", ..new }),
                    _ => Ok(id),
                }
            })
        });
        let outcomes = join_all(writes).await;
        for (n, outcome) in outcomes.iter().enumerate() {
            match n % 4 {
                0 => assert!(matches!(outcome, Err(DbError::Closed)), "{outcome:?}"),
                1 => assert!(matches!(outcome, Err(DbError::Panicked)), "{outcome:?}"),
                2 => assert!(matches!(outcome, Err(DbError::Statement(_))), "{outcome:?}"),
                _ => assert!(outcome.is_ok(), "{outcome:?}"),
            }
        }
        let page = test
            .blog
            .posts(Filter::default(), Paging::Skip(0), 1000)
            .await
            .expect("a page");
        let mut kept: Vec<i64> = page.posts.iter().map(|post| post.id).collect();
        let mut answered: Vec<i64> = outcomes.into_iter().filter_map(Result::ok).collect();
        kept.sort_unstable();
        answered.sort_unstable();
        assert_eq!((kept, page.total), (answered, 15));
    });
}

#[test]
fn when_the_commit_fails_every_write_of_the_transaction_is_told_and_the_next_one_works() {
    let file = SqliteFile::new();
    let database = Database::open(&file.settings).expect("opens");
    database.migrate().expect("migrates");
    let blog = Blog::new(database.clone());
    block_on(async {
        let author = blog.ensure_user(key(1), "Ann").await.expect("a user").0;
        // Looked at only when the whole transaction is committed: the commit fails.
        let poison = database.write(|connection| -> Result<(), DbError> {
            let Connection::Sqlite(c) = connection else {
                panic!("SQLite")
            };
            c.batch_execute("PRAGMA defer_foreign_keys = ON")?;
            let at = DateTime::UNIX_EPOCH;
            let orphan = NewPost {
                author_id: 999,
                title: "Orphan",
                content: "Text",
                created_at: at,
                updated_at: at,
            };
            posts::insert(connection, &orphan).map(drop)
        });
        // While a first write holds the writer, the others queue up, and so share the next transaction.
        let (started, has_started) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let mut first = Box::pin(database.write(move |_| -> Result<(), DbError> {
            started.send(()).expect("the test waits for it");
            released.recv().expect("the test releases it");
            Ok(())
        }));
        assert!(first.as_mut().now_or_never().is_none());
        has_started.recv().expect("it runs");
        let mut poison = Box::pin(poison);
        assert!(poison.as_mut().now_or_never().is_none());
        let mut others: Vec<_> = (0..10)
            .map(|n| Box::pin(blog.create(blogctl::blog::Rights::Write, &author, draft(&format!("Post {n}")))))
            .collect();
        assert!(others.iter_mut().all(|other| other.as_mut().now_or_never().is_none()));
        release.send(()).expect("it waits");
        let (first, poisoned, others) = (first.await, poison.await, join_all(others).await);
        first.expect("a transaction of its own");
        assert!(matches!(poisoned, Err(DbError::NotCommitted(_))), "{poisoned:?}");
        for other in &others {
            assert!(
                matches!(other, Err(BlogError::Database(DbError::NotCommitted(_)))),
                "{other:?}"
            );
        }
        blog.create(blogctl::blog::Rights::Write, &author, draft("Afterwards"))
            .await
            .expect("the writer goes on");
        let page = blog
            .posts(Filter::default(), Paging::Skip(0), 100)
            .await
            .expect("a page");
        assert_eq!((page.total, page.posts.len()), (1, 1));
    });
}

#[test]
fn an_answered_write_is_seen_by_others_at_once() {
    each_blog(async |test| {
        let author = test.user(1).await;
        let mut beside = test.database.connect().expect("another connection");
        for n in 0..30 {
            let post = test
                .blog
                .create(blogctl::blog::Rights::Write, &author, draft(&format!("Post {n}")))
                .await
                .expect("written");
            assert!(posts::by_id(&mut beside.lend(), post.id).expect("read").is_some());
        }
    });
}

#[test]
fn a_write_whose_caller_has_gone_is_written_all_the_same() {
    each_blog(async |test| {
        let author = test.user(1).await;
        let mut abandoned = Box::pin(
            test.blog
                .create(blogctl::blog::Rights::Write, &author, draft("Abandoned")),
        );
        // Polled once: it is queued (SQLite) or running (PostgreSQL).
        assert!(abandoned.as_mut().now_or_never().is_none());
        drop(abandoned);
        test.blog
            .create(blogctl::blog::Rights::Write, &author, draft("Kept"))
            .await
            .expect("written");
        let total = async || {
            test.blog
                .posts(Filter::default(), Paging::Skip(0), 10)
                .await
                .expect("a page")
                .total
        };
        let deadline = Instant::now() + Duration::from_secs(10);
        while total().await < 2 && Instant::now() < deadline {
            tokio::task::yield_now().await;
        }
        assert_eq!(total().await, 2);
    });
}

#[test]
fn what_was_queued_is_written_before_the_database_closes_and_there_after_a_restart() {
    let file = SqliteFile::new();
    let database = Database::open(&file.settings).expect("opens");
    database.migrate().expect("migrates");
    let blog = Blog::new(database.clone());
    block_on(async {
        let author = blog.ensure_user(key(1), "Ann").await.expect("a user").0;
        let mut queued: Vec<_> = (0..100)
            .map(|n| Box::pin(blog.create(blogctl::blog::Rights::Write, &author, draft(&format!("Post {n}")))))
            .collect();
        for write in &mut queued {
            // Some may be done already; what matters is that each is queued. Tokio's budget would keep some from it.
            drop(tokio::task::unconstrained(write.as_mut()).now_or_never());
        }
        database.close();
    });
    assert!(
        !file.folder.path().join("blog.db-wal").exists(),
        "closing takes the WAL into the file"
    );

    let closed = block_on(blog.post(1));
    assert!(
        matches!(closed, Err(BlogError::Database(DbError::Closed))),
        "{closed:?}"
    );

    let database = Database::open(&file.settings).expect("opens again");
    let page = block_on(Blog::new(database).posts(Filter::default(), Paging::Skip(0), 1000)).expect("a page");
    assert_eq!(page.total, 100);
}

#[test]
fn closing_does_not_wait_for_writes_that_are_not_queued_yet() {
    let file = SqliteFile::new();
    let database = Database::open(&file.settings).expect("opens");
    database.migrate().expect("migrates");
    let blog = Blog::new(database.clone());
    let written = block_on(async {
        let author = blog.ensure_user(key(1), "Ann").await.expect("a user").0;
        // More than the queue holds, so that some wait for a place in it, each with a sender in hand.
        let mut waiting = Vec::new();
        let mut written = 0;
        for n in 0..3000 {
            let mut write = Box::pin(blog.create(blogctl::blog::Rights::Write, &author, draft(&format!("Post {n}"))));
            match tokio::task::unconstrained(write.as_mut()).now_or_never() {
                Some(result) => written += u64::from(result.is_ok()),
                None => waiting.push(write),
            }
        }
        database.close();
        for result in join_all(waiting).await {
            assert!(
                matches!(result, Ok(_) | Err(BlogError::Database(DbError::Closed))),
                "{result:?}"
            );
            written += u64::from(result.is_ok());
        }
        written
    });
    let database = Database::open(&file.settings).expect("opens again");
    let page = block_on(Blog::new(database).posts(Filter::default(), Paging::Skip(0), 1)).expect("a page");
    assert_eq!(page.total, written, "what was answered is there, and nothing else");
}

#[test]
fn two_processes_write_to_one_file() {
    let file = SqliteFile::new();
    Database::open(&file.settings)
        .expect("opens")
        .migrate()
        .expect("migrates");
    // Two `Database`s share nothing in this process but the file.
    let write_fifty = |number: u128| {
        let blog = Blog::new(Database::open(&file.settings).expect("opens"));
        block_on(async {
            let author = blog.ensure_user(key(number), "Ann").await.expect("a user").0;
            for n in 0..50 {
                blog.create(blogctl::blog::Rights::Write, &author, draft(&format!("Post {n}")))
                    .await
                    .expect("written beside the other");
            }
        });
    };
    std::thread::scope(|scope| {
        scope.spawn(|| write_fifty(1));
        scope.spawn(|| write_fifty(2));
    });
    let blog = Blog::new(Database::open(&file.settings).expect("opens"));
    let page = block_on(blog.posts(Filter::default(), Paging::Skip(0), 1)).expect("a page");
    assert_eq!(page.total, 100);
}

#[test]
fn a_writer_waits_for_another_process_that_holds_the_lock_again_and_again() {
    let file = SqliteFile::new();
    let database = Database::open(&file.settings).expect("opens");
    database.migrate().expect("migrates");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Also when this fails: the scope would wait for ever.
        let _stopper = StopOnDrop(&stop);
        // As `blogctl seed` does: one transaction after another, hardly a moment between them.
        scope.spawn(|| {
            let mut beside = database.connect().expect("another connection");
            while !stop.load(Ordering::Relaxed) {
                let held: Result<(), DbError> = beside.transaction(|connection| {
                    users::count(connection)?;
                    std::thread::sleep(Duration::from_millis(5));
                    Ok(())
                });
                held.expect("its turn");
            }
        });
        let blog = Blog::new(database.clone());
        block_on(async {
            let author = blog.ensure_user(key(1), "Ann").await.expect("a user").0;
            for n in 0..5 {
                blog.create(blogctl::blog::Rights::Write, &author, draft(&format!("Post {n}")))
                    .await
                    .expect("written in between");
            }
        });
    });
}

/// Stops a thread of this scope at its end, however it ends.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
