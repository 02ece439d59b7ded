//! Backups of SQLite, and their restoration.

use std::{
    fs,
    os::unix::fs::{FileExt as _, PermissionsExt as _},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use blogctl::{
    blog::Rights,
    config::DatabaseSettings,
    db::{Database, migrate},
};

use super::{db, execute, filled, found_by_search, make_longer, number};
use crate::support::{
    binary::{CommandOutput, blogctl},
    database::{SqliteFile, TestBlog, block_on, draft},
};

const POSTS: &str = "SELECT count(*) AS number FROM blog_posts";

fn at(path: &Path) -> DatabaseSettings {
    DatabaseSettings {
        url: path.display().to_string(),
        ..DatabaseSettings::default()
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
        .collect();
    names.sort();
    names
}

#[test]
fn a_backup_during_writes_is_consistent_and_private() {
    let sqlite = SqliteFile::new();
    let settings = &sqlite.settings;
    let database = filled(settings, 20);
    let test = TestBlog {
        blog: blogctl::blog::Blog::new(database.clone()),
        database,
    };
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("it's a backup.db");
    let name = file.display().to_string();
    let done = AtomicBool::new(false);
    let (output, written) = thread::scope(|scope| {
        let writer = scope.spawn(|| {
            block_on(async {
                let author = test.user(1).await;
                let mut written = 20;
                while !done.load(Ordering::SeqCst) {
                    test.blog
                        .create(Rights::Write, &author, draft("During"))
                        .await
                        .expect("written");
                    written += 1;
                }
                written
            })
        });
        let output = db(settings, &["backup", &name]);
        done.store(true, Ordering::SeqCst);
        (output, writer.join().expect("no panic"))
    });
    assert_eq!(output.code, Some(0), "{output:?}");
    assert_eq!(names(folder.path()), ["it's a backup.db"]);
    let mode = fs::metadata(&file).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let verified = db(settings, &["backup", "--verify", &name]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
    let posts = number(&at(&file), POSTS);
    assert!((20..=written).contains(&posts), "{posts} of {written}");
    let checked = db(&at(&file), &["check", "--full"]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
}

#[test]
fn an_existing_file_is_replaced_only_on_request() {
    let sqlite = SqliteFile::new();
    filled(&sqlite.settings, 1);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("backup.db");
    fs::write(&file, "precious").expect("written");
    let name = file.display().to_string();
    let refused = db(&sqlite.settings, &["backup", &name]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(
        refused.stderr.contains("exists already") && refused.stderr.contains("--force"),
        "{refused:?}"
    );
    assert_eq!(fs::read_to_string(&file).expect("the file"), "precious");
    let forced = db(&sqlite.settings, &["backup", "--force", &name]);
    assert_eq!(forced.code, Some(0), "{forced:?}");
    assert_eq!(number(&at(&file), POSTS), 1);
}

#[test]
fn a_full_disk_leaves_no_partial_file() {
    let sqlite = SqliteFile::new();
    filled(&sqlite.settings, 50);
    let folder = tempfile::tempdir().expect("a folder");
    let here = tempfile::tempdir().expect("a folder");
    // A limit of the file size has the same effect, and needs no separate file system.
    let script = "trap '' XFSZ; ulimit -f 16; exec \"$0\" db backup \"$1\" --set \"$2\"";
    let mut command = std::process::Command::new("sh");
    command
        .current_dir(here.path())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .args(["-c", script])
        .arg(blogctl(here.path()).get_program())
        .arg(folder.path().join("backup.db"))
        .arg(format!("database.url={}", sqlite.settings.url));
    let output = CommandOutput::from_command(&mut command);
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("there is no partial file"), "{output:?}");
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn a_damaged_or_foreign_file_is_no_backup() {
    let sqlite = SqliteFile::new();
    filled(&sqlite.settings, 50);
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    assert_eq!(db(&sqlite.settings, &["backup", &path("good.db")]).code, Some(0));
    let bytes = fs::read(path("good.db")).expect("the file");
    fs::write(path("short.db"), &bytes[..bytes.len() / 2]).expect("written");
    fs::write(path("text.db"), "no database").expect("written");
    fs::write(path("counter.db"), &bytes).expect("written");
    execute(&at(Path::new(&path("counter.db"))), "UPDATE post_counts SET posts = 49");
    fs::copy(path("good.db"), path("live.db")).expect("copied");
    fs::write(path("live.db-wal"), "log").expect("written");
    for (name, expected) in [
        ("short.db", "is damaged or incomplete"),
        ("text.db", "is neither an SQLite file nor an archive"),
        ("counter.db", "its counter says 49"),
        ("live.db", "has a write-ahead log"),
        ("missing.db", "cannot read"),
    ] {
        let output = db(&sqlite.settings, &["backup", "--verify", &path(name)]);
        assert_eq!(output.code, Some(1), "{name} {output:?}");
        assert!(output.stderr.contains(expected), "{name} {output:?}");
        let target = at(Path::new(&path("restored.db")));
        let output = db(&target, &["restore", &path(name)]);
        assert_eq!(output.code, Some(1), "{name} {output:?}");
        assert!(output.stderr.contains(expected), "{name} {output:?}");
        assert!(!Path::new(&target.url).exists(), "{name}");
    }
}

#[test]
fn an_older_backup_is_restored_and_migrated() {
    let sqlite = SqliteFile::new();
    let database = filled(&sqlite.settings, 5);
    migrate::revert(&database).expect("reverted");
    let folder = tempfile::tempdir().expect("a folder");
    let backup = folder.path().join("backup.db").display().to_string();
    let made = db(&sqlite.settings, &["backup", &backup]);
    assert_eq!(made.code, Some(0), "{made:?}");
    assert!(made.stdout.contains("schema   0005"), "{made:?}");

    let target = at(&folder.path().join("restored.db"));
    let output = db(&target, &["restore", &backup]);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(
        !Database::open(&target)
            .expect("opens")
            .has_pending_migrations()
            .expect("known")
    );
    assert_eq!((number(&target, POSTS), found_by_search(&target, "post")), (5, 5));
    let permissions = fs::metadata(&target.url).expect("the file").permissions();
    assert_eq!(permissions.mode() & 0o777, 0o600);
    assert_eq!(db(&target, &["check"]).code, Some(0));
}

#[test]
fn a_restore_overwrites_nothing() {
    let sqlite = SqliteFile::new();
    let database = filled(&sqlite.settings, 5);
    let folder = tempfile::tempdir().expect("a folder");
    let backup = folder.path().join("backup.db").display().to_string();
    assert_eq!(db(&sqlite.settings, &["backup", &backup]).code, Some(0));

    let refused = |settings: &DatabaseSettings, expected: &str| {
        let output = db(settings, &["restore", &backup]);
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(output.stderr.contains(expected), "{expected}: {output:?}");
    };
    refused(&sqlite.settings, "contains users or posts");
    database.close();
    refused(&sqlite.settings, "contains users or posts");
    assert_eq!(number(&sqlite.settings, POSTS), 5);

    // Empty, and open in this process.
    let empty = SqliteFile::new();
    let open = Database::open(&empty.settings).expect("opens");
    open.migrate().expect("migrates");
    refused(&empty.settings, "is in use by another process");
    open.close();
    assert_eq!(db(&empty.settings, &["restore", &backup]).code, Some(0));
    assert_eq!(number(&empty.settings, POSTS), 5);

    // What a deleted database has left.
    let stale = at(&folder.path().join("stale.db"));
    fs::write(format!("{}-wal", stale.url), "log").expect("written");
    refused(&stale, "stale.db-wal");

    // Of a newer version.
    let newer = folder.path().join("newer.db");
    fs::copy(&backup, &newer).expect("copied");
    execute(
        &at(&newer),
        "INSERT INTO __diesel_schema_migrations (version) VALUES ('9999')",
    );
    let target = at(&folder.path().join("from-newer.db"));
    let output = db(&target, &["restore", &newer.display().to_string()]);
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("schema version 9999"), "{output:?}");
    assert!(!Path::new(&target.url).exists());
}

#[test]
fn a_backup_of_a_damaged_database_is_not_kept() {
    let sqlite = SqliteFile::new();
    filled(&sqlite.settings, 300).close();
    make_longer(&sqlite.settings);
    let file = fs::OpenOptions::new()
        .write(true)
        .open(&sqlite.settings.url)
        .expect("the file");
    let pages = file.metadata().expect("its size").len() / 4096;
    for page in (20..pages).step_by(3) {
        file.write_all_at(&[0xFF; 64], page * 4096).expect("overwritten");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let output = db(
        &sqlite.settings,
        &["backup", &folder.path().join("b.db").display().to_string()],
    );
    assert_eq!(output.code, Some(1), "{output:?}");
    assert_eq!(names(folder.path()), [""; 0]);
}
