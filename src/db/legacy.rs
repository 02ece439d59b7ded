//! Reads the Python system's tables `users` and `blog_posts` as SQLModel created them, from its SQLite file or from exports.
//! Also prepares the target database for the import.

mod exports;

use std::path::{self, Path};

use chrono::{DateTime, NaiveDateTime, SubsecRound, Utc};
use diesel::{
    Connection as _, QueryResult, QueryableByName, RunQueryDsl,
    sql_types::{BigInt, Binary, Nullable, Text},
    sqlite::SqliteConnection,
};

pub use self::exports::{Exports, MalformedRow};
use super::{Connection, DbError, sqlite};
use crate::config::quotable_path;

/// The hint for a user who names the Python system's file as the database.
pub const HOW_TO_IMPORT: &str = "name a new file in database.url (DATABASE_URL), and import the users and posts of this one with blogctl migrate import FILE";

/// Whether a database without any applied migration has the Python system's tables.
pub(super) fn is_python_database(connection: &mut SqliteConnection) -> QueryResult<bool> {
    #[derive(QueryableByName)]
    struct Columns {
        #[diesel(sql_type = BigInt)]
        found: i64,
    }
    // blogctl's tables have the same names, but other columns for times.
    let columns: Columns = diesel::sql_query(
        "SELECT (SELECT count(*) FROM pragma_table_info('users') WHERE name IN ('oid', 'created_at')) \
         + (SELECT count(*) FROM pragma_table_info('blog_posts') WHERE name IN ('author_id', 'created_at')) AS found",
    )
    .get_result(connection)?;
    Ok(columns.found == 4)
}

/// Where the rows come from.
pub enum LegacySource {
    /// The Python system's SQLite file.
    File(LegacyFile),
    /// Exports of both tables from another database.
    Exports(Exports),
}

impl LegacySource {
    /// Calls `each` with every user.
    ///
    /// # Errors
    /// Those of `each`, or when a file cannot be read.
    pub fn each_user<E: From<DbError>>(
        &mut self,
        mut each: impl FnMut(Result<LegacyUser, MalformedRow>) -> Result<(), E>,
    ) -> Result<(), E> {
        match self {
            Self::File(file) => file.users()?.into_iter().try_for_each(|user| each(Ok(user))),
            Self::Exports(exports) => exports.each_user(each),
        }
    }

    /// Calls `each` with every post.
    ///
    /// # Errors
    /// As [`Self::each_user`].
    pub fn each_post<E: From<DbError>>(
        &mut self,
        mut each: impl FnMut(Result<LegacyPost, MalformedRow>) -> Result<(), E>,
    ) -> Result<(), E> {
        match self {
            Self::File(file) => {
                let mut last = i64::MIN;
                loop {
                    let page = file.posts(last)?;
                    let Some(post) = page.last() else { return Ok(()) };
                    last = post.id;
                    page.into_iter().try_for_each(|post| each(Ok(post)))?;
                }
            }
            Self::Exports(exports) => exports.each_post(each),
        }
    }
}

/// The Python system's file, opened read-only.
pub struct LegacyFile {
    connection: SqliteConnection,
    path: String,
}

/// The value of a text column: it may be NULL, or hold bytes that are not valid text.
#[derive(Debug)]
pub struct LegacyText {
    value: Option<Result<String, InvalidEncoding>>,
}

/// Bytes that are invalid in the file's encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{column} is not valid {encoding}")]
pub struct InvalidEncoding {
    /// The column.
    pub column: &'static str,
    /// The file's encoding, such as UTF-8.
    pub encoding: &'static str,
}

impl LegacyText {
    /// The text; `None` for NULL.
    ///
    /// # Errors
    /// When the bytes are invalid in the file's encoding.
    pub fn text(&self) -> Result<Option<&str>, InvalidEncoding> {
        match &self.value {
            None => Ok(None),
            Some(Ok(text)) => Ok(Some(text)),
            Some(Err(error)) => Err(*error),
        }
    }

    /// The text, if it is present and valid.
    fn valid(&self) -> Option<&str> {
        self.text().ok().flatten()
    }
}

/// A row of `users`.
#[derive(Debug)]
pub struct LegacyUser {
    /// Row id.
    pub id: i64,
    /// Object id. Not checked to be a GUID.
    pub oid: LegacyText,
    /// Display name.
    pub display_name: LegacyText,
    created_at: LegacyText,
    updated_at: LegacyText,
}

/// A row of `blog_posts`.
#[derive(Debug)]
pub struct LegacyPost {
    /// Row id.
    pub id: i64,
    /// Title.
    pub title: LegacyText,
    /// Content.
    pub content: LegacyText,
    /// The author's row id in this file.
    pub author_id: Option<i64>,
    created_at: LegacyText,
    updated_at: LegacyText,
}

