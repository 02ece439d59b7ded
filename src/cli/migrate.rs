//! `blogctl migrate`

mod import;

use std::io::Write;

use clap::{Args, Subcommand};

use super::{confirm, settings::SettingsArguments};
use crate::{
    config::Role,
    db::{
        Database,
        migrate::{self, Migration},
    },
};

/// Bring the database's schema up to date, and take over another system's posts
///
/// serve-api does so itself on SQLite when it starts; for PostgreSQL, run it before a new version serves.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  blogctl migrate status
  blogctl migrate run --set database.url=postgres://blog@db.example/blog
  blogctl migrate import old-blog.db")]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Apply pending migrations, all or none
    Run,
    /// Revert the newest migration, and lose what its tables and columns hold
    Revert {
        /// Do not ask
        #[arg(long)]
        yes: bool,
    },
    /// List the migrations, and which are applied
    Status {
        /// Print JSON: an array of {version, name, applied}
        #[arg(long)]
        json: bool,
    },
    Import(import::Arguments),
}

/// Does it, and prints what was done.
///
/// # Errors
/// When settings are wrong, reverting is not confirmed, or the database fails.
pub fn run(arguments: &Arguments, settings: &SettingsArguments) -> anyhow::Result<()> {
    let settings = settings.load(Role::Any, Vec::new())?;
    let database = Database::open(&settings.database)?;
    let text = match &arguments.action {
        Action::Run => ran(&migrate::run(&database)?, &database),
        Action::Revert { yes } => revert(&database, *yes)?,
        Action::Status { json: true } => serde_json::to_string_pretty(&migrate::status(&database)?)? + "\n",
        Action::Status { json: false } => listed(&migrate::status(&database)?, &database),
        Action::Import(arguments) => import::run(arguments, &settings, &database)?,
    };
    database.close();
    anstream::stdout().lock().write_all(text.as_bytes())?;
    Ok(())
}

fn ran(applied: &[Migration], database: &Database) -> String {
    let lines: String = applied.iter().map(|migration| format!("applied {}\n", migration.name)).collect();
    format!("{lines}{} is up to date\n", database.url())
}

fn revert(database: &Database, yes: bool) -> anyhow::Result<String> {
    let newest = migrate::status(database)?.into_iter().rfind(|migration| migration.applied);
    let Some(newest) = newest else { return Ok(format!("{} has no migration to revert\n", database.url())) };
    confirm::destruction(&format!("revert {} of {}, and lose what it holds?", newest.name, database.url()), yes)?;
    let reverted = migrate::revert(database)?.map_or(String::new(), |migration| migration.name);
    Ok(format!("reverted {reverted}\n"))
}

fn listed(migrations: &[Migration], database: &Database) -> String {
    let line = |migration: &Migration| {
        let state = if migration.applied { "applied" } else { "pending" };
        format!("  {state}  {}\n", migration.name)
    };
    let pending = migrations.iter().filter(|migration| !migration.applied).count();
    let lines: String = migrations.iter().map(line).collect();
    let advice = if pending == 0 { "" } else { "apply what is pending with blogctl migrate run\n" };
    format!("{}\n{lines}{advice}", database.url())
}
