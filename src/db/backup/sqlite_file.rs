//! Backups of an SQLite file.
//!
//! `VACUUM INTO` copies a snapshot in one read transaction: writes continue meanwhile, and the copy needs no log. SQLite's
//! backup API would start over after each write of another process.

use std::{
    fs::{self, File, Permissions},
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use diesel::{
    Connection as _, OptionalExtension as _, QueryResult, QueryableByName, RunQueryDsl,
    connection::SimpleConnection,
    sql_types::{BigInt, Text},
    sqlite::SqliteConnection,
};

use super::{BackupError, Contents, check_schema};
use crate::{
    atomic_file::{self, Existing},
    config::quotable_path,
    db::{
        DbError,
        sqlite::path::{follow_links, uri},
    },
};

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

#[derive(QueryableByName)]
struct JournalMode {
    #[diesel(sql_type = Text)]
    journal_mode: String,
}

/// Copies the database `source` into the new file `target`, which only its owner can read, and verifies the copy. The
/// database may be in use. Only a complete backup replaces an existing
/// file. Blocks.
///
/// # Errors
/// When a file cannot be read or written, `target` exists, or the copy is damaged. There is no partial file.
pub fn back_up(source: &Path, target: &Path, existing: Existing) -> Result<Contents, BackupError> {
    if existing == Existing::Keep && fs::symlink_metadata(target).is_ok() {
        return Err(BackupError::Exists {
            path: quotable_path(target).into_owned(),
        });
    }
    let mut connection = open(source, "mode=rw")?;
    let file = atomic_file::begin(target).map_err(|source| BackupError::write(target, source))?;
    let name = std::path::absolute(file.path()).map_err(|source| BackupError::write(target, source))?;
    let name = name
        .to_str()
        .ok_or_else(|| BackupError::write(target, "the path is not UTF-8"))?;
    connection
        .batch_execute("PRAGMA busy_timeout = 10000")
        .and_then(|()| {
            diesel::sql_query("VACUUM INTO ?")
                .bind::<Text, _>(name)
                .execute(&mut connection)
        })
        .map_err(|reason| BackupError::write(target, reason))?;
    let contents = inspect(file.path(), target)?;
    atomic_file::publish(file, target, existing).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => BackupError::Exists {
            path: quotable_path(target).into_owned(),
        },
        _ => BackupError::write(target, source),
    })?;
    Ok(contents)
}

/// Verifies a backup.
pub(super) fn verify(path: &Path) -> Result<Contents, BackupError> {
    check_is_complete(path)?;
    inspect(path, path)
}

/// Copies the backup `backup` to the path of the database, with this mode, and verifies the copy. Blocks.
///
/// # Errors
/// When there is a database with users or posts, another process has it open, the backup is damaged or of a newer blogctl,
/// or a file cannot be read or written. Then nothing is changed.
pub fn restore(backup: &Path, database: &Path, mode: u32) -> Result<Contents, BackupError> {
    check_is_complete(backup)?;
    let target = follow_links(database).map_err(|source| BackupError::write(database, source))?;
    let file = atomic_file::begin(&target).map_err(|source| BackupError::write(&target, source))?;
    let mut from = File::open(backup).map_err(|source| BackupError::read(backup, source))?;
    io::copy(&mut from, &mut file.as_file()).map_err(|source| BackupError::write(&target, source))?;
    let contents = inspect(file.path(), backup)?;
    check_schema(contents.schema.as_deref())?;
    file.as_file()
        .set_permissions(Permissions::from_mode(mode))
        .map_err(|source| BackupError::write(&target, source))?;
    // Last, so that little time passes until the file gets its name.
    let existing = check_target(&target)?;
    atomic_file::publish(file, &target, existing).map_err(|source| BackupError::write(&target, source))?;
    Ok(contents)
}

/// Whether the file has neither users nor posts, and no tables of other programs.
pub(super) fn is_empty(connection: &mut SqliteConnection) -> QueryResult<bool> {
    let mut number = |query: &str| -> QueryResult<i64> {
        let row: Number = diesel::sql_query(query).get_result(connection)?;
        Ok(row.number)
    };
    let ours = number(
        "SELECT count(*) AS number FROM sqlite_schema WHERE type = 'table' \
         AND name IN ('users', 'blog_posts', '__diesel_schema_migrations')",
    )?;
    if ours < 3 {
        return Ok(number(
            "SELECT count(*) AS number FROM sqlite_schema WHERE name NOT IN ('__diesel_schema_migrations', '__blogctl_migrations') \
             AND name NOT LIKE 'sqlite_%'",
        )? == 0);
    }
    Ok(number(
        "SELECT (SELECT count(*) FROM (SELECT 1 FROM users LIMIT 1)) \
         + (SELECT count(*) FROM (SELECT 1 FROM blog_posts LIMIT 1)) AS number",
    )? == 0)
}

