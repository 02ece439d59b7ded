//! Copies users and posts, with their ids, from one database to another: `blogctl db copy`.
//!
//! The source is read in one snapshot, in the order of ids, while other programs may write to it. The target gets batches, each
//! in its own transaction, so that an interrupted copy continues after its last row. At the end, both sides are compared by
//! the number of rows and a SHA-256 of all columns; until then, a table in the target marks the copy as unfinished.

mod rows;
mod snapshot;

use std::borrow::Cow;

use self::{
    rows::{CopiedRow, Digest, KeyRow, NameTokenRow, PostRow, UserRow},
    snapshot::in_snapshot,
};
use super::{
    BlockingConnection, Connection, Database, DbError, backup,
    check::{Check, Depth},
    ids, unfinished_copy,
};
use crate::hint::Hint;

/// What to do about an unfinished copy in the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfinished {
    /// Continue after its last rows.
    Continue,
    /// Delete its rows, and begin again.
    Restart,
}

/// What was copied: the rows in the target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Each table, its number of rows, and the SHA-256 of its rows in the order of ids.
    pub tables: Vec<TableReport>,
    /// Rows that an earlier, interrupted run had copied.
    pub continued_after: u64,
}

/// A table that is equal on both sides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableReport {
    /// Its name.
    pub table: &'static str,
    /// Number of rows.
    pub rows: u64,
    /// SHA-256 in hexadecimal digits.
    pub sha256: String,
}

/// What a copy is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// So many rows will be copied and then compared.
    Begin(u64),
    /// So many further rows were copied, or had been before.
    Copied(u64),
    /// So many further rows of the target were compared.
    Compared(u64),
    /// So many further posts of the target were indexed (SQLite).
    Indexed(u64),
}

/// Why the copy is not complete.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// The target has data that this copy did not write.
    #[error("{target} contains users or posts; nothing was changed")]
    NotEmpty {
        /// The target.
        target: String,
    },
    /// The target has an unfinished copy of another database.
    #[error("{target} contains an unfinished copy of {source_url}; nothing was changed")]
    OtherCopy {
        /// The target.
        target: String,
        /// The source of that copy.
        source_url: String,
    },
    /// Source and target are the same.
    #[error("source and target are the same database, {url}")]
    SameDatabase {
        /// Its address.
        url: String,
    },
    /// The source lacks migrations.
    #[error("the source {url} lacks migrations")]
    OldSource {
        /// The source.
        url: String,
    },
    /// The target differs from the source after the copy.
    #[error("{table} differs: the source has {expected} rows, the target {found}; the copy stays marked as unfinished")]
    Differs {
        /// The table.
        table: &'static str,
        /// Rows of the source, and the beginning of their SHA-256.
        expected: String,
        /// Those of the target.
        found: String,
    },
    /// The target contradicts itself.
    #[error("the target is not right: {0}; the copy stays marked as unfinished")]
    Contradiction(String),
    /// A database failed.
    #[error(transparent)]
    Database(#[from] DbError),
}

impl Hint for CopyError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        Some(Cow::Borrowed(match self {
            Self::NotEmpty { .. } => "name a new file or a new database with --to",
            Self::OtherCopy { .. } => "name a new target, or delete that copy with --restart",
            Self::SameDatabase { .. } => "name two databases with --from and --to",
            Self::OldSource { .. } => "run blogctl migrate run on the source",
            Self::Differs { .. } | Self::Contradiction(_) => {
                "the source changed since an interrupted run, or another program writes to the target: stop the API, and copy again \
                 with --restart"
            }
            Self::Database(error) => return error.hint(),
        }))
    }
}

/// Copies everything from one database into another, which is empty or contains an unfinished copy of the same source.
/// Memory holds one batch of rows. Blocks.
///
/// # Errors
/// See [`CopyError`]. After an interruption or an error of a database, another run continues.
pub fn run(
    from: &Database,
    to: &Database,
    unfinished: Unfinished,
    mut progress: impl FnMut(Step),
) -> Result<Report, CopyError> {
    let (source_url, target_url) = (from.url().to_string(), to.url().to_string());
    if from.url() == to.url() || source_url == target_url {
        return Err(CopyError::SameDatabase { url: source_url });
    }
    let mut target = to.connect()?;
    let is_continued = match unfinished_copy::source(&mut target.lend())? {
        Some(known) if known == source_url && unfinished == Unfinished::Continue => true,
        Some(_) if unfinished == Unfinished::Restart => {
            target.transaction(rows::delete_all)?;
            false
        }
        Some(known) => {
            return Err(CopyError::OtherCopy {
                target: target_url,
                source_url: known,
            });
        }
        None if !backup::is_empty(&mut target)? => return Err(CopyError::NotEmpty { target: target_url }),
        None => false,
    };
    let mut source = from.connect()?;
    to.migrate()?;
    if !is_continued {
        target.transaction(|target| unfinished_copy::set(target, &source_url))?;
    }
    let report = in_snapshot(&mut source, |source| {
        if !snapshot::has_every_migration(source)? {
            return Err(CopyError::OldSource { url: source_url });
        }
        copy_and_compare(source, &mut target, &mut progress)
    })?;
    for check in [Check::Counters, Check::Ids] {
        let outcome = check.run(&mut target, Depth::Quick)?;
        if !outcome.is_ok {
            return Err(CopyError::Contradiction(outcome.found));
        }
    }
    target.transaction(unfinished_copy::remove)?;
    target.index_for_search(|indexed| progress(Step::Indexed(indexed)))?;
    Ok(report)
}

