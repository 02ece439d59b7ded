//! Which migrations a database has, found out without writing to it: no file is made, no table, no lock is taken.

use std::{
    collections::BTreeSet,
    fs::OpenOptions,
    io,
    path::{Path, PathBuf},
};

use diesel::{
    Connection as _, OptionalExtension as _, QueryableByName, RunQueryDsl, pg::PgConnection, sql_types::Text,
    sqlite::SqliteConnection,
};
use rustix::fs::{Access, AtFlags, CWD, accessat};

use super::{Migration, POSTGRES, SQLITE, compare};
use crate::{
    config::DatabaseSettings,
    db::{DatabaseUrl, DbError, legacy, postgres},
};

/// Links one after the other; systems follow no more.
const MOST_LINKS: usize = 40;

/// What was found.
#[derive(Debug)]
pub struct Found {
    /// Where. Its `Display` shows no password.
    pub url: DatabaseUrl,
    /// Whether there is a database at all: an SQLite file that is missing is made when the API starts.
    pub exists: bool,
    /// Every migration that this binary knows, in order.
    pub migrations: Vec<Migration>,
    /// Whether it is a file of the Python system, which no migration changes.
    pub is_python: bool,
    /// What keeps this user from writing, if anything does that can be seen.
    pub obstacle: Option<String>,
}

/// A row of the table in which Diesel keeps what was applied.
#[derive(QueryableByName)]
struct Applied {
    #[diesel(sql_type = Text)]
    version: String,
}

/// A row of one column.
#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    text: String,
}

/// Looks at the database that the settings name. Blocks.
///
/// # Errors
/// When the database cannot be read, its file or folder not be written, or a newer blogctl has migrated it.
pub fn look(settings: &DatabaseSettings) -> Result<Found, DbError> {
    let url = DatabaseUrl::parse(&settings.url)?;
    Ok(match &url {
        DatabaseUrl::Sqlite(path) => {
            let (exists, is_python, migrations) = sqlite(path)?;
            Found {
                url,
                exists,
                migrations,
                is_python,
                obstacle: None,
            }
        }
        DatabaseUrl::Postgres { url: complete, shown } => {
            let (migrations, obstacle) = postgres(complete, shown, settings)?;
            Found {
                url,
                exists: true,
                migrations,
                is_python: false,
                obstacle,
            }
        }
    })
}

/// Whether it exists, whether it is of the Python system, and its migrations.
fn sqlite(path: &Path) -> Result<(bool, bool, Vec<Migration>), DbError> {
    let error = |reason: &dyn ToString| DbError::Open {
        database: path.display().to_string(),
        reason: reason.to_string(),
    };
    let path = &*behind_links(path).map_err(|reason| error(&reason))?;
    if path.is_dir() {
        return Err(error(&"this is a folder; name a file in it"));
    }
    if let Some(folder) = path.parent() {
        match folder.metadata() {
            Ok(found) if found.is_dir() => {}
            Err(reason) if reason.kind() != io::ErrorKind::NotFound => {
                return Err(error(&format!(
                    "the folder {} is out of reach: {reason}",
                    folder.display()
                )));
            }
            _ => {
                return Err(error(&format!(
                    "there is no folder {}; make it first",
                    folder.display()
                )));
            }
        }
        // SQLite keeps files of its own beside the database.
        accessat(CWD, folder, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS).map_err(|reason| {
            error(&format!(
                "no file can be made in the folder {}: {}",
                folder.display(),
                io::Error::from(reason)
            ))
        })?;
    }
    if !path.exists() {
        return Ok((
            false,
            false,
            compare::<diesel::sqlite::Sqlite>(&SQLITE, BTreeSet::new())?,
        ));
    }
    // Opened for writing and closed at once: the API will have to.
    OpenOptions::new()
        .append(true)
        .open(path)
        .map_err(|reason| error(&reason))?;
    let name = path.to_str().ok_or_else(|| error(&"the path is not UTF-8"))?;
    // https://www.sqlite.org/uri.html: `?`, `#` and `%` mean something else.
    let escaped = name.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    // Nobody has it open where no log lies beside it; to read it with locks then would leave a log behind.
    let is_at_rest = !Path::new(&format!("{name}-wal")).exists();
    let options = if is_at_rest { "mode=ro&immutable=1" } else { "mode=ro" };
    let mut connection =
        SqliteConnection::establish(&format!("file:{escaped}?{options}")).map_err(|reason| error(&reason))?;
    let table = diesel::sql_query(
        "SELECT name AS version FROM sqlite_master WHERE type = 'table' AND name = '__diesel_schema_migrations'",
    )
    .get_result::<Applied>(&mut connection)
    .optional()
    .map_err(|reason| error(&reason))?;
    let applied = match table {
        Some(_) => diesel::sql_query("SELECT version FROM __diesel_schema_migrations").load(&mut connection)?,
        None => Vec::new(),
    };
    let is_python = applied.is_empty() && legacy::is_python_database(&mut connection)?;
    Ok((
        true,
        is_python,
        compare::<diesel::sqlite::Sqlite>(&SQLITE, versions(applied))?,
    ))
}

/// Where links lead, also when nothing is there yet: SQLite makes that file, and keeps its own beside it.
pub(in crate::db) fn behind_links(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        let Ok(target) = path.read_link() else { return Ok(path) };
        path = path.parent().unwrap_or(Path::new("/")).join(target);
    }
    Err(io::Error::other("it is a link that leads in a circle"))
}

fn postgres(url: &str, shown: &str, settings: &DatabaseSettings) -> Result<(Vec<Migration>, Option<String>), DbError> {
    let mut connection = postgres::connect_once(url, shown, settings)?;
    let table = diesel::sql_query(
        "SELECT c.relname::text AS version FROM pg_class c \
         WHERE c.oid = to_regclass('__diesel_schema_migrations')",
    )
    .get_result::<Applied>(&mut connection)
    .optional()?;
    let applied = match table {
        Some(_) => diesel::sql_query("SELECT version::text AS version FROM __diesel_schema_migrations")
            .load(&mut connection)?,
        None => Vec::new(),
    };
    let obstacle = obstacle(&mut connection)?;
    Ok((compare::<diesel::pg::Pg>(&POSTGRES, versions(applied))?, obstacle))
}

/// What keeps the user of `connection` from writing: the server, or rights that are missing.
fn obstacle(connection: &mut PgConnection) -> Result<Option<String>, DbError> {
    let read_only =
        diesel::sql_query("SELECT current_setting('transaction_read_only') AS text").get_result::<Line>(connection)?;
    if read_only.text == "on" {
        return Ok(Some(
            "its transactions are read-only (default_transaction_read_only, or a standby)".to_owned(),
        ));
    }
    let closed = diesel::sql_query(
        "SELECT c.relname::text AS text FROM pg_class c \
         WHERE c.relkind = 'r' AND pg_table_is_visible(c.oid) \
         AND c.relname IN ('users', 'blog_posts', 'post_counts', 'idempotency_keys', 'name_tokens') \
         AND NOT (has_table_privilege(c.oid, 'SELECT') AND has_table_privilege(c.oid, 'INSERT') \
                  AND has_table_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE')) \
         ORDER BY 1",
    )
    .load::<Line>(connection)?;
    let closed: Vec<_> = closed.into_iter().map(|row| row.text).collect();
    Ok((!closed.is_empty()).then(|| format!("its user may not read and write all of {}", closed.join(", "))))
}

fn versions(applied: Vec<Applied>) -> BTreeSet<String> {
    applied.into_iter().map(|row| row.version).collect()
}
