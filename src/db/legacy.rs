//! The Python system's SQLite file, read only: tables `users` and `blog_posts` as SQLModel made them; and what taking
//! it over needs of the database that it goes to.

use std::path::{self, Path};

use chrono::{DateTime, NaiveDateTime, SubsecRound, Utc};
use diesel::{
    Connection as _, QueryResult, QueryableByName, RunQueryDsl,
    sql_types::{BigInt, Binary, Nullable, Text},
    sqlite::SqliteConnection,
};

use super::{Connection, DbError};
use crate::config::quotable_path;

/// What to do with such a file where another database is wanted.
pub const HOW_TO_IMPORT: &str = "name a new file in database.url (DATABASE_URL), and take over the users and posts of this one with \
                                 blogctl migrate import FILE";

/// Whether a file that no migration was applied to has the tables of the Python system. Reads only.
///
/// # Errors
/// The database's.
pub(super) fn is_python_database(connection: &mut SqliteConnection) -> QueryResult<bool> {
    #[derive(QueryableByName)]
    struct Columns {
        #[diesel(sql_type = BigInt)]
        found: i64,
    }
    // blogctl's own tables have other columns for the times.
    let columns: Columns = diesel::sql_query(
        "SELECT (SELECT count(*) FROM pragma_table_info('users') WHERE name IN ('oid', 'created_at')) \
         + (SELECT count(*) FROM pragma_table_info('blog_posts') WHERE name IN ('author_id', 'created_at')) AS found",
    )
    .get_result(connection)?;
    Ok(columns.found == 4)
}

/// The opened file.
pub struct LegacyFile {
    connection: SqliteConnection,
    path: String,
}

/// A text column of a row that was found: it may be missing, or hold bytes that are no text.
#[derive(Debug)]
pub struct LegacyText {
    value: Option<Result<String, NotText>>,
}

/// Bytes that are not in the encoding of the file, so that nobody can say what they mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{column} is not valid {encoding}")]
pub struct NotText {
    /// The column.
    pub column: &'static str,
    /// The encoding of the file, such as UTF-8.
    pub encoding: &'static str,
}

impl LegacyText {
    /// The text; `None` where there is none.
    ///
    /// # Errors
    /// When it holds bytes that are no text.
    pub fn text(&self) -> Result<Option<&str>, NotText> {
        match &self.value {
            None => Ok(None),
            Some(Ok(text)) => Ok(Some(text)),
            Some(Err(error)) => Err(*error),
        }
    }

    /// The text, if there is one that can be read.
    fn readable(&self) -> Option<&str> {
        self.text().ok().flatten()
    }
}

/// A user as found.
#[derive(Debug)]
pub struct LegacyUser {
    /// Row id.
    pub id: i64,
    /// Object id, a GUID one hopes.
    pub oid: LegacyText,
    /// Display name.
    pub display_name: LegacyText,
    created_at: LegacyText,
    updated_at: LegacyText,
}

/// A post as found.
#[derive(Debug)]
pub struct LegacyPost {
    /// Row id.
    pub id: i64,
    /// Title.
    pub title: LegacyText,
    /// Content.
    pub content: LegacyText,
    /// Row id of the author, in the same file.
    pub author_id: Option<i64>,
    created_at: LegacyText,
    updated_at: LegacyText,
}

impl LegacyUser {
    /// When it was made and last changed; `None` when the file does not say when it was made.
    pub fn times(&self) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        times(self.created_at.readable(), self.updated_at.readable())
    }
}

impl LegacyPost {
    /// When it was made and last changed; `None` when the file does not say when it was made.
    pub fn times(&self) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        times(self.created_at.readable(), self.updated_at.readable())
    }
}

/// The bytes of a user's columns.
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

/// The bytes of a post's columns.
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

/// How a file encodes its texts: https://www.sqlite.org/pragma.html#pragma_encoding.
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
            Self::Utf8 => String::from_utf8(bytes).map_err(|_| NotText {
                column,
                encoding: "UTF-8",
            }),
            Self::Utf16Le => wide(&bytes, u16::from_le_bytes).ok_or(NotText {
                column,
                encoding: "UTF-16",
            }),
            Self::Utf16Be => wide(&bytes, u16::from_be_bytes).ok_or(NotText {
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
    /// Opens the file; it is never written to.
    ///
    /// # Errors
    /// When it is not there or cannot be read.
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
        let absolute = absolute
            .to_str()
            .ok_or_else(|| error("the path is not UTF-8".to_owned()))?;
        // https://www.sqlite.org/uri.html: `?`, `#` and `%` mean something else.
        let escaped = absolute.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
        let connection = SqliteConnection::establish(&format!("file:{escaped}?mode=ro"))
            .map_err(|reason| error(reason.to_string()))?;
        Ok(Self { connection, path })
    }

    /// Every user, by id.
    ///
    /// # Errors
    /// When the file has no such table.
    pub fn users(&mut self) -> Result<Vec<LegacyUser>, DbError> {
        // As bytes: a text that is none would otherwise end the whole query, and nobody would know where.
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

    /// Some hundred posts with ids greater than `after`, by id; none at the end.
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
        let reason = format!("it is no database of the Python system ({reason})");
        DbError::Legacy {
            path: self.path.clone(),
            reason,
        }
    }
}

/// Keeps others from writing until this transaction ends. On SQLite the transaction itself does.
///
/// # Errors
/// The database's.
pub fn lock_tables(connection: &mut Connection<'_>) -> Result<(), DbError> {
    if let Connection::Postgres(c) = connection {
        diesel::sql_query("LOCK TABLE users, blog_posts IN SHARE ROW EXCLUSIVE MODE").execute(&mut **c)?;
    }
    Ok(())
}

/// Makes new rows continue after ids that were taken over. SQLite does so by itself.
///
/// # Errors
/// The database's.
pub fn continue_numbering(connection: &mut Connection<'_>) -> Result<(), DbError> {
    if let Connection::Postgres(c) = connection {
        for table in ["users", "blog_posts"] {
            diesel::sql_query(format!(
                "SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table} HAVING max(id) > 0"
            ))
            .execute(&mut **c)?;
        }
    }
    Ok(())
}

/// A row without the time of its last change, or with one before it was made, was never changed.
fn times(created_at: Option<&str>, updated_at: Option<&str>) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
    let created_at = created_at.and_then(time)?;
    let updated_at = updated_at.and_then(time).unwrap_or(created_at);
    Some((created_at, updated_at.max(created_at)))
}

/// SQLAlchemy writes `2025-03-01 10:20:30.123456` in UTC, and leaves the fraction out when it is nought.
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
    fn a_change_before_the_beginning_is_no_change() {
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
