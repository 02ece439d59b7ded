//! `blogctl migrate`

mod import;

use std::{
    io::{IsTerminal as _, Write},
    time::Duration,
};

use anyhow::anyhow;
use clap::{Args, Subcommand, value_parser};
use indicatif::ProgressBar;

use super::{confirm, error_report::WithHint as _, settings::SettingsArguments};
use crate::{
    config::{DatabaseSettings, Role},
    db::{
        Database,
        legacy::HOW_TO_IMPORT,
        migrate::{self, Direction, Inspection, Migration, Plan, Step, Target},
    },
};

/// Migrate the database schema, and import posts from the Python system
///
/// On SQLite, serve-api applies migrations when it starts. For PostgreSQL, run this before you start a new version.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  blogctl migrate status
  blogctl migrate plan
  blogctl migrate run --set database.url=postgres://blog@db.example/blog
  blogctl migrate import old-blog.db")]
pub struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Apply all pending migrations, or none if one fails
    Run {
        /// Stop after this version, such as 0004; newer migrations are reverted, and the data in their tables and columns is
        /// lost
        #[arg(long, value_name = "VERSION")]
        to: Option<String>,
        /// On PostgreSQL, how long to try if other transactions hold a lock. One attempt waits for 3 seconds, so that requests
        /// do not wait longer behind it
        #[arg(long, value_name = "SECONDS", default_value_t = 300, value_parser = value_parser!(u64).range(0..=86_400))]
        lock_wait_seconds: u64,
        /// Do not ask for confirmation before migrations are reverted
        #[arg(long)]
        yes: bool,
    },
    /// Show what would run, with file, checksum, locks and duration; changes nothing
    Plan {
        /// The version after which "migrate run" would stop
        #[arg(long, value_name = "VERSION")]
        to: Option<String>,
        /// Print JSON: {database, steps: [{version, name, direction, file, sha256, cost}]}
        #[arg(long)]
        json: bool,
    },
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
        Action::Run {
            to,
            lock_wait_seconds,
            yes,
        } => {
            let target = Target {
                to: to.clone(),
                lock_wait: Duration::from_secs(*lock_wait_seconds),
            };
            apply(&settings.database, &target, *yes)?
        }
        Action::Plan { to, json } => show_plan(&migrate::plan(&settings.database, to.as_deref())?, *json)?,
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

fn apply(settings: &DatabaseSettings, target: &Target, yes: bool) -> anyhow::Result<Vec<String>> {
    if target.to.is_some() {
        let Plan { inspection, steps } = migrate::plan(settings, target.to.as_deref())?;
        let lost: Vec<&str> = steps
            .iter()
            .filter(|step| step.direction == Direction::Down)
            .map(|step| step.name.as_str())
            .collect();
        if !lost.is_empty() {
            let question = format!("revert {} of {}, and lose its data?", lost.join(", "), inspection.url);
            confirm::destruction(&question, yes)?;
        }
    }
    let database = Database::open(settings)?;
    let progress = spinner();
    let done = migrate::run_to(&database, target, |step| progress.set_message(step.name.clone()));
    progress.finish_and_clear();
    let mut lines: Vec<String> = done?
        .iter()
        .map(|migration| {
            let verb = if migration.applied { "applied" } else { "reverted" };
            format!("{verb} {}", migration.name)
        })
        .collect();
    lines.push(match &target.to {
        Some(version) => format!("{} has schema version {version}", database.url()),
        None => format!("{} is up to date", database.url()),
    });
    Ok(lines)
}

fn show_plan(plan: &Plan, json: bool) -> anyhow::Result<Vec<String>> {
    let url = plan.inspection.url.to_string();
    if json {
        let plan = serde_json::json!({ "database": url, "steps": plan.steps });
        return Ok(vec![serde_json::to_string_pretty(&plan)?]);
    }
    let mut lines = vec![url];
    for step in &plan.steps {
        let Step {
            name,
            direction,
            file,
            sha256,
            cost,
            ..
        } = step;
        let verb = match direction {
            Direction::Up => "apply",
            Direction::Down => "revert",
        };
        lines.push(format!("  {verb} {name}"));
        lines.push(format!("    {cost}"));
        lines.push(format!("    {file}  SHA-256 {sha256}"));
    }
    if plan.steps.is_empty() {
        lines.push("  nothing to do".to_owned());
    }
    Ok(lines)
}

/// Shows the current migration on a terminal, otherwise nothing.
fn spinner() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let spinner = ProgressBar::new_spinner();
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
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
    if let Some(version) = &found.newer {
        lines.push(format!(
            "  applied  {version} of a newer release, which this one works with"
        ));
    }
    if found.is_python {
        lines.push(format!("  this is a database of the Python system: {HOW_TO_IMPORT}"));
    } else if migrations.iter().any(|migration| !migration.applied) {
        lines.push("apply pending migrations with blogctl migrate run".to_owned());
    }
    Ok(lines)
}
