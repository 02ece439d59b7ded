//! `blogctl db check`

use std::{
    fmt::Write as _,
    io::{IsTerminal as _, Write as _},
    process::ExitCode,
};

use clap::Args;
use indicatif::ProgressBar;
use serde_json::json;

use super::require_existing;
use crate::{
    cli::{confirm, error_report::WithHint as _},
    config::DatabaseSettings,
    db::{
        Database,
        check::{self, Check, CheckOutcome, Depth},
    },
};

/// Find damage and contradictions in the data
///
/// Checks the pages of an SQLite file (on PostgreSQL, whether all indexes are valid), rows whose user is missing, the counter
/// of posts, the full-text index, and whether new rows continue after the highest ids: other tools that copy rows into
/// PostgreSQL often leave the numbering behind, so that creating a post fails.
///
/// Only reads, and no write waits for it, so the API may run meanwhile. Memory is small at any size. With --repair, it
/// corrects counter, full-text index and numbering, which follow from other data; other writes wait meanwhile.
#[derive(Debug, Args)]
#[expect(clippy::struct_excessive_bools, reason = "flags of the command line")]
#[command(after_long_help = "\
Exit codes: 0 nothing was found, or all of it is repaired; 1 something was found; 2 invalid arguments or settings.

Examples:
  blogctl db check
  blogctl db check --full --json
  blogctl db check --repair --yes")]
pub struct Arguments {
    /// Compare SQLite's indexes with the tables, too, which takes several times as long
    #[arg(long)]
    full: bool,
    /// Correct counter, full-text index and numbering, after confirmation
    #[arg(long)]
    repair: bool,
    /// Do not ask for confirmation
    #[arg(long, requires = "repair")]
    yes: bool,
    /// Print JSON: {database, ok, checks: [{check, ok, found, repairable, repaired}]}
    #[arg(long)]
    json: bool,
}

/// A check, and whether it was repaired.
struct Line {
    outcome: CheckOutcome,
    is_repaired: bool,
}

/// Checks, repairs if wanted, and prints the results.
///
/// # Errors
/// If the database cannot be read or lacks migrations, or the user does not confirm a repair.
pub fn run(arguments: &Arguments, settings: &DatabaseSettings) -> anyhow::Result<ExitCode> {
    let found = require_existing(settings)?;
    if found.migrations.iter().any(|migration| !migration.applied) {
        return Err(anyhow::anyhow!("the database {} lacks migrations", found.url)).hint("run blogctl migrate run");
    }
    let database = Database::open(settings)?;
    let depth = if arguments.full { Depth::Full } else { Depth::Quick };
    let progress = spinner();
    let mut connection = database.connect()?;
    let mut lines = Vec::new();
    for check in Check::ALL {
        progress.set_message(check.name());
        let is_damaged = lines.first().is_some_and(|first: &Line| !first.outcome.is_ok);
        let outcome = match check.run(&mut connection, depth) {
            Ok(outcome) => outcome,
            // Damaged pages, which the first check has reported.
            Err(reason) if is_damaged => CheckOutcome {
                check,
                is_ok: false,
                found: reason.to_string(),
                is_repairable: false,
            },
            Err(reason) => return Err(reason.into()),
        };
        lines.push(Line {
            outcome,
            is_repaired: false,
        });
    }
    progress.finish_and_clear();

    let repairable: Vec<&str> = lines
        .iter()
        .filter(|line| line.outcome.is_repairable)
        .map(|line| line.outcome.check.name())
        .collect();
    if arguments.repair && !repairable.is_empty() {
        let question = format!("repair {} of {}?", repairable.join(", "), database.url());
        confirm::change(&question, arguments.yes, "confirm it with --yes")?;
        let progress = spinner();
        for line in lines.iter_mut().filter(|line| line.outcome.is_repairable) {
            progress.set_message(line.outcome.check.name());
            check::repair(&mut connection, line.outcome.check, |_| ())?;
            line.outcome = line.outcome.check.run(&mut connection, depth)?;
            line.is_repaired = line.outcome.is_ok;
        }
        progress.finish_and_clear();
    }

    let is_ok = lines.iter().all(|line| line.outcome.is_ok);
    let text = if arguments.json {
        as_json(&lines, &database.url().to_string(), is_ok)?
    } else {
        as_text(&lines, &database.url().to_string())
    };
    anstream::stdout().lock().write_all(text.as_bytes())?;
    Ok(if is_ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn as_text(lines: &[Line], database: &str) -> String {
    let mut text = format!("{database}\n");
    for Line { outcome, is_repaired } in lines {
        let state = match (outcome.is_ok, is_repaired) {
            (true, true) => "repaired",
            (true, false) => "ok",
            (false, _) => "failed",
        };
        let _ = writeln!(text, "  {state:<8}  {:<10}  {}", outcome.check.name(), outcome.found);
    }
    let failed = || lines.iter().filter(|line| !line.outcome.is_ok);
    if failed().any(|line| line.outcome.is_repairable) {
        text += "repair counters, search and numbering with blogctl db check --repair\n";
    }
    if failed().any(|line| !line.outcome.is_repairable) {
        text += "what --repair cannot correct: restore a backup, or correct the rows by hand\n";
    }
    text
}

fn as_json(lines: &[Line], database: &str, is_ok: bool) -> anyhow::Result<String> {
    let checks: Vec<_> = lines
        .iter()
        .map(|Line { outcome, is_repaired }| {
            json!({
                "check": outcome.check.name(),
                "ok": outcome.is_ok,
                "found": outcome.found,
                "repairable": outcome.is_repairable,
                "repaired": is_repaired,
            })
        })
        .collect();
    let report = json!({ "database": database, "ok": is_ok, "checks": checks });
    Ok(serde_json::to_string_pretty(&report)? + "\n")
}

/// Shows the current check on a terminal, otherwise nothing.
fn spinner() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let spinner = ProgressBar::new_spinner();
    spinner.enable_steady_tick(std::time::Duration::from_millis(100));
    spinner
}
