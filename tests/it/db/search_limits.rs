//! Searches have separate limits: how many run and wait, which are rejected, and what ends one.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    time::Duration,
};

use blogctl::{
    blog::{AuthorFilter, Blog, BlogError, Filter, Page, Paging, User},
    db::{Connection, Database, DbError, posts, posts::NewPost},
};
use chrono::{DateTime, TimeDelta, Utc};
use diesel::RunQueryDsl;
use futures_util::FutureExt;

use crate::support::database::{SqliteFile, TestBlog, block_on, draft, each_blog, key};

/// Only a hanging test reaches this.
const GUARD: Duration = Duration::from_mins(1);

struct Lane {
    database: Database,
    blog: Blog,
    author: User,
    _file: SqliteFile,
}

impl Lane {
    /// One search at a time, and this many in the queue.
    fn with_queue(queue: u32, deadline: Duration) -> Self {
        let file = SqliteFile::new();
        let mut settings = file.settings.clone();
        (
            settings.search_connections,
            settings.search_queue,
            settings.search_deadline,
        ) = (1, queue, deadline);
        let database = Database::open(&settings).expect("opens");
        database.migrate().expect("migrates");
        let blog = Blog::new(database.clone());
        let author = block_on(async {
            let author = blog.ensure_user(key(1), "Ann").await.expect("a user").0;
            blog.create(blogctl::blog::Rights::Write, &author, draft("word"))
                .await
                .expect("written");
            author
        });
        Self {
            database,
            blog,
            author,
            _file: file,
        }
    }

    async fn search(&self) -> Result<Page, BlogError> {
        let filter = Filter {
            author: None,
            text: Some("word".to_owned()),
        };
        self.blog.posts(filter, Paging::Skip(0), 10).await
    }

    /// A search that runs until it is stopped.
    async fn endless(&self, started: mpsc::Sender<()>) -> Result<(), DbError> {
        let work = move |connection: &mut Connection<'_>| {
            let Connection::Sqlite(c) = connection else {
                panic!("SQLite")
            };
            let _ = started.send(());
            diesel::sql_query(
                "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) \
                 SELECT count(*) FROM n WHERE search_goes_on(x)",
            )
            .execute(&mut **c)?;
            Ok(())
        };
        self.database.search(work).await
    }
}

#[test]
fn a_full_search_queue_rejects_searches_but_not_lists() {
    let lane = Lane::with_queue(2, GUARD);
    block_on(async {
        let (started, has_started) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let released = std::sync::Mutex::new(released);
        let mut running = Box::pin(lane.database.search(move |_| {
            let _ = started.send(());
            released
                .lock()
                .expect("not poisoned")
                .recv()
                .expect("the test releases it");
            Ok::<_, DbError>(())
        }));
        assert!(running.as_mut().now_or_never().is_none());
        has_started.recv_timeout(GUARD).expect("it runs");
        let mut waiting = [Box::pin(lane.search()), Box::pin(lane.search())];
        assert!(
            waiting
                .iter_mut()
                .all(|search| search.as_mut().now_or_never().is_none())
        );
        for _ in 0..3 {
            let rejected = lane.search().now_or_never().expect("at once");
            assert!(
                matches!(rejected, Err(BlogError::Database(DbError::SearchBusy))),
                "{rejected:?}"
            );
        }

        let of_author = Filter {
            author: Some(AuthorFilter::Id(lane.author.id)),
            text: None,
        };
        let page = lane.blog.posts(of_author, Paging::Skip(0), 10).await.expect("a page");
        assert_eq!(page.total, 1, "a list of an author waits for no search");
        lane.database.ping().await.expect("ready");

        release.send(()).expect("it waits");
        running.await.expect("it ends");
        for search in waiting {
            assert_eq!(search.await.expect("its turn comes").total, 1);
        }
    });
}

#[test]
fn abandoned_searches_do_not_delay_waiting_ones() {
    let lane = Lane::with_queue(16, GUARD);
    block_on(async {
        let (started, has_started) = mpsc::channel();
        let mut running = Box::pin(lane.endless(started));
        assert!(running.as_mut().now_or_never().is_none());
        has_started.recv_timeout(GUARD).expect("it runs");
        let have_run = Arc::new(AtomicBool::new(false));
        for _ in 0..200 {
            let flag = Arc::clone(&have_run);
            let mut abandoned = Box::pin(lane.database.search(move |_| {
                flag.store(true, Ordering::SeqCst);
                Ok::<_, DbError>(())
            }));
            // Each takes a place, and frees it when its client disconnects.
            assert!(abandoned.as_mut().now_or_never().is_none());
        }
        // The running search ends with its request; it would never end otherwise.
        drop(running);
        assert_eq!(lane.search().await.expect("a turn").total, 1);
        assert!(!have_run.load(Ordering::SeqCst), "none of the abandoned ones has run");
    });
}

