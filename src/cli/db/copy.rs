//! `blogctl db copy`

use std::{
    io::{IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
    time::Instant,
};

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};

use crate::{
    cli::{
        confirm,
        error_report::{WithHint as _, WrongUsage},
        logging,
        settings::{SettingsArguments, flag},
    },
    config::{DatabaseAddress, DatabaseSettings, Role, Settings},
    db::{
        Database,
        copy::{self, Report, Step, Unfinished},
    },
};

/// Copy users and posts to another database, with their ids
///
/// Copies between SQLite and PostgreSQL in both directions. The source is read in one snapshot, so other programs may write to
/// it; what they write after the beginning is not copied. The target gets every migration, must have no users and no posts, and
/// must not be in use. Ids and times stay the same, and new rows continue after them. At the end, both sides are compared by
/// the number of rows and a SHA-256 of all columns.
///
/// An interrupted copy continues when you run the same command again; --restart deletes it and begins again.
///
/// A URL must contain no password, because every user of the machine can read the arguments of a running command: use
/// --from-password-file and --to-password-file, or PGPASSWORD or ~/.pgpass. The database of the settings, which is used without
/// --from or --to, gets its password as the API does, such as a token with database.azure.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  blogctl db copy --to postgres://blog@db.example/blog --to-password-file /run/secrets/postgres
  blogctl db copy --from postgres://blog@db.example/blog --to copy.db
  blogctl db copy --from old.db --to new.db")]
pub struct Arguments {
    /// The source [default: the setting database.url]
    #[arg(long, value_name = "URL", required_unless_present = "to")]
    from: Option<String>,
    /// The target [default: the setting database.url]
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    /// File with the password of the source
    #[arg(long, value_name = "FILE", requires = "from")]
    from_password_file: Option<PathBuf>,
    /// File with the password of the target
    #[arg(long, value_name = "FILE", requires = "to")]
    to_password_file: Option<PathBuf>,
    /// Delete an unfinished copy in the target, and begin again
    #[arg(long)]
    restart: bool,
    /// Do not ask for confirmation
    #[arg(long, requires = "restart")]
    yes: bool,
}

/// Copies, and prints what was copied.
///
/// # Errors
/// If a URL is invalid, the target is not empty, a database fails, or both sides differ at the end.
pub fn run(arguments: &Arguments, settings: &SettingsArguments) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    let load = |name, url: Option<&String>, password_file: Option<&PathBuf>| match url {
        Some(url) => side(settings, name, url, password_file),
        None => Ok(settings.load(Role::Any, Vec::new())?.database),
    };
    let to = load("--to", arguments.to.as_ref(), arguments.to_password_file.as_ref())?;
    let from = load("--from", arguments.from.as_ref(), arguments.from_password_file.as_ref())?;
    super::require_existing(&from)?;
    let unfinished = if arguments.restart {
        let target = crate::db::DatabaseUrl::parse(&to.url)?;
        confirm::destruction(&format!("delete the unfinished copy in {target}?"), arguments.yes)?;
        Unfinished::Restart
    } else {
        Unfinished::Continue
    };
    let (from, to) = (Database::open(&from)?, Database::open(&to)?);
    let bar = progress();
    let outcome = copy::run(&from, &to, unfinished, |step| match step {
        // Each row is copied and then compared.
        Step::Begin(rows) => bar.set_length(rows * 2),
        Step::Copied(rows) | Step::Compared(rows) => bar.inc(rows),
        Step::Indexed(_) => bar.set_message("indexing posts for the full-text search"),
    });
    bar.finish_and_clear();
    let Report {
        tables,
        continued_after,
    } = outcome?;
    let mut out = anstream::stdout().lock();
    writeln!(out, "Copied {} to {}", from.url(), to.url())?;
    for table in tables {
        writeln!(
            out,
            "  {:<16}  {:>9} rows  SHA-256 {}",
            table.table, table.rows, table.sha256
        )?;
    }
    if continued_after > 0 {
        writeln!(out, "  {continued_after} rows were there from an interrupted copy")?;
    }
    writeln!(out, "  time {:.2} s", begun.elapsed().as_secs_f64())?;
    Ok(ExitCode::SUCCESS)
}

/// The settings of the database with another URL and password. All other settings of the section stay.
fn side(
    settings: &SettingsArguments,
    name: &str,
    url: &str,
    password_file: Option<&PathBuf>,
) -> anyhow::Result<DatabaseSettings> {
    if let Ok(DatabaseAddress::Postgres { has_password: true, .. }) = DatabaseAddress::parse(url) {
        return Err(WrongUsage(format!(
            "the URL of {name} contains a password, which every user of this machine can read"
        )))
        .hint(format!(
            "remove it, and name a file with {name}-password-file, or set PGPASSWORD"
        ));
    }
    let password_file = password_file.map(|path| path.display().to_string()).unwrap_or_default();
    let flags = [
        flag(name, "database.url", Some(url)),
        // The passwords of the settings are for another server.
        flag(name, "database.password_command", Some("")),
        flag(name, "database.azure", Some(false)),
        flag(
            &format!("{name}-password-file"),
            "database.password_file",
            Some(password_file),
        ),
    ];
    let loaded = Settings::load(&settings.sources(flags.into_iter().flatten().collect()), Role::Any)?;
    logging::start(&loaded.settings.log);
    Ok(loaded.settings.database)
}

/// A progress bar on a terminal, otherwise nothing.
fn progress() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {percent} % of copying and comparing, {eta} left {msg}");
    ProgressBar::new(0).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