fn copy_and_compare(
    source: &mut Connection<'_>,
    target: &mut BlockingConnection,
    progress: &mut impl FnMut(Step),
) -> Result<Report, CopyError> {
    progress(Step::Begin(rows::count_all(source)?));
    let mut continued_after = 0;
    let expected = [
        copy_table::<UserRow>(source, target, &mut continued_after, progress)?,
        copy_table::<PostRow>(source, target, &mut continued_after, progress)?,
        copy_table::<NameTokenRow>(source, target, &mut continued_after, progress)?,
        // Without ids that a later run could continue after, so all of them in one transaction.
        target.transaction(|target| {
            rows::delete_keys(target)?;
            for table in ids::TABLES {
                ids::continue_numbering(target, table, ids::last_given(source, table)?)?;
            }
            read_table::<KeyRow>(source, |batch| {
                KeyRow::insert(target, batch)?;
                progress(Step::Copied(batch.len() as u64));
                Ok(())
            })
        })?,
    ];
    let found = in_snapshot(target, |target| {
        let mut compared = |rows: usize| progress(Step::Compared(rows as u64));
        Ok::<_, DbError>([
            digest::<UserRow>(target, &mut compared)?,
            digest::<PostRow>(target, &mut compared)?,
            digest::<NameTokenRow>(target, &mut compared)?,
            digest::<KeyRow>(target, &mut compared)?,
        ])
    })?;
    if let Some((expected, found)) = expected.iter().zip(&found).find(|(expected, found)| expected != found) {
        let shown = |report: &TableReport| {
            let start: String = report.sha256.chars().take(12).collect();
            format!("{} (SHA-256 {start}…)", report.rows)
        };
        return Err(CopyError::Differs {
            table: expected.table,
            expected: shown(expected),
            found: shown(found),
        });
    }
    Ok(Report {
        tables: found.into(),
        continued_after,
    })
}

/// Copies the rows of a table after the last one in the target.
fn copy_table<R: CopiedRow>(
    source: &mut Connection<'_>,
    target: &mut BlockingConnection,
    continued_after: &mut u64,
    progress: &mut impl FnMut(Step),
) -> Result<TableReport, DbError> {
    let last = rows::last_key::<R>(&mut target.lend())?;
    read_table::<R>(source, |batch| {
        let new = batch.partition_point(|row| row.key() <= last);
        let (known, new) = batch.split_at(new);
        *continued_after += known.len() as u64;
        if !new.is_empty() {
            target.transaction(|target| {
                rows::commit_without_wait(target)?;
                R::insert(target, new)
            })?;
        }
        progress(Step::Copied(batch.len() as u64));
        Ok(())
    })
}

fn digest<R: CopiedRow>(
    connection: &mut Connection<'_>,
    compared: &mut impl FnMut(usize),
) -> Result<TableReport, DbError> {
    read_table::<R>(connection, |batch| {
        compared(batch.len());
        Ok(())
    })
}

/// Reads a table in batches, in the order of ids.
fn read_table<R: CopiedRow>(
    connection: &mut Connection<'_>,
    mut each: impl FnMut(&[R]) -> Result<(), DbError>,
) -> Result<TableReport, DbError> {
    let mut digest = Digest::new();
    let mut rows = 0;
    let mut after = i64::MIN;
    while let Some(until) = rows::end_of_batch::<R>(connection, after)? {
        let batch = R::load(connection, after, until)?;
        for row in &batch {
            row.add_to(&mut digest);
        }
        rows += batch.len() as u64;
        each(&batch)?;
        after = until;
    }
    Ok(TableReport {
        table: R::TABLE,
        rows,
        sha256: digest.finish(),
    })
}