impl LegacyUser {
    /// The times of creation and of the last change; `None` without a valid time of creation.
    pub fn times(&self) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        times(self.created_at.valid(), self.updated_at.valid())
    }
}

impl LegacyPost {
    /// The times of creation and of the last change; `None` without a valid time of creation.
    pub fn times(&self) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        times(self.created_at.valid(), self.updated_at.valid())
    }
}

/// A user's columns as bytes.
#[derive(QueryableByName)]
struct UserBytes {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Nullable<Binary>)]
    oid: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Binary>)]
    display_name: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Binary>)]
    created_at: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Binary>)]
    updated_at: Option<Vec<u8>>,
}

/// A post's columns as bytes.
#[derive(QueryableByName)]
struct PostBytes {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Nullable<Binary>)]
    title: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Binary>)]
    content: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<BigInt>)]
    author_id: Option<i64>,
    #[diesel(sql_type = Nullable<Binary>)]
    created_at: Option<Vec<u8>>,
    #[diesel(sql_type = Nullable<Binary>)]
    updated_at: Option<Vec<u8>>,
}

/// The file's text encoding: https://www.sqlite.org/pragma.html#pragma_encoding.
#[derive(Debug, Clone, Copy)]
enum Encoding {
    Utf8,
    Utf16Le,
    Utf16Be,
}

impl Encoding {
    fn text(self, column: &'static str, bytes: Option<Vec<u8>>) -> LegacyText {
        let wide = |bytes: &[u8], unit: fn([u8; 2]) -> u16| {
            let (units, rest) = bytes.as_chunks::<2>();
            let text = String::from_utf16(&units.iter().copied().map(unit).collect::<Vec<_>>()).ok();
            text.filter(|_| rest.is_empty())
        };
        let decoded = |bytes: Vec<u8>| match self {
            Self::Utf8 => String::from_utf8(bytes).map_err(|_| InvalidEncoding {
                column,
                encoding: "UTF-8",
            }),
            Self::Utf16Le => wide(&bytes, u16::from_le_bytes).ok_or(InvalidEncoding {
                column,
                encoding: "UTF-16",
            }),
            Self::Utf16Be => wide(&bytes, u16::from_be_bytes).ok_or(InvalidEncoding {
                column,
                encoding: "UTF-16",
            }),
        };
        LegacyText {
            value: bytes.map(decoded),
        }
    }
}

#[derive(QueryableByName)]
struct EncodingName {
    #[diesel(sql_type = Text)]
    encoding: String,
}

impl LegacyFile {
    /// Opens the file read-only.
    ///
    /// # Errors
    /// When the file does not exist or cannot be read.
    pub fn open(file: &Path) -> Result<Self, DbError> {
        let path = quotable_path(file).into_owned();
        let error = |reason: String| DbError::Legacy {
            path: path.clone(),
            reason,
        };
        if !file.is_file() {
            return Err(error("there is no such file".to_owned()));
        }
        let absolute = path::absolute(file).map_err(|reason| error(reason.to_string()))?;
        let uri = sqlite::path::uri(&absolute, "mode=ro").map_err(|reason| error(reason.to_owned()))?;
        let connection = SqliteConnection::establish(&uri).map_err(|reason| error(reason.to_string()))?;
        Ok(Self { connection, path })
    }

    /// All users, ordered by id.
    ///
    /// # Errors
    /// When the file has no such table.
    pub fn users(&mut self) -> Result<Vec<LegacyUser>, DbError> {
        // As bytes: one invalid text would fail the whole query without saying which row it is in.
        let rows: QueryResult<Vec<UserBytes>> = diesel::sql_query(
            "SELECT CAST(id AS INTEGER) AS id, CAST(CAST(oid AS TEXT) AS BLOB) AS oid, \
             CAST(CAST(display_name AS TEXT) AS BLOB) AS display_name, \
             CAST(CAST(created_at AS TEXT) AS BLOB) AS created_at, \
             CAST(CAST(updated_at AS TEXT) AS BLOB) AS updated_at FROM users ORDER BY id",
        )
        .load(&mut self.connection);
        let rows = rows.map_err(|reason| self.unreadable(&reason))?;
        let encoding = self.encoding()?;
        let user = |row: UserBytes| LegacyUser {
            id: row.id,
            oid: encoding.text("oid", row.oid),
            display_name: encoding.text("display_name", row.display_name),
            created_at: encoding.text("created_at", row.created_at),
            updated_at: encoding.text("updated_at", row.updated_at),
        };
        Ok(rows.into_iter().map(user).collect())
    }

