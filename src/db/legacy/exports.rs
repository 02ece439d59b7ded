//! Exports of the Python system's tables: CSV with a line of column names, as `\copy … TO … CSV HEADER` writes it, or one
//! JSON object per line, as `row_to_json` writes it. Files are read row by row, and a row has a limit.

use std::{
    cell::Cell,
    fmt::Display,
    fs::File,
    io::{self, BufRead as _, BufReader, Read},
    path::{Path, PathBuf},
    rc::Rc,
};

use csv::{ByteRecord, ReaderBuilder, Terminator};
use serde_json::{Map, Value};

use super::{Encoding, LegacyPost, LegacyText, LegacyUser};
use crate::{config::quotable_path, db::DbError};

/// Most bytes of a row. A missing quotation mark would make the rest of a file one row.
const MAX_ROW_BYTES: usize = 16 * 1024 * 1024;

const USER_COLUMNS: &[&str] = &["id", "oid", "display_name", "created_at", "updated_at"];
const POST_COLUMNS: &[&str] = &["id", "title", "content", "author_id", "created_at", "updated_at"];

/// A row that has not the form of the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MalformedRow {
    /// The line on which it begins, from 1.
    pub line: u64,
    /// What is wrong, without any of its content.
    pub reason: String,
}

/// The exports of both tables.
pub struct Exports {
    users: Export,
    posts: Export,
}

/// The export of a table.
struct Export {
    path: PathBuf,
    format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    Csv,
    JsonLines,
}

/// The columns of a row, in the order in which they were asked for.
struct Row {
    line: u64,
    values: Vec<Option<Vec<u8>>>,
}

impl Exports {
    /// Checks that both files exist and have a known extension: `.csv`, or `.json`, `.jsonl` or `.ndjson`.
    ///
    /// # Errors
    /// [`DbError::Legacy`].
    pub fn open(users: &Path, posts: &Path) -> Result<Self, DbError> {
        Ok(Self {
            users: Export::open(users)?,
            posts: Export::open(posts)?,
        })
    }

