//! `blogctl db restore`

use std::{io::Write as _, path::PathBuf, process::ExitCode, time::Instant};

use clap::Args;

use super::backup::print;
use crate::{
    cli::error_report::{WithHint as _, WrongUsage},
    config::DatabaseSettings,
    db::{
        Database, DatabaseUrl,
        backup::{self, BackupError, Format},
    },
};

/// Restore a backup into a database without users and posts
///
/// SQLite: copies the file to the path of database.url and verifies the copy before it gets its name. Refuses a database that
/// contains users or posts, one that another process has open, and a backup of a newer blogctl. Then applies the migrations
/// that the backup lacks.
///
/// PostgreSQL: checks that the database is empty, prints the command of pg_restore, without the password, and exits with 1.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  blogctl db restore /backup/blog.db
  blogctl db restore /backup/blog.db --set database.url=restored.db    next to the current one, to look at")]
pub struct Arguments {
    /// The backup: an SQLite file, or an archive of pg_dump
    file: PathBuf,
}

/// Restores the backup, and prints what it contains.
///
/// # Errors
/// If the backup is damaged or does not fit, or the database is not empty or in use.
pub fn run(arguments: &Arguments, settings: &DatabaseSettings) -> anyhow::Result<ExitCode> {
    let begun = Instant::now();
    let file = &arguments.file;
    let url = DatabaseUrl::parse(&settings.url)?;
    match (Format::of(file)?, &url) {
        (Format::Sqlite, DatabaseUrl::Sqlite(target)) => {
            let contents = backup::restore(file, target, settings.file_mode.0)?;
            Database::open(settings)?.migrate()?;
            print(&format!("Restored {} to {url}", file.display()), &contents, begun)?;
            Ok(ExitCode::SUCCESS)
        }
        (Format::PostgresArchive, DatabaseUrl::Postgres { .. }) => {
            backup::verify(file)?;
            let database = Database::open(settings)?;
            if !backup::is_empty(&mut database.connect()?)? {
                return Err(BackupError::NotEmpty {
                    target: url.to_string(),
                }
                .into());
            }
            let command = backup::restore_command(&url, file).unwrap_or_default();
            writeln!(anstream::stdout().lock(), "{command}")?;
            Err(anyhow::anyhow!(
                "nothing was restored: pg_restore restores PostgreSQL, with the command above"
            ))
            .hint(
                "put the password into PGPASSWORD or ~/.pgpass, run the command, and then blogctl migrate run and blogctl db check",
            )
        }
        (Format::Sqlite, DatabaseUrl::Postgres { .. }) => Err(WrongUsage(format!(
            "{} is an SQLite file, but database.url names PostgreSQL",
            file.display()
        )))
        .hint("restore it to a file with --set database.url=FILE, and copy that to PostgreSQL with blogctl db copy"),
        (Format::PostgresArchive, DatabaseUrl::Sqlite(_)) => Err(WrongUsage(format!(
            "{} is an archive of PostgreSQL, but database.url names an SQLite file",
            file.display()
        )))
        .hint("restore it to PostgreSQL, and copy that to the file with blogctl db copy"),
    }
}
