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

/// Migrate the database schema, and import posts from the Python system
///
/// On SQLite, serve-api applies migrations when it starts. For PostgreSQL, run this before you start a new version.
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
    /// Apply all pending migrations, or none if one fails
    Run,
    /// Revert the newest migration, and lose the data in its tables and columns
    Revert {
        /// Do not ask for confirmation
        #[arg(long)]
        yes: bool,
    },
    /// List the migrations, and whether each is applied
    Status {
        /// Print JSON: an array of {version, name, applied}
        #[arg(long)]
        json: bool,
    },
    Import(import::Arguments),
}

/// Runs the subcommand, and prints what it did.
///
/// # Errors
/// If settings are invalid, the user does not confirm, or the database fails.
pub fn run(arguments: &Arguments, settings: &SettingsArguments) -> anyhow::Result<()> {
    let settings = settings.load(Role::Any, Vec::new())?;
    let database = || Database::open(&settings.database);
    let lines = match &arguments.action {
        Action::Run => apply(&database()?)?,
        // Opening the database would create an empty file.
        Action::Revert { .. } if !migrate::inspect(&settings.database)?.exists => {
            return Err(anyhow!(
                "the database does not exist yet, so there is nothing to revert"
            ))
            .hint("see blogctl config for the value of database.url (DATABASE_URL)");
        }
        Action::Revert { yes } => revert(&database()?, *yes)?,
        // Inspects the database without creating a file or a table.
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
        &format!("revert {} of {}, and lose its data?", newest.name, database.url()),
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
        lines.push("  the file does not exist yet".to_owned());
    }
    lines.extend(migrations.iter().map(line));
    if found.is_python {
        lines.push(format!("  this is a database of the Python system: {HOW_TO_IMPORT}"));
    } else if migrations.iter().any(|migration| !migration.applied) {
        lines.push("apply pending migrations with blogctl migrate run".to_owned());
    }
    Ok(lines)
}
