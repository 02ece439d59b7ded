//! `blogctl seed`

use std::{
    io::{self, IsTerminal, Write},
    time::Instant,
};

use clap::{Args, value_parser};
use indicatif::{ProgressBar, ProgressStyle};
use uuid::Uuid;

use super::{confirm, dev, error_report::WithHint as _, settings::SettingsArguments};
use crate::{
    blog::sample::{self, DEFAULT_SEED, Sample},
    config::{DEV_TENANT_ID, Environment, Role, Settings},
    db::{Database, DatabaseUrl},
};

/// Add sample users and posts to the database
///
/// The same --seed creates the same rows, including times and object IDs. If its users exist already, they write more posts.
/// The users belong to the tenant of the setting entra.tenant_id, or to that of the Entra ID emulator if it is not set.
///
/// Asks first if the setting server.environment is production, which is the default, unless the database is that of blogctl
/// dev.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  blogctl seed
  blogctl seed --set database.url=.blogctl/blog.db    the database of blogctl dev, without a question
  blogctl seed --users 5 --count 50
  blogctl seed --clear --yes --count 100000    replace everything in the database
  blogctl seed --seed 7                        other posts
  blogctl seed --set database.url=sqlite:///./other.db")]
pub struct Arguments {
    /// Number of users who write, 1 to 10000
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = value_parser!(u32).range(1..=10_000))]
    users: u32,
    /// Number of posts to add, 0 to 10000000
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = value_parser!(u64).range(0..=10_000_000))]
    count: u64,
    /// Seed of the generator; another seed creates other users and posts
    #[arg(long, value_name = "N", default_value_t = DEFAULT_SEED)]
    seed: u64,
    /// Delete all posts and users first, after confirmation
    #[arg(long)]
    clear: bool,
    /// Do not ask for confirmation
    #[arg(long)]
    yes: bool,
}

/// Adds the sample data, and prints a summary.
///
/// # Errors
/// If settings are invalid, the user does not confirm, or the database fails.
pub fn run(arguments: &Arguments, settings: &SettingsArguments) -> anyhow::Result<()> {
    let settings = settings.load(Role::Any, Vec::new())?;
    let url = DatabaseUrl::parse(&settings.database.url)?;
    if arguments.clear {
        confirm::destruction(&format!("delete all posts and users in {url}?"), arguments.yes)?;
    } else if settings.server.environment == Environment::Production && !is_of_dev(&url) {
        let question = format!("add sample posts to {url}? server.environment is production, so users may see them;");
        confirm::change(
            &question,
            arguments.yes,
            "confirm it with --yes, or set server.environment to development",
        )?;
    }
    let database = open(&settings)?;
    let begun = Instant::now();
    let cleared = if arguments.clear {
        Some(sample::clear(&database)?)
    } else {
        None
    };
    let sample = Sample {
        tid: tenant(&settings)?,
        users: sample::users(usize::try_from(arguments.users)?, arguments.seed),
        posts: arguments.count,
        seed: arguments.seed,
    };
    let progress = progress(arguments.count);
    sample::fill(&database, &sample, |added| progress.inc(added))?;
    progress.finish_and_clear();
    let seconds = begun.elapsed().as_secs_f64();

    let begun = Instant::now();
    let progress = self::progress(arguments.count);
    database.connect()?.index_for_search(|indexed| progress.inc(indexed))?;
    progress.finish_and_clear();
    let index_seconds = begun.elapsed().as_secs_f64();
    let mut out = anstream::stdout().lock();
    writeln!(out, "Sample data in {}", database.url())?;
    if let Some((posts, users)) = cleared {
        writeln!(out, "  deleted  {posts} posts, {users} users")?;
    }
    writeln!(out, "  users    {}\n  posts    {}", arguments.users, arguments.count)?;
    writeln!(out, "  seed     {}\n  time     {seconds:.2} s", arguments.seed)?;
    writeln!(out, "  index    {index_seconds:.2} s for full-text search")?;
    Ok(())
}

/// Whether `blogctl dev` created the database, in any folder: it is not a production database.
fn is_of_dev(url: &DatabaseUrl) -> bool {
    matches!(url, DatabaseUrl::Sqlite(path) if dev::is_database(path))
}

/// Opens the database. Migrations of an SQLite file are applied here; those of PostgreSQL are left to the operator.
fn open(settings: &Settings) -> anyhow::Result<Database> {
    let database = Database::open(&settings.database)?;
    if matches!(database.url(), DatabaseUrl::Sqlite(_)) {
        database.migrate()?;
    } else if database.has_pending_migrations()? {
        return Err(anyhow::anyhow!("the database {} lacks migrations", database.url()))
            .hint("run blogctl migrate run");
    }
    Ok(database)
}

fn tenant(settings: &Settings) -> anyhow::Result<Uuid> {
    let tenant_id = settings.entra.tenant_id.as_str();
    Ok(Uuid::try_parse(if tenant_id.is_empty() {
        DEV_TENANT_ID
    } else {
        tenant_id
    })?)
}

/// A progress bar on a terminal, otherwise nothing.
fn progress(posts: u64) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:40} {human_pos} of {human_len} posts, {eta} left");
    ProgressBar::new(posts).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}
