//! The SQLite file under a running program: its mode, and what happens when it is locked, full, deleted or replaced.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    sync::mpsc,
    time::Duration,
};

use blogctl::{
    blog::{AuthorFilter, Blog, BlogError, Filter, Paging, Rights, User},
    config::{DatabaseSettings, FileMode},
    db::{Connection, Database, DbError},
};
use diesel::{RunQueryDsl, connection::SimpleConnection};
use futures_util::{FutureExt, future::join_all};

use crate::support::database::{SqliteFile, block_on, draft, key};

struct OpenDatabase {
    database: Database,
    blog: Blog,
    author: User,
    path: PathBuf,
    file: SqliteFile,
}

impl OpenDatabase {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(change: impl FnOnce(&mut DatabaseSettings)) -> Self {
        let file = SqliteFile::new();
        let mut settings = file.settings.clone();
        change(&mut settings);
        let database = Database::open(&settings).expect("opens");
        database.migrate().expect("migrates");
        database.prepare(1).expect("prepared");
        let blog = Blog::new(database.clone());
        let author = block_on(blog.ensure_user(key(1), "Ann")).expect("a user").0;
        let path = file.folder.path().join("blog.db");
        Self {
            database,
            blog,
            author,
            path,
            file,
        }
    }

    async fn write(&self, title: &str) -> Result<i64, BlogError> {
        self.blog
            .create(Rights::Write, &self.author, draft(title))
            .await
            .map(|post| post.id)
    }

    async fn total(&self) -> u64 {
        self.blog
            .posts(Filter::default(), Paging::Skip(0), 10)
            .await
            .expect("reads go on")
            .total
    }

    fn beside(&self, ending: &str) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(ending);
        path.into()
    }
}

fn is_transient(error: &BlogError) -> bool {
    matches!(error, BlogError::Database(error) if error.is_transient())
}

fn is_file_gone(outcome: &Result<(), DbError>) -> bool {
    matches!(outcome, Err(DbError::FileGone { .. }))
}

fn is_gone(outcome: &Result<i64, BlogError>) -> bool {
    matches!(outcome, Err(BlogError::Database(DbError::FileGone { .. })))
}

#[test]
fn no_write_is_acknowledged_while_the_file_is_deleted_or_replaced() {
    let opened = OpenDatabase::new();
    let aside = opened.file.folder.path().join("aside");
    block_on(async {
        opened.write("Before").await.expect("written");
        for name in ["", "-wal"] {
            let path = opened.beside(name);
            fs::rename(&path, &aside).expect("moved away");
            for _ in 0..3 {
                assert!(is_gone(&opened.write("Lost").await), "{name:?} is deleted");
                assert!(is_file_gone(&opened.database.ping().await), "not ready");
                let connected = opened.database.connect().map(drop);
                assert!(is_file_gone(&connected), "nothing is opened instead: {connected:?}");
            }
            assert!(!path.exists(), "{name:?} was made anew");
            fs::copy(&aside, &path).expect("replaced");
            assert!(is_gone(&opened.write("Lost").await), "{name:?} is replaced");
            assert!(is_file_gone(&opened.database.ping().await), "not ready");
            // The original file is back.
            fs::rename(&aside, &path).expect("moved back");
            opened.write("After").await.expect("written again");
            opened.database.ping().await.expect("ready again");
        }
        assert_eq!(opened.total().await, 3);
    });
}

#[test]
fn a_write_is_not_acknowledged_when_the_file_disappears_during_it() {
    let opened = OpenDatabase::new();
    let (path, aside) = (opened.path.clone(), opened.file.folder.path().join("aside"));
    let outcome: Result<(), DbError> = block_on(opened.database.write(move |_| {
        fs::rename(&path, &aside).expect("moved away");
        Ok(())
    }));
    assert!(matches!(outcome, Err(DbError::FileGone { .. })), "{outcome:?}");
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

#[test]
fn files_are_created_for_the_owner_only_by_default() {
    for (setting, expected) in [(None, 0o600), (Some(0o640), 0o640), (Some(0o666), 0o666)] {
        let opened = OpenDatabase::with(|settings| {
            if let Some(mode) = setting {
                settings.file_mode = FileMode(mode);
            }
        });
        block_on(opened.write("A post")).expect("written");
        for name in ["", "-wal", "-shm"] {
            assert_eq!(mode(&opened.beside(name)), expected, "blog.db{name} with {setting:?}");
        }
    }
}

#[test]
fn the_mode_of_an_existing_file_stays() {
    let file = SqliteFile::new();
    let path = file.folder.path().join("blog.db");
    fs::write(&path, "").expect("made");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).expect("set");
    Database::open(&file.settings)
        .expect("opens")
        .migrate()
        .expect("migrates");
    assert_eq!(mode(&path), 0o644);
}

