//! `blogctl migrate import`

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

use crate::{
    blog::import::{self, Import, ImportError, InvalidRow, InvalidRows, Report},
    cli::error_report::{WithHint as _, WrongUsage},
    config::Settings,
    db::Database,
    guid,
};

/// Most invalid rows in the list; further ones are only counted.
const LISTED: usize = 50;

/// Import users and posts from the SQLite file of the Python system
///
/// Reads the tables users and blog_posts of FILE without changing it. The users belong to the tenant of the setting
/// entra.tenant_id. The import is one transaction. An empty database gets the IDs of the file. Otherwise rows get new IDs,
/// and existing rows are skipped (users by object ID, posts by author and creation time), so that a second run adds only
/// new rows; a post that was deleted here since then comes back. Invalid rows, such as a title of more than 200
/// characters, are listed, and nothing is imported unless --skip-invalid is set.
#[derive(Debug, Args)]
pub struct Arguments {
    /// SQLite file to import from
    file: PathBuf,
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
    let max_content_chars = settings.api.max_content_chars;
    match import::run(
        database,
        Import {
            file: &arguments.file,
            tid,
            max_content_chars,
            invalid_rows,
        },
    ) {
        Ok(report) => {
            database.connect()?.index_for_search(|_| {})?;
            Ok(summary(&report, database))
        }
        Err(ImportError::InvalidRows(rows)) => Err(anyhow::anyhow!(
            "{} rows are invalid, so nothing was imported:\n{}",
            rows.len(),
            listed(&rows).join("\n")
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
        invalid,
        ids_kept,
    } = report;
    let mut lines = vec![
        format!("Imported into {}", database.url()),
        format!("  users    {users_added} added, {users_known} existed already"),
        format!("  posts    {posts_added} added, {posts_known} existed already"),
        format!("  ids      {}", if *ids_kept { "kept" } else { "new" }),
    ];
    if !invalid.is_empty() {
        lines.push(format!("  skipped  {} invalid rows", invalid.len()));
        lines.extend(listed(invalid));
    }
    lines
}

fn listed(rows: &[InvalidRow]) -> Vec<String> {
    let line = |InvalidRow { table, id, reason }: &InvalidRow| format!("    {table} {id}: {reason}");
    let mut lines: Vec<String> = rows.iter().take(LISTED).map(line).collect();
    if rows.len() > LISTED {
        lines.push(format!("    and {} more", rows.len() - LISTED));
    }
    lines
}
