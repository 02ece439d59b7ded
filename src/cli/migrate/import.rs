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

/// Invalid rows that are listed; more are counted.
const LISTED: usize = 50;

/// Take over users and posts from the Python system's SQLite file
///
/// Reads the tables users and blog_posts of FILE, which is not changed; the users' tenant is the setting entra.tenant_id.
/// All of it is one transaction. Into an empty database ids are kept. Otherwise rows get new ids, and what is there
/// already is left alone (users by object id, posts by author and time of writing), so that running it again adds only
/// what is new; a post that was deleted here since comes back. Rows that break a rule, such as a title of more than 200
/// characters, are listed, and nothing is taken over unless --skip-invalid.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The SQLite file
    file: PathBuf,
    /// Take over the valid rows when others break a rule
    #[arg(long)]
    skip_invalid: bool,
}

/// Takes it over; what was done, in lines.
///
/// # Errors
/// When there is no tenant, rows are invalid and not to be skipped, or a database fails.
pub fn run(arguments: &Arguments, settings: &Settings, database: &Database) -> anyhow::Result<Vec<String>> {
    let tenant_id = settings.entra.tenant_id.as_str();
    if tenant_id.is_empty() {
        return Err(WrongUsage(
            "entra.tenant_id is not set, and the file does not say whose users these are".to_owned(),
        ))
        .hint("give it with --set entra.tenant_id=GUID");
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
            Ok(told(&report, database))
        }
        Err(ImportError::InvalidRows(rows)) => Err(anyhow::anyhow!(
            "{} rows break a rule, so nothing was taken over:\n{}",
            rows.len(),
            listed(&rows).join("\n")
        ))
        .hint("mend them in the file, or take over the others with --skip-invalid"),
        Err(error) => Err(error.into()),
    }
}

fn told(report: &Report, database: &Database) -> Vec<String> {
    let Report {
        users_added,
        users_known,
        posts_added,
        posts_known,
        invalid,
        ids_kept,
    } = report;
    let mut lines = vec![
        format!("Taken over into {}", database.url()),
        format!("  users    {users_added} added, {users_known} there already"),
        format!("  posts    {posts_added} added, {posts_known} there already"),
        format!("  ids      {}", if *ids_kept { "kept" } else { "new" }),
    ];
    if !invalid.is_empty() {
        lines.push(format!("  skipped  {} rows that break a rule", invalid.len()));
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
