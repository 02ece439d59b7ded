//! `blogctl db backup`

use std::{io::Write as _, path::PathBuf, process::ExitCode, time::Instant};

use clap::Args;

use super::require_existing;
use crate::{
    cli::error_report::WithHint as _,
    config::DatabaseSettings,
    db::{
        DatabaseUrl,
        backup::{self, Contents, Existing, Format},
    },
};

/// Back up the database to a file, or verify a backup
///
/// SQLite: copies a consistent snapshot into a new file of mode 0600, verifies and syncs it, and then gives it its name. The API
/// may write meanwhile; its latest writes may be missing in the snapshot. If anything fails, there is no file.
///
/// PostgreSQL: prints the command of pg_dump that makes the backup, without the password, and exits with 1. Verify the result
/// with --verify, which reads every row of it with pg_restore.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  blogctl db backup /backup/blog-$(date +%F).db
  blogctl db backup --force /backup/latest.db
  blogctl db backup --verify /backup/blog.dump    a file of SQLite, or an archive of pg_dump")]
pub struct Arguments {
    /// The new file, in a folder that exists
    file: PathBuf,
    /// Replace an existing file, once the new backup is complete
    #[arg(long, conflicts_with = "verify")]
    force: bool,
    /// Verify an existing backup instead; needs no database
    #[arg(long)]
    verify: bool,
}

/// Makes or verifies a backup, and prints what it contains.
///
/// # Errors
/// If the database or a file cannot be read or written, or the backup is damaged.
pub fn run(arguments: &Arguments, settings: &DatabaseSettings) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    let file = &arguments.file;
    if arguments.verify {
        let format = Format::of(file)?;
        let contents = backup::verify(file)?;
        let kind = match format {
            Format::Sqlite => "SQLite file",
            Format::PostgresArchive => "PostgreSQL archive",
        };
        print(&format!("{} is complete ({kind})", file.display()), &contents, begun)?;
        return Ok(ExitCode::SUCCESS);
    }
    // Only its address is needed.
    let url = DatabaseUrl::parse(&settings.url)?;
    if let Some(command) = backup::dump_command(&url, file) {
        writeln!(anstream::stdout().lock(), "{command}")?;
        return Err(anyhow::anyhow!("nothing was backed up: pg_dump backs up PostgreSQL, with the command above")).hint(
            "put the password into PGPASSWORD or ~/.pgpass, run the command, and verify the file with blogctl db backup \
             --verify FILE",
        );
    }
    let DatabaseUrl::Sqlite(source) = &require_existing(settings)?.url else {
        return Ok(ExitCode::FAILURE);
    };
    let existing = if arguments.force {
        Existing::Replace
    } else {
        Existing::Keep
    };
    let contents = backup::back_up(source, file, existing)?;
    print(&format!("Backed up {url} to {}", file.display()), &contents, begun)?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the contents of a backup.
pub(super) fn print(title: &str, contents: &Contents, begun: Instant) -> anyhow::Result<()> {
    let Contents {
        bytes,
        schema,
        posts,
        users,
    } = contents;
    let schema = schema.as_deref().unwrap_or("none");
    let text = format!(
        "{title}\n  posts    {posts}\n  users    {users}\n  schema   {schema}\n  size     {bytes} bytes\n  time     {:.2} s\n",
        begun.elapsed().as_secs_f64()
    );
    Ok(anstream::stdout().lock().write_all(text.as_bytes())?)
}
