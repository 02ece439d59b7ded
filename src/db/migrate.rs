//! Schema migrations, embedded in the binary, with the same versions for both databases.
//!
//! A run is one transaction under a lock: two processes that start at the same time do not conflict, and a migration
//! that fails leaves the database unchanged. On PostgreSQL a run gives up a lock that it waits for, and tries again: while it
//! waits, all later requests wait behind it.

mod plan;
mod preflight;
mod record;
mod scripts;

use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use backon::{BlockingRetryable as _, ConstantBuilder};
use diesel::{
    backend::Backend,
    connection::SimpleConnection as _,
    migration::{Migration as _, MigrationSource},
    sql_types::BigInt,
};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use self::scripts::{Dialect, Script};
use super::{Connection, Database, DbError, failure, legacy};

pub(super) use self::preflight::is_current;
pub use self::{
    plan::{Direction, Plan, Step, plan},
    preflight::{Inspection, inspect},
};

const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// The key of the advisory lock on PostgreSQL: the bytes of "blogctl" and a zero.
const ADVISORY_LOCK: i64 = i64::from_be_bytes(*b"blogctl\0");
/// How long one attempt waits for a lock on a table, while requests wait behind it.
const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '3s'";
/// The pause between two attempts, in which the requests that waited are served; up to twice as long.
const PAUSE: Duration = Duration::from_secs(2);
/// How long a run tries, unless the caller says otherwise.
const DEFAULT_LOCK_WAIT: Duration = Duration::from_mins(1);

/// A migration that this binary knows.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Migration {
    /// Sorts in the order in which migrations are applied.
    pub version: String,
    /// The version and a short description.
    pub name: String,
    /// Whether the migration is applied.
    pub applied: bool,
}

/// What a run does.
#[derive(Debug, Clone)]
pub struct Target {
    /// The version after which it stops; `None` for the newest. Newer ones that are applied are reverted.
    pub to: Option<String>,
    /// How long it tries to get a lock that other transactions hold.
    pub lock_wait: Duration,
}

impl Default for Target {
    fn default() -> Self {
        Self {
            to: None,
            lock_wait: DEFAULT_LOCK_WAIT,
        }
    }
}

/// What a database has of the migrations.
#[derive(Debug)]
struct State {
    known: Vec<Migration>,
    /// The newest version that this binary does not know but works with.
    newer: Option<String>,
}

impl State {
    /// Nothing is applied.
    fn of_new_database() -> Self {
        let known = scripts::SCRIPTS.iter().map(|script| Migration {
            version: script.version().to_owned(),
            name: script.name.to_owned(),
            applied: false,
        });
        Self {
            known: known.collect(),
            newer: None,
        }
    }
}

/// Applies all pending migrations or none, and returns them. Blocks.
///
/// # Errors
/// As [`run_to`].
pub fn run(database: &Database) -> Result<Vec<Migration>, DbError> {
    run_to(database, &Target::default(), |_| ())
}

/// Applies pending migrations up to a version and reverts newer ones, all or none, and returns them. `progress` is called
/// before each, and again after a lock was not granted. Blocks.
///
/// # Errors
/// When one fails, no lock was granted in time, an applied migration was edited since, the version is unknown, or a newer
/// blogctl has migrated the database.
pub fn run_to(
    database: &Database,
    target: &Target,
    mut progress: impl FnMut(&Step),
) -> Result<Vec<Migration>, DbError> {
    let begun = Instant::now();
    let mut connection = database.connect()?;
    let attempt = || {
        connection.transaction(|connection| {
            lock(connection)?;
            let state = known_and_applied(connection)?;
            reject_python_database(database, connection, &state.known)?;
            let dialect = dialect(connection);
            let steps = plan::steps(&state, target.to.as_deref(), dialect)?;
            for step in &steps {
                progress(step);
                run_step(connection, step)?;
            }
            // Also those that an older release has applied.
            record::add(connection, dialect, applied_after(&state.known, &steps))?;
            Ok(steps)
        })
    };
    let steps = attempt
        .retry(
            ConstantBuilder::default()
                .with_delay(PAUSE)
                .with_jitter()
                .with_max_times(usize::MAX),
        )
        .when(|error| is_lock_timeout(error) && begun.elapsed() < target.lock_wait)
        .notify(|_, _| log::warn!("a migration waits for a lock that other transactions hold; it tries again"))
        .call()
        .map_err(|error| match error {
            error if is_lock_timeout(&error) => DbError::MigrationBlocked {
                seconds: begun.elapsed().as_secs(),
            },
            error => error,
        })?;
    Ok(steps.into_iter().map(Step::into_migration).collect())
}

/// Reverts the newest migration, which deletes its data, and returns it; `None` when no migration is applied. Blocks.
///
/// # Errors
/// When it fails, or a newer blogctl has migrated the database.
pub fn revert(database: &Database) -> Result<Option<Migration>, DbError> {
    database.connect()?.transaction(|connection| {
        lock(connection)?;
        let state = known_and_applied(connection)?;
        let Some(step) = plan::newest(&state, dialect(connection))? else {
            return Ok(None);
        };
        run_step(connection, &step)?;
        Ok(Some(step.into_migration()))
    })
}