/// Whether the path is free, or has an empty database that no other process uses.
fn check_target(target: &Path) -> Result<Existing, BackupError> {
    let shown = || quotable_path(target).into_owned();
    if !target.exists() {
        for suffix in ["-wal", "-journal"] {
            let log = with_suffix(target, suffix);
            if log.exists() {
                return Err(BackupError::StaleLog {
                    log: quotable_path(&log).into_owned(),
                });
            }
        }
        return Ok(Existing::Keep);
    }
    let mut connection = open(target, "mode=rw")?;
    if !is_empty(&mut connection).unwrap_or(false) {
        return Err(BackupError::NotEmpty { target: shown() });
    }
    // Needs the file alone; also removes its write-ahead log.
    let mode: QueryResult<JournalMode> = diesel::sql_query("PRAGMA journal_mode = DELETE").get_result(&mut connection);
    match mode {
        Ok(mode) if mode.journal_mode == "delete" => Ok(Existing::Replace),
        _ => Err(BackupError::InUse { target: shown() }),
    }
}

fn check_is_complete(path: &Path) -> Result<(), BackupError> {
    let has_content = |suffix| fs::metadata(with_suffix(path, suffix)).is_ok_and(|found| found.len() > 0);
    if has_content("-wal") || has_content("-journal") {
        return Err(BackupError::NotABackup {
            path: quotable_path(path).into_owned(),
        });
    }
    Ok(())
}

/// Checks the pages of a file that no process writes to, and counts its rows. `shown` is the path for messages.
fn inspect(path: &Path, shown: &Path) -> Result<Contents, BackupError> {
    let damaged = |reason: diesel::result::Error| BackupError::damaged(shown, reason);
    let mut connection = open(path, "mode=ro&immutable=1")?;
    let found: Vec<Line> = diesel::sql_query("SELECT quick_check AS line FROM pragma_quick_check LIMIT 1")
        .load(&mut connection)
        .map_err(damaged)?;
    if let Some(problem) = found.into_iter().map(|row| row.line).find(|line| line != "ok") {
        return Err(BackupError::damaged(shown, problem));
    }
    let mut number = |query: &str| -> Result<u64, BackupError> {
        let row: Number = diesel::sql_query(query).get_result(&mut connection).map_err(damaged)?;
        Ok(u64::try_from(row.number).unwrap_or_default())
    };
    let posts = number("SELECT count(*) AS number FROM blog_posts")?;
    let users = number("SELECT count(*) AS number FROM users")?;
    // The counter came with migration 0002.
    let has_counter = number("SELECT count(*) AS number FROM sqlite_schema WHERE name = 'post_counts'")? == 1;
    let counted = if has_counter {
        number("SELECT coalesce(sum(posts), 0) AS number FROM post_counts")?
    } else {
        posts
    };
    if counted != posts {
        return Err(BackupError::damaged(
            shown,
            format!("it has {posts} posts, but its counter says {counted}"),
        ));
    }
    let schema: Option<Line> = diesel::sql_query(
        "SELECT max(version) AS line FROM __diesel_schema_migrations WHERE version IS NOT NULL HAVING count(*) > 0",
    )
    .get_result(&mut connection)
    .optional()
    .map_err(damaged)?;
    let bytes = fs::metadata(path)
        .map_err(|source| BackupError::read(shown, source))?
        .len();
    Ok(Contents {
        bytes,
        schema: schema.map(|row| row.line),
        posts,
        users,
    })
}

fn open(path: &Path, options: &str) -> Result<SqliteConnection, BackupError> {
    let error = |reason: &dyn ToString| DbError::cannot_open(quotable_path(path), reason.to_string());
    let absolute = std::path::absolute(path).map_err(|reason| error(&reason))?;
    let uri = uri(&absolute, options).map_err(|reason| error(&reason))?;
    Ok(SqliteConnection::establish(&uri).map_err(|reason| error(&reason))?)
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
