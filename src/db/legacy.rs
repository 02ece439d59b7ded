//! The Python system's SQLite file, read only: tables `users` and `blog_posts` as SQLModel made them; and what taking
//! it over needs of the database that it goes to.

use std::path::{self, Path};

use chrono::{DateTime, NaiveDateTime, SubsecRound, Utc};
use diesel::{
    Connection as _, QueryableByName, RunQueryDsl,
    sql_types::{BigInt, Nullable, Text},
    sqlite::SqliteConnection,
};

use super::{Connection, DbError};
use crate::config::quotable_path;

/// The opened file.
pub struct LegacyFile {
    connection: SqliteConnection,
    path: String,
}

/// A user as found; any column may be missing.
#[derive(Debug, QueryableByName)]
pub struct LegacyUser {
    /// Row id.
    #[diesel(sql_type = BigInt)]
    pub id: i64,
    /// Object id, a GUID one hopes.
    #[diesel(sql_type = Nullable<Text>)]
    pub oid: Option<String>,
    /// Display name.
    #[diesel(sql_type = Nullable<Text>)]
    pub display_name: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    created_at: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    updated_at: Option<String>,
}

/// A post as found; any column may be missing.
#[derive(Debug, QueryableByName)]
pub struct LegacyPost {
    /// Row id.
    #[diesel(sql_type = BigInt)]
    pub id: i64,
    /// Title.
    #[diesel(sql_type = Nullable<Text>)]
    pub title: Option<String>,
    /// Content.
    #[diesel(sql_type = Nullable<Text>)]
    pub content: Option<String>,
    /// Row id of the author, in the same file.
    #[diesel(sql_type = Nullable<BigInt>)]
    pub author_id: Option<i64>,
    #[diesel(sql_type = Nullable<Text>)]
    created_at: Option<String>,
    #[diesel(sql_type = Nullable<Text>)]
    updated_at: Option<String>,
}

impl LegacyUser {
    /// When it was made and last changed; `None` when the file does not say when it was made.
    pub fn times(&self) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        times(self.created_at.as_deref(), self.updated_at.as_deref())
    }
}

impl LegacyPost {
    /// When it was made and last changed; `None` when the file does not say when it was made.
    pub fn times(&self) -> Option<(DateTime<Utc>, DateTime<Utc>)> {
        times(self.created_at.as_deref(), self.updated_at.as_deref())
    }
}

impl LegacyFile {
    /// Opens the file; it is never written to.
    ///
    /// # Errors
    /// When it is not there or cannot be read.
    pub fn open(file: &Path) -> Result<Self, DbError> {
        let path = quotable_path(file).into_owned();
        let error = |reason: String| DbError::Legacy { path: path.clone(), reason };
        if !file.is_file() {
            return Err(error("there is no such file".to_owned()));
        }
        let absolute = path::absolute(file).map_err(|reason| error(reason.to_string()))?;
        let absolute = absolute.to_str().ok_or_else(|| error("the path is not UTF-8".to_owned()))?;
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
        diesel::sql_query(
            "SELECT CAST(id AS INTEGER) AS id, CAST(oid AS TEXT) AS oid, CAST(display_name AS TEXT) AS display_name, \
             CAST(created_at AS TEXT) AS created_at, CAST(updated_at AS TEXT) AS updated_at FROM users ORDER BY id",
        )
        .load(&mut self.connection)
        .map_err(|reason| self.unreadable(&reason))
    }

    /// Some hundred posts with ids greater than `after`, by id; none at the end.
    ///
    /// # Errors
    /// When the file has no such table.
    pub fn posts(&mut self, after: i64) -> Result<Vec<LegacyPost>, DbError> {
        diesel::sql_query(
            "SELECT CAST(id AS INTEGER) AS id, CAST(title AS TEXT) AS title, CAST(content AS TEXT) AS content, \
             CAST(author_id AS INTEGER) AS author_id, CAST(created_at AS TEXT) AS created_at, \
             CAST(updated_at AS TEXT) AS updated_at FROM blog_posts WHERE id > ? ORDER BY id LIMIT 500",
        )
        .bind::<BigInt, _>(after)
        .load(&mut self.connection)
        .map_err(|reason| self.unreadable(&reason))
    }

    fn unreadable(&self, reason: &diesel::result::Error) -> DbError {
        let reason = format!("it is no database of the Python system ({reason})");
        DbError::Legacy { path: self.path.clone(), reason }
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
    let naive = || without.iter().find_map(|format| NaiveDateTime::parse_from_str(text, format).ok());
    let aware = || with_offset.iter().find_map(|format| DateTime::parse_from_str(text, format).ok());
    let time = naive().map(|time| time.and_utc()).or_else(|| aware().map(DateTime::<Utc>::from))?;
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
        assert_eq!(times(Some(made), Some("2025-03-01 10:20:29")), Some((at(made), at(made))));
        assert_eq!(times(None, Some(made)), None);
    }
}
