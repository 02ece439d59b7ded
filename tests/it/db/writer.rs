//! Grouped writes: a failed write affects no other, and no write is acknowledged before the commit.

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
fn a_failed_or_panicked_write_affects_no_other() {
    each_blog(async |test| {
        let author_id = test.user(1).await.id;
        let at: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().expect("a time");
        // Queued together, so that they share a transaction on SQLite.
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
                    // A CHECK of the schema rejects it.
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
fn a_failed_commit_fails_every_write_of_its_transaction() {
    let file = SqliteFile::new();
    let database = Database::open(&file.settings).expect("opens");
    database.migrate().expect("migrates");
    let blog = Blog::new(database.clone());
    block_on(async {
        let author = blog.ensure_user(key(1), "Ann").await.expect("a user").0;
        // A deferred foreign key is checked at the commit, which fails.
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
        // The first write blocks the writer, so that the others share the next transaction.
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
        first.expect("a separate transaction");
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
fn an_acknowledged_write_is_visible_at_once() {
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
fn a_write_is_completed_although_its_caller_has_gone() {
    each_blog(async |test| {
        let author = test.user(1).await;
        let mut abandoned = Box::pin(
            test.blog
                .create(blogctl::blog::Rights::Write, &author, draft("Abandoned")),
        );
        // One poll queues it (SQLite) or starts it (PostgreSQL).
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
fn queued_writes_are_written_before_the_database_closes() {
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
            // Some may be done already; each must be queued. Without `unconstrained`, Tokio's budget would prevent that.
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
        // More than the queue holds, so that some wait for a place, each with a sender.
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
    // Two `Database`s share only the file.
    let write_fifty = |number: u128| {
        let blog = Blog::new(Database::open(&file.settings).expect("opens"));
        block_on(async {
            let author = blog.ensure_user(key(number), "Ann").await.expect("a user").0;
            for n in 0..50 {
                blog.create(blogctl::blog::Rights::Write, &author, draft(&format!("Post {n}")))
                    .await
                    .expect("written concurrently");
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
fn a_writer_gets_its_turn_while_another_process_locks_repeatedly() {
    let file = SqliteFile::new();
    let database = Database::open(&file.settings).expect("opens");
    database.migrate().expect("migrates");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // Stops the thread even if the test fails; the scope would wait for ever otherwise.
        let _stopper = StopOnDrop(&stop);
        // Like `blogctl seed`: one transaction after another, with hardly a pause.
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

/// Stops a thread when the scope ends in any way.
struct StopOnDrop<'a>(&'a AtomicBool);

impl Drop for StopOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
