//! `blogctl db`: checks, backs up and restores the database, and copies it to another one.

mod backup;
mod check;
mod copy;
mod restore;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::{error_report::WithHint as _, settings::SettingsArguments};
use crate::{
    config::{DatabaseSettings, Role},
    db::migrate,
};

/// Check, back up, restore and copy the database
///
/// Each command works on the database of the setting database.url; copy can name another one.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  blogctl db check                           counters, search index, references, ids
  blogctl db backup /backup/blog.db          while the API runs
  blogctl db backup --verify /backup/blog.db
  blogctl db restore /backup/blog.db --set database.url=restored.db
  blogctl db copy --to postgres://blog@db.example/blog    from SQLite to PostgreSQL")]
pub struct DbCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Check(check::Arguments),
    Backup(backup::Arguments),
    Restore(restore::Arguments),
    Copy(copy::Arguments),
}

/// Runs a subcommand.
///
/// # Errors
/// If settings are invalid, the user does not confirm, or the database or a file fails.
pub fn run(command: &DbCommand, settings: &SettingsArguments) -> anyhow::Result<ExitCode> {
    let load = || settings.load(Role::Any, Vec::new()).map(|settings| settings.database);
    match &command.action {
        Action::Check(arguments) => check::run(arguments, &load()?),
        Action::Backup(arguments) => backup::run(arguments, &load()?),
        Action::Restore(arguments) => restore::run(arguments, &load()?),
        // Has other settings for each of its two databases.
        Action::Copy(arguments) => copy::run(arguments, settings),
    }
}

/// Fails if the database does not exist, which opening it would create.
///
/// # Errors
/// Also when the database cannot be read, or a newer blogctl has migrated it.
fn require_existing(settings: &DatabaseSettings) -> anyhow::Result<migrate::Inspection> {
    let found = migrate::inspect(settings)?;
    if !found.exists {
        return Err(anyhow::anyhow!("the database {} does not exist", found.url))
            .hint("see blogctl config for the value of database.url (DATABASE_URL)");
    }
    if found.is_python {
        return Err(anyhow::anyhow!("{} is a database of the Python system", found.url))
            .hint(crate::db::legacy::HOW_TO_IMPORT);
    }
    Ok(found)
}