    /// Calls `each` with every row of the users, in the order of the file.
    ///
    /// # Errors
    /// Those of `each`, or when the file cannot be read, lacks a column, or a row is too long.
    pub fn each_user<E: From<DbError>>(
        &self,
        mut each: impl FnMut(Result<LegacyUser, MalformedRow>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.users.each(USER_COLUMNS, |row| {
            each(row.and_then(|mut row| {
                Ok(LegacyUser {
                    id: row.number(0, "id")?,
                    oid: row.text(1, "oid"),
                    display_name: row.text(2, "display_name"),
                    created_at: row.text(3, "created_at"),
                    updated_at: row.text(4, "updated_at"),
                })
            }))
        })
    }

    /// As [`Self::each_user`], for posts.
    ///
    /// # Errors
    /// As [`Self::each_user`].
    pub fn each_post<E: From<DbError>>(
        &self,
        mut each: impl FnMut(Result<LegacyPost, MalformedRow>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.posts.each(POST_COLUMNS, |row| {
            each(row.and_then(|mut row| {
                Ok(LegacyPost {
                    id: row.number(0, "id")?,
                    title: row.text(1, "title"),
                    content: row.text(2, "content"),
                    author_id: Some(row.number(3, "author_id")?),
                    created_at: row.text(4, "created_at"),
                    updated_at: row.text(5, "updated_at"),
                })
            }))
        })
    }
}

impl Row {
    fn text(&mut self, number: usize, column: &'static str) -> LegacyText {
        Encoding::Utf8.text(column, self.values.get_mut(number).and_then(Option::take))
    }

    fn number(&mut self, number: usize, column: &'static str) -> Result<i64, MalformedRow> {
        let text = self.text(number, column);
        text.valid()
            .and_then(|text| text.trim().parse().ok())
            .ok_or_else(|| MalformedRow {
                line: self.line,
                reason: format!("{column} is not a whole number"),
            })
    }
}

impl Export {
    fn open(path: &Path) -> Result<Self, DbError> {
        let extension = path
            .extension()
            .unwrap_or_default()
            .to_string_lossy()
            .to_ascii_lowercase();
        let format = match extension.as_str() {
            "csv" => Format::Csv,
            "json" | "jsonl" | "ndjson" => Format::JsonLines,
            _ => {
                return Err(unreadable(
                    path,
                    "its name ends neither with .csv nor with .json, .jsonl or .ndjson",
                ));
            }
        };
        if !path.is_file() {
            return Err(unreadable(path, "there is no such file"));
        }
        Ok(Self {
            path: path.to_owned(),
            format,
        })
    }

    fn each<E: From<DbError>>(
        &self,
        columns: &[&'static str],
        each: impl FnMut(Result<Row, MalformedRow>) -> Result<(), E>,
    ) -> Result<(), E> {
        let file = File::open(&self.path).map_err(|reason| unreadable(&self.path, reason))?;
        match self.format {
            Format::Csv => self.each_of_csv(file, columns, each),
            Format::JsonLines => self.each_of_json(file, columns, each),
        }
    }

    fn each_of_csv<E: From<DbError>>(
        &self,
        file: File,
        columns: &[&'static str],
        mut each: impl FnMut(Result<Row, MalformedRow>) -> Result<(), E>,
    ) -> Result<(), E> {
        let left = Rc::new(Cell::new(MAX_ROW_BYTES));
        let limited = LimitedRows {
            inner: file,
            left: Rc::clone(&left),
        };
        // The default, CRLF as well as LF, counts the lines of CRLF one short.
        let mut reader = ReaderBuilder::new()
            .flexible(true)
            .terminator(Terminator::Any(b'\n'))
            .from_reader(limited);
        let names = reader
            .byte_headers()
            .map_err(|reason| unreadable(&self.path, reason))?
            .clone();
        let position = |column: &&str| {
            let found = names
                .iter()
                .position(|name| name.trim_ascii().eq_ignore_ascii_case(column.as_bytes()));
            found.ok_or_else(|| unreadable(&self.path, format!("its first line has no column {column}")))
        };
        let positions = columns.iter().map(position).collect::<Result<Vec<_>, _>>()?;
        let mut record = ByteRecord::new();
        loop {
            left.set(MAX_ROW_BYTES);
            let line = reader.position().line();
            if !reader
                .read_byte_record(&mut record)
                .map_err(|reason| unreadable(&self.path, format!("line {line}: {reason}")))?
            {
                return Ok(());
            }
            let line = record.position().map_or(line, csv::Position::line);
            if record.len() == 1 && record.get(0) == Some(b"\r") {
                continue;
            }
            let last = record.len().saturating_sub(1);
            each(if record.len() == names.len() {
                let value = |position: &usize| {
                    let field = record.get(*position)?;
                    let is_last = *position == last;
                    Some(field.strip_suffix(b"\r").filter(|_| is_last).unwrap_or(field).to_vec())
                };
                Ok(Row {
                    line,
                    values: positions.iter().map(value).collect(),
                })
            } else {
                Err(MalformedRow {
                    line,
                    reason: format!(
                        "it has {} columns, but the first line has {}",
                        record.len(),
                        names.len()
                    ),
                })
            })?;
        }
    }

    fn each_of_json<E: From<DbError>>(
        &self,
        file: File,
        columns: &[&'static str],
        mut each: impl FnMut(Result<Row, MalformedRow>) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut reader = BufReader::new(file);
        let mut text = Vec::new();
        for line in 1.. {
            text.clear();
            let read = (&mut reader)
                .take(MAX_ROW_BYTES as u64)
                .read_until(b'\n', &mut text)
                .map_err(|reason| unreadable(&self.path, reason))?;
            if read == 0 {
                break;
            }
            if read == MAX_ROW_BYTES {
                return Err(unreadable(&self.path, format!("line {line}: {TOO_LONG}")).into());
            }
            let row = text.trim_ascii();
            if row.is_empty() {
                continue;
            }
            if line == 1 && row.starts_with(b"[") {
                let reason = "it is one JSON array; write one object per line, as jq -c '.[]' does";
                return Err(unreadable(&self.path, reason).into());
            }
            each(json_row(row, line, columns))?;
        }
        Ok(())
    }
}

fn json_row(row: &[u8], line: u64, columns: &[&'static str]) -> Result<Row, MalformedRow> {
    let malformed = |reason: String| MalformedRow { line, reason };
    // Its own message could quote the row.
    let mut object: Map<String, Value> = serde_json::from_slice(row)
        .map_err(|error| malformed(format!("it is not a JSON object (column {})", error.column())))?;
    let mut values = Vec::with_capacity(columns.len());
    for column in columns {
        values.push(match object.remove(*column) {
            None => return Err(malformed(format!("it has no {column}"))),
            Some(Value::Null) => None,
            Some(Value::String(text)) => Some(text.into_bytes()),
            Some(Value::Number(number)) => Some(number.to_string().into_bytes()),
            Some(_) => return Err(malformed(format!("{column} is neither a text nor a number"))),
        });
    }
    Ok(Row { line, values })
}

/// Fails when a row is longer than the limit.
struct LimitedRows<R> {
    inner: R,
    /// Bytes that the current row may still have.
    left: Rc<Cell<usize>>,
}

const TOO_LONG: &str = "a row is longer than 16 MiB; a quotation mark may be missing";

impl<R: Read> Read for LimitedRows<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(self.left.get());
        if wanted == 0 && !buffer.is_empty() {
            return Err(io::Error::other(TOO_LONG));
        }
        let read = self.inner.read(buffer.get_mut(..wanted).unwrap_or_default())?;
        self.left.set(self.left.get().saturating_sub(read));
        Ok(read)
    }
}

fn unreadable(path: &Path, reason: impl Display) -> DbError {
    DbError::Legacy {
        path: quotable_path(path).into_owned(),
        reason: reason.to_string(),
    }
}