    /// The next 500 posts with ids greater than `after`, ordered by id; empty at the end.
    ///
    /// # Errors
    /// When the file has no such table.
    pub fn posts(&mut self, after: i64) -> Result<Vec<LegacyPost>, DbError> {
        let rows: QueryResult<Vec<PostBytes>> = diesel::sql_query(
            "SELECT CAST(id AS INTEGER) AS id, CAST(CAST(title AS TEXT) AS BLOB) AS title, \
             CAST(CAST(content AS TEXT) AS BLOB) AS content, CAST(author_id AS INTEGER) AS author_id, \
             CAST(CAST(created_at AS TEXT) AS BLOB) AS created_at, \
             CAST(CAST(updated_at AS TEXT) AS BLOB) AS updated_at FROM blog_posts WHERE id > ? ORDER BY id LIMIT 500",
        )
        .bind::<BigInt, _>(after)
        .load(&mut self.connection);
        let rows = rows.map_err(|reason| self.unreadable(&reason))?;
        let encoding = self.encoding()?;
        let post = |row: PostBytes| LegacyPost {
            id: row.id,
            title: encoding.text("title", row.title),
            content: encoding.text("content", row.content),
            author_id: row.author_id,
            created_at: encoding.text("created_at", row.created_at),
            updated_at: encoding.text("updated_at", row.updated_at),
        };
        Ok(rows.into_iter().map(post).collect())
    }

    fn encoding(&mut self) -> Result<Encoding, DbError> {
        let found: QueryResult<EncodingName> = diesel::sql_query("PRAGMA encoding").get_result(&mut self.connection);
        let EncodingName { encoding } = found.map_err(|reason| self.unreadable(&reason))?;
        Ok(match encoding.as_str() {
            "UTF-16le" => Encoding::Utf16Le,
            "UTF-16be" => Encoding::Utf16Be,
            _ => Encoding::Utf8,
        })
    }

    fn unreadable(&self, reason: &diesel::result::Error) -> DbError {
        let reason = format!("it is not a database of the Python system ({reason})");
        DbError::Legacy {
            path: self.path.clone(),
            reason,
        }
    }
}

/// Prevents all other writes until this transaction ends. On SQLite, the transaction does that itself.
///
/// # Errors
/// The database's.
pub fn lock_tables(connection: &mut Connection<'_>) -> Result<(), DbError> {
    if let Connection::Postgres(c) = connection {
        diesel::sql_query("LOCK TABLE users, blog_posts IN SHARE ROW EXCLUSIVE MODE").execute(&mut **c)?;
    }
    Ok(())
}

/// A row without a time of its last change, or with one before its creation, was never changed.
fn times(created_at: Option<&str>, updated_at: Option<&str>) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    let created_at = created_at.and_then(time)?;
    let updated_at = updated_at.and_then(time).unwrap_or(created_at);
    Some((created_at, updated_at.max(created_at)))
}

/// SQLAlchemy writes `2025-03-01 10:20:30.123456` in UTC, and omits the fraction when it is zero.
fn time(text: &str) -> Option<DateTime<Utc>> {
    let with_offset = ["%Y-%m-%d %H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M:%S%.f%#z"];
    let without = ["%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M:%S%.f"];
    let text = text.trim();
    let naive = || {
        without
            .iter()
            .find_map(|format| NaiveDateTime::parse_from_str(text, format).ok())
    };
    let aware = || {
        with_offset
            .iter()
            .find_map(|format| DateTime::parse_from_str(text, format).ok())
    };
    let time = naive()
        .map(|time| time.and_utc())
        .or_else(|| aware().map(DateTime::<Utc>::from))?;
    Some(time.trunc_subsecs(6))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_in_every_form_that_python_wrote() {
        for (text, expected) in [
            ("2025-03-01 10:20:30.123456", "2025-03-01T10:20:30.123456Z"),
            ("2025-03-01 10:20:30", "2025-03-01T10:20:30Z"),
            ("2025-03-01T10:20:30.5", "2025-03-01T10:20:30.500Z"),
            ("2025-03-01T10:20:30Z", "2025-03-01T10:20:30Z"),
            ("2025-03-01 10:20:30.123456+00:00", "2025-03-01T10:20:30.123456Z"),
            ("2025-03-01 12:20:30+02:00", "2025-03-01T10:20:30Z"),
            (" 2025-03-01 10:20:30.1234567 ", "2025-03-01T10:20:30.123456Z"),
        ] {
            assert_eq!(time(text), Some(expected.parse().expect("a time")), "{text}");
        }
        for text in ["", "yesterday", "2025-03-01", "2025-13-01 10:20:30", "1740824430"] {
            assert_eq!(time(text), None, "{text}");
        }
    }

    #[test]
    fn a_change_before_the_creation_is_no_change() {
        let at = |text| time(text).expect("a time");
        let made = "2025-03-01 10:20:30";
        assert_eq!(times(Some(made), None), Some((at(made), at(made))));
        assert_eq!(
            times(Some(made), Some("2025-03-01 10:20:29")),
            Some((at(made), at(made)))
        );
        assert_eq!(times(None, Some(made)), None);
    }
}
