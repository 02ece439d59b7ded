//! `blogctl migrate import`

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use crate::{
    blog::import::{self, Import, ImportError, InvalidRow, InvalidRows, Report, Source},
    cli::error_report::{WithHint as _, WrongUsage},
    config::Settings,
    db::Database,
    guid,
};

/// Most invalid rows in the list; further ones are only counted.
const LISTED: usize = 50;

/// Import users and posts from the Python system: its SQLite file, or exports of its tables
///
/// Reads the tables users and blog_posts of FILE without changing it. If the Python system used another database, export both
/// tables as CSV with a line of column names, or as one JSON object per line (.json, .jsonl, .ndjson), and name them with --users
/// and --posts. The users belong to the tenant of the setting
/// entra.tenant_id. The import is one transaction. An empty database gets the IDs of the file. Otherwise rows get new IDs,
/// and existing rows are skipped (users by object ID, posts by author and creation time), so that a second run adds only
/// new rows; a post that was deleted here since then comes back. Invalid rows, such as a title of more than 200
/// characters, are listed, and nothing is imported unless --skip-invalid is set.
#[derive(Debug, Args)]
pub struct Arguments {
    /// SQLite file to import from
    #[arg(required_unless_present = "users", conflicts_with = "users")]
    file: Option<PathBuf>,
    /// Export of the table users: id, oid, display_name, created_at, updated_at
    #[arg(long, value_name = "FILE", requires = "posts")]
    users: Option<PathBuf>,
    /// Export of the table blog_posts: id, title, content, author_id, created_at, updated_at
    #[arg(long, value_name = "FILE", requires = "users")]
    posts: Option<PathBuf>,
    /// Import the valid rows even if others are invalid
    #[arg(long)]
    skip_invalid: bool,
}

/// Imports the file, and returns a summary in lines.
///
/// # Errors
/// If no tenant is set, rows are invalid and not to be skipped, or a database fails.
pub fn run(arguments: &Arguments, settings: &Settings, database: &Database) -> anyhow::Result<Vec<String>> {
    let tenant_id = settings.entra.tenant_id.as_str();
    if tenant_id.is_empty() {
        return Err(WrongUsage(
            "entra.tenant_id is not set, and the file does not name the tenant of the users".to_owned(),
        ))
        .hint("set it with --set entra.tenant_id=GUID");
    }
    let tid = guid::parse(tenant_id).context("entra.tenant_id is not a GUID")?;
    database.migrate()?;
    let invalid_rows = if arguments.skip_invalid {
        InvalidRows::Skip
    } else {
        InvalidRows::Reject
    };
    let source = match (&arguments.file, &arguments.users, &arguments.posts) {
        (Some(file), _, _) => Source::File(file),
        (None, Some(users), Some(posts)) => Source::Exports { users, posts },
        // The parser requires one or the other.
        (None, _, _) => return Err(WrongUsage("name a file to import from".to_owned()).into()),
    };
    let max_content_chars = settings.api.max_content_chars;
    match import::run(
        database,
        Import {
            source,
            tid,
            max_content_chars,
            invalid_rows,
        },
    ) {
        Ok(report) => {
            database.connect()?.index_for_search(|_| {})?;
            Ok(summary(&report, database))
        }
        Err(ImportError::InvalidRows { count, rows }) => Err(anyhow::anyhow!(
            "{count} rows are invalid, so nothing was imported:\n{}",
            listed(&rows, count).join("\n")
        ))
        .hint("correct them in the file, or import the others with --skip-invalid"),
        Err(error) => Err(error.into()),
    }
}

fn summary(report: &Report, database: &Database) -> Vec<String> {
    let Report {
        users_added,
        users_known,
        posts_added,
        posts_known,
        invalid_count,
        invalid,
        ids_kept,
    } = report;
    let mut lines = vec![
        format!("Imported into {}", database.url()),
        format!("  users    {users_added} added, {users_known} existed already"),
        format!("  posts    {posts_added} added, {posts_known} existed already"),
        format!("  ids      {}", if *ids_kept { "kept" } else { "new" }),
    ];
    if *invalid_count > 0 {
        lines.push(format!("  skipped  {invalid_count} invalid rows"));
        lines.extend(listed(invalid, *invalid_count));
    }
    lines
}

fn listed(rows: &[InvalidRow], count: u64) -> Vec<String> {
    let line = |InvalidRow { table, row, reason }: &InvalidRow| format!("    {table} {row}: {reason}");
    let mut lines: Vec<String> = rows.iter().take(LISTED).map(line).collect();
    let more = count - lines.len() as u64;
    if more > 0 {
        lines.push(format!("    and {more} more"));
    }
    lines
}
