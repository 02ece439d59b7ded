//! What a run of the migrations would do.

use super::{
    Migration, State, inspect,
    preflight::Inspection,
    scripts::{self, Dialect},
};
use crate::{
    config::DatabaseSettings,
    db::{DatabaseUrl, DbError},
};

/// Whether a migration is applied or reverted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Direction {
    /// Applied.
    Up,
    /// Reverted, which deletes its data.
    Down,
}

/// One migration of a run.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Step {
    /// Its version.
    pub version: String,
    /// The version and a short description.
    pub name: String,
    /// Whether it is applied or reverted.
    pub direction: Direction,
    /// The file with its SQL, in the repository.
    pub file: String,
    /// SHA-256 of that file.
    pub sha256: String,
    /// Locks and duration on a large database.
    pub cost: String,
}

/// The steps of a run, in order.
#[derive(Debug)]
pub struct Plan {
    /// The database, as it is.
    pub inspection: Inspection,
    /// What would run.
    pub steps: Vec<Step>,
}

impl Step {
    pub(super) fn into_migration(self) -> Migration {
        Migration {
            version: self.version,
            name: self.name,
            applied: self.direction == Direction::Up,
        }
    }
}

/// What a run up to this version would do; `None` is the newest version. Only reads. Blocks.
///
/// # Errors
/// When the database cannot be read, the version is unknown, an applied migration was edited since, or a newer blogctl has
/// migrated the database.
pub fn plan(settings: &DatabaseSettings, to: Option<&str>) -> Result<Plan, DbError> {
    let inspection = inspect(settings)?;
    let dialect = match inspection.url {
        DatabaseUrl::Sqlite(_) => Dialect::Sqlite,
        DatabaseUrl::Postgres { .. } => Dialect::Postgres,
    };
    let state = State {
        known: inspection.migrations.clone(),
        newer: inspection.newer.clone(),
    };
    let steps = steps(&state, to, dialect)?;
    Ok(Plan { inspection, steps })
}

/// Pending migrations up to `to`, or the applied ones after it, the newest first.
pub(super) fn steps(state: &State, to: Option<&str>, dialect: Dialect) -> Result<Vec<Step>, DbError> {
    if let Some(version) = to
        && !super::is_known(version)
    {
        return Err(DbError::UnknownVersion {
            version: version.to_owned(),
        });
    }
    let is_wanted = |migration: &&Migration| to.is_none_or(|to| migration.version.as_str() <= to);
    let up = state
        .known
        .iter()
        .filter(is_wanted)
        .filter(|migration| !migration.applied)
        .filter_map(|migration| step(migration, Direction::Up, dialect));
    let down: Vec<_> = state
        .known
        .iter()
        .rev()
        .filter(|migration| !is_wanted(migration) && migration.applied)
        .filter_map(|migration| step(migration, Direction::Down, dialect))
        .collect();
    if !down.is_empty() {
        reject_newer(state)?;
    }
    Ok(down.into_iter().chain(up).collect())
}

/// The reversal of the newest applied migration.
pub(super) fn newest(state: &State, dialect: Dialect) -> Result<Option<Step>, DbError> {
    reject_newer(state)?;
    let newest = state.known.iter().rfind(|migration| migration.applied);
    Ok(newest.and_then(|migration| step(migration, Direction::Down, dialect)))
}

/// A newer migration may depend on those that would be reverted.
fn reject_newer(state: &State) -> Result<(), DbError> {
    match &state.newer {
        Some(version) => Err(DbError::NewerSchema {
            version: version.clone(),
        }),
        None => Ok(()),
    }
}

fn step(migration: &Migration, direction: Direction, dialect: Dialect) -> Option<Step> {
    let script = scripts::of_version(&migration.version)?;
    let (file, sha256, cost) = match direction {
        Direction::Up => ("up", script.checksum(dialect), script.cost(dialect)),
        Direction::Down => (
            "down",
            script.checksum_of_down(dialect),
            "deletes the data of its tables and columns; stop all replicas first",
        ),
    };
    Some(Step {
        version: migration.version.clone(),
        name: migration.name.clone(),
        direction,
        file: format!("{}/{}/{file}.sql", dialect.folder(), script.name),
        sha256,
        cost: cost.to_owned(),
    })
}