/// Every migration that this binary knows, in order. Blocks.
///
/// # Errors
/// When the database does not answer, an applied migration was edited since, or a newer blogctl has migrated the database.
pub fn status(database: &Database) -> Result<Vec<Migration>, DbError> {
    database.connect()?.transaction(|connection| {
        lock(connection)?;
        let state = known_and_applied(connection)?;
        if let Some(version) = state.newer {
            log::warn!(
                "the database has schema version {version} of a newer release; this one works with it until all replicas are \
                 updated"
            );
        }
        Ok(state.known)
    })
}

/// Whether this binary has a migration of this version.
pub(super) fn is_known(version: &str) -> bool {
    scripts::of_version(version).is_some()
}

/// Makes other processes wait until this transaction ends. On SQLite, the transaction does that itself.
fn lock(connection: &mut Connection<'_>) -> Result<(), DbError> {
    use diesel::RunQueryDsl;

    if let Connection::Postgres(c) = connection {
        // Without a time limit: another migrator may need minutes.
        diesel::sql_query("SELECT pg_advisory_xact_lock($1)")
            .bind::<BigInt, _>(ADVISORY_LOCK)
            .execute(&mut **c)?;
        c.batch_execute(LOCK_TIMEOUT)?;
    }
    Ok(())
}

/// The Python system's tables have the same names, so the first migration would fail with a misleading error.
fn reject_python_database(
    database: &Database,
    connection: &mut Connection<'_>,
    migrations: &[Migration],
) -> Result<(), DbError> {
    let Connection::Sqlite(c) = connection else {
        return Ok(());
    };
    if migrations.iter().all(|migration| !migration.applied) && legacy::is_python_database(c)? {
        return Err(DbError::PythonDatabase {
            path: database.url().to_string(),
        });
    }
    Ok(())
}

fn run_step(connection: &mut Connection<'_>, step: &Step) -> Result<(), DbError> {
    match connection {
        Connection::Sqlite(c) => run_embedded::<diesel::sqlite::Sqlite>(&SQLITE, &mut **c, step)?,
        Connection::Postgres(c) => run_embedded::<diesel::pg::Pg>(&POSTGRES, &mut **c, step)?,
    }
    match (step.direction, scripts::of_version(&step.version)) {
        (Direction::Down, Some(script)) => record::remove(connection, script),
        _ => Ok(()),
    }
}

fn run_embedded<DB: Backend>(
    source: &EmbeddedMigrations,
    connection: &mut impl MigrationHarness<DB>,
    step: &Step,
) -> Result<(), DbError>
where
    EmbeddedMigrations: MigrationSource<DB>,
{
    let migrations = MigrationSource::<DB>::migrations(source).map_err(DbError::Migration)?;
    let Some(migration) = migrations
        .iter()
        .find(|migration| migration.name().version().to_string() == step.version)
    else {
        return Ok(());
    };
    match step.direction {
        Direction::Up => connection.run_migration(migration).map(drop),
        Direction::Down => connection.revert_migration(migration).map(drop),
    }
    .map_err(DbError::Migration)
}

fn applied_after<'a>(known: &'a [Migration], steps: &'a [Step]) -> impl Iterator<Item = &'static Script> + 'a {
    let is_applied = |migration: &&Migration| {
        let step = steps.iter().find(|step| step.version == migration.version);
        step.map_or(migration.applied, |step| step.direction == Direction::Up)
    };
    known
        .iter()
        .filter(is_applied)
        .filter_map(|migration| scripts::of_version(&migration.version))
}

fn dialect(connection: &Connection<'_>) -> Dialect {
    match connection {
        Connection::Sqlite(_) => Dialect::Sqlite,
        Connection::Postgres(_) => Dialect::Postgres,
    }
}

fn known_and_applied(connection: &mut Connection<'_>) -> Result<State, DbError> {
    let applied = match connection {
        Connection::Sqlite(c) => c.applied_migrations(),
        Connection::Postgres(c) => c.applied_migrations(),
    };
    let applied = applied
        .map_err(DbError::Migration)?
        .iter()
        .map(ToString::to_string)
        .collect();
    compare(connection, applied)
}

/// Compares the applied versions with those of this binary, and their SQL with what was run.
fn compare(connection: &mut Connection<'_>, mut applied: BTreeSet<String>) -> Result<State, DbError> {
    let dialect = dialect(connection);
    let records = record::read(connection)?;
    let mut known = Vec::new();
    for script in scripts::SCRIPTS {
        let is_applied = applied.remove(script.version());
        let record = records.get(script.version()).filter(|_| is_applied);
        if record.is_some_and(|record| record.sha256 != script.checksum(dialect)) {
            return Err(DbError::EditedMigration { name: script.name });
        }
        known.push(Migration {
            version: script.version().to_owned(),
            name: script.name.to_owned(),
            applied: is_applied,
        });
    }
    let newest_known = known.last().map_or("", |migration| &migration.version);
    let works_with = |version: &&String| {
        records
            .get(*version)
            .is_some_and(|record| record.works_with.as_str() <= newest_known)
    };
    match applied.iter().rfind(|version| !works_with(version)) {
        Some(version) => Err(DbError::NewerSchema {
            version: version.clone(),
        }),
        None => Ok(State {
            newer: applied.pop_last(),
            known,
        }),
    }
}

fn is_lock_timeout(error: &DbError) -> bool {
    match error {
        DbError::Statement(error) => failure::is_lock_timeout(&error.to_string()),
        DbError::Migration(error) => failure::is_lock_timeout(&error.to_string()),
        _ => false,
    }
}