#[test]
fn a_database_behind_a_link_is_created_and_watched_at_the_target() {
    let file = SqliteFile::new();
    let target = file.folder.path().join("target.db");
    std::os::unix::fs::symlink(&target, file.folder.path().join("blog.db")).expect("linked");
    let database = Database::open(&file.settings).expect("opens");
    database.migrate().expect("migrates");
    block_on(database.ping()).expect("ready");
    assert_eq!(mode(&target), 0o600);
}

#[test]
fn while_another_process_holds_the_lock_writes_time_out_and_reads_continue() {
    let opened = OpenDatabase::with(|settings| settings.deadline = Duration::from_secs(1));
    // Two `Database`s share only the file.
    let other = Database::open(&opened.file.settings).expect("opens");
    let mut lock = other.connect().expect("a connection");
    let held: Result<(), DbError> = lock.transaction(|_| {
        block_on(async {
            let writes = join_all((0..20).map(|_| opened.write("Late"))).await;
            for outcome in writes {
                let error = outcome.expect_err("the lock is held");
                assert!(is_transient(&error), "{error:?}");
            }
            assert_eq!(opened.total().await, 0, "reads go on");
            opened.database.ping().await.expect("ready to read");
        });
        Ok(())
    });
    held.expect("the lock was held");
    block_on(async {
        opened.write("Afterwards").await.expect("the writer goes on");
        assert_eq!(opened.total().await, 1, "a rejected write was not written later");
    });
}

#[test]
fn a_write_past_its_deadline_is_never_started() {
    let opened = OpenDatabase::with(|settings| settings.deadline = Duration::from_secs(1));
    block_on(async {
        let (started, has_started) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let released = std::sync::Mutex::new(released);
        let mut first = Box::pin(opened.database.write(move |_| -> Result<(), DbError> {
            let _ = started.send(());
            released
                .lock()
                .expect("not poisoned")
                .recv()
                .expect("the test releases it");
            Ok(())
        }));
        assert!(first.as_mut().now_or_never().is_none());
        has_started.recv_timeout(Duration::from_mins(1)).expect("it runs");
        let late = opened.write("Late").await;
        assert!(
            matches!(late, Err(BlogError::Database(DbError::Deadline { .. }))),
            "{late:?}"
        );
        release.send(()).expect("it waits");
        let _ = first.await;
        opened.write("Afterwards").await.expect("written");
        assert_eq!(opened.total().await, 1);
    });
}

#[test]
fn a_full_disk_is_a_transient_failure() {
    let opened = OpenDatabase::new();
    let limit = |pages: &'static str| {
        opened.database.write(move |connection| -> Result<(), DbError> {
            let Connection::Sqlite(c) = connection else {
                panic!("SQLite")
            };
            Ok(c.batch_execute(&format!("PRAGMA max_page_count = {pages}"))?)
        })
    };
    block_on(async {
        // SQLite does not shrink the file: the limit is the current size.
        limit("1").await.expect("set");
        let mut rejected = None;
        for _ in 0..200 {
            if let Err(error) = opened.write("A post").await {
                rejected = Some(error);
                break;
            }
        }
        let rejected = rejected.expect("it is full");
        assert!(is_transient(&rejected), "{rejected:?}");
        let written = opened.total().await;
        limit("1000000").await.expect("there is space again");
        opened.write("Afterwards").await.expect("written");
        assert_eq!(opened.total().await, written + 1);
    });
}

/// Number of this process's descriptors for a file.
fn descriptors(path: &Path) -> usize {
    let path = path.canonicalize().expect("it is there");
    let own = fs::read_dir("/proc/self/fd").expect("Linux").filter_map(Result::ok);
    own.filter(|entry| fs::read_link(entry.path()).is_ok_and(|target| target == path))
        .count()
}

#[test]
fn connections_for_reads_are_open_before_the_first_read() {
    let opened = OpenDatabase::new();
    let before = descriptors(&opened.path);
    block_on(async {
        opened.total().await;
        let of_author = Filter {
            author: Some(AuthorFilter::Id(opened.author.id)),
            text: None,
        };
        let searched = Filter {
            author: None,
            text: Some("word".to_owned()),
        };
        for filter in [of_author, searched] {
            opened.blog.posts(filter, Paging::Skip(0), 10).await.expect("read");
        }
        let query = |connection: &mut Connection<'_>| -> Result<(), DbError> {
            let Connection::Sqlite(c) = connection else {
                panic!("SQLite")
            };
            diesel::sql_query("SELECT 1").execute(&mut **c)?;
            Ok(())
        };
        join_all((0..8).map(|_| opened.database.read_long(query))).await;
    });
    assert_eq!(descriptors(&opened.path), before, "nothing was opened for them");
}
