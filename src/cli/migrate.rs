//! `blogctl migrate`

mod import;

use std::io::Write;

use anyhow::anyhow;
use clap::{Args, Subcommand};

use super::{confirm, error_report::WithHint as _, settings::SettingsArguments};
use crate::{
    config::Role,
    db::{
        Database,
        legacy::HOW_TO_IMPORT,
        migrate::{self, Inspection, Migration},
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
    let database = || Database::open(&settings.database);
    let lines = match &arguments.action {
        Action::Run => apply(&database()?)?,
        // Opening would make the file that nothing can be reverted in.
        Action::Revert { .. } if !migrate::inspect(&settings.database)?.exists => {
            return Err(anyhow!("there is no database yet, so there is nothing to revert"))
                .hint("blogctl config shows which one database.url (DATABASE_URL) names");
        }
        Action::Revert { yes } => revert(&database()?, *yes)?,
        // Only looked at: asking makes no file and no table.
        Action::Status { json } => status(&migrate::inspect(&settings.database)?, *json)?,
        Action::Import(arguments) => import::run(arguments, &settings, &database()?)?,
    };
    let mut out = anstream::stdout().lock();
    for line in lines {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

fn apply(database: &Database) -> anyhow::Result<Vec<String>> {
    let applied = migrate::run(database)?;
    let mut lines: Vec<String> = applied
        .iter()
        .map(|migration| format!("applied {}", migration.name))
        .collect();
    lines.push(format!("{} is up to date", database.url()));
    Ok(lines)
}

fn revert(database: &Database, yes: bool) -> anyhow::Result<Vec<String>> {
    let newest = migrate::status(database)?
        .into_iter()
        .rfind(|migration| migration.applied);
    let Some(newest) = newest else {
        return Ok(vec![format!("{} has no migration to revert", database.url())]);
    };
    confirm::destruction(
        &format!("revert {} of {}, and lose what it holds?", newest.name, database.url()),
        yes,
    )?;
    let reverted = migrate::revert(database)?;
    Ok(reverted
        .iter()
        .map(|migration| format!("reverted {}", migration.name))
        .collect())
}

fn status(found: &Inspection, json: bool) -> anyhow::Result<Vec<String>> {
    let migrations = &found.migrations;
    if json {
        return Ok(vec![serde_json::to_string_pretty(migrations)?]);
    }
    let line = |migration: &Migration| {
        let state = if migration.applied { "applied" } else { "pending" };
        format!("  {state}  {}", migration.name)
    };
    let mut lines = vec![found.url.to_string()];
    if !found.exists {
        lines.push("  there is no such file yet".to_owned());
    }
    lines.extend(migrations.iter().map(line));
    if found.is_python {
        lines.push(format!("  this is a database of the Python system: {HOW_TO_IMPORT}"));
    } else if migrations.iter().any(|migration| !migration.applied) {
        lines.push("apply what is pending with blogctl migrate run".to_owned());
    }
    Ok(lines)
}