#[test]
fn a_search_that_takes_too_long_is_ended_and_frees_its_place() {
    let lane = Lane::with_queue(0, Duration::from_secs(1));
    block_on(async {
        let (started, _has_started) = mpsc::channel();
        let ended = lane.endless(started).await;
        assert!(matches!(ended, Err(DbError::Deadline { .. })), "{ended:?}");
        // Its thread notices a moment later.
        let until = std::time::Instant::now() + GUARD;
        loop {
            match lane.search().await {
                Ok(page) => break assert_eq!(page.total, 1),
                Err(BlogError::Database(DbError::SearchBusy)) if std::time::Instant::now() < until => {
                    tokio::task::yield_now().await;
                }
                other => panic!("{other:?}"),
            }
        }
    });
}

#[test]
fn closing_the_database_stops_a_running_search() {
    let lane = Lane::with_queue(4, GUARD);
    block_on(async {
        let (started, has_started) = mpsc::channel();
        let mut running = Box::pin(lane.endless(started));
        assert!(running.as_mut().now_or_never().is_none());
        has_started.recv_timeout(GUARD).expect("it runs");
        lane.database.close();
        let stopped = running.await;
        assert!(matches!(stopped, Err(DbError::Closed)), "{stopped:?}");
        let rejected = lane.search().await;
        assert!(
            matches!(rejected, Err(BlogError::Database(DbError::Closed))),
            "{rejected:?}"
        );
    });
}

impl TestBlog {
    async fn write_many(&self, author_id: i64, count: i64, content: &'static str) {
        let at: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().expect("a time");
        let written: Result<(), DbError> = self
            .database
            .write(move |c| {
                let many: Vec<NewPost<'_>> = (0..count)
                    .map(|n| {
                        let at = at + TimeDelta::seconds(n);
                        NewPost {
                            author_id,
                            title: "Many",
                            content,
                            created_at: at,
                            updated_at: at,
                        }
                    })
                    .collect();
                posts::insert_many(c, &many)
            })
            .await;
        written.expect("written");
        self.database
            .connect()
            .expect("a connection")
            .index_for_search(|_| {})
            .expect("indexed");
    }
}

#[test]
fn the_newest_two_thousand_matches_are_counted_and_ranked_and_the_page_says_so() {
    each_blog(async |test| {
        let author = test.user(1).await;
        test.write_many(author.id, 2000, "a b c d e f g h i j k l m n o p q r s t u v w x y z")
            .await;
        let search = async |text: &str| {
            let filter = Filter {
                author: None,
                text: Some(text.to_owned()),
            };
            test.blog.posts(filter, Paging::Skip(0), 10).await.expect("a page")
        };
        let one_letter_words = "a b c d e f g h i j k l m n o p q r s t u v w x y z ".repeat(4);
        for text in ["a", "many", "ma", "a-b", "b a", &one_letter_words] {
            let page = search(text).await;
            assert_eq!((page.total, page.is_total_limited), (2000, false), "{text}");
        }
        test.write_many(
            author.id,
            5,
            "a newest b c d e f g h i j k l m n o p q r s t u v w x y z",
        )
        .await;
        for text in ["a", "many", "ma", "b c", &one_letter_words] {
            let page = search(text).await;
            assert_eq!((page.total, page.is_total_limited), (2000, true), "{text}");
        }
        // Beyond the ranked matches, the newest comes first.
        assert_eq!(search(&one_letter_words).await.posts[0].id, 2005);
        assert_eq!(search("newest").await.total, 5);
        let last = Filter {
            author: None,
            text: Some("a".to_owned()),
        };
        let page = test.blog.posts(last, Paging::Skip(1995), 10).await.expect("a page");
        assert_eq!((page.posts.len(), page.next), (5, None));
        assert!(page.posts.iter().all(|post| post.id > 5), "the oldest are left out");
    });
}
