//! The Rust types of columns whose SQL type is more general: GUIDs as lower-case text, times as microseconds.

use chrono::{DateTime, Utc};
use diesel::{
    backend::Backend,
    deserialize::{self, FromSql, FromSqlRow},
    sql_types::{BigInt, Text},
};
use uuid::Uuid;

/// A GUID in a text column.
#[derive(Debug, FromSqlRow)]
pub struct StoredGuid(Uuid);

impl<DB> FromSql<Text, DB> for StoredGuid
where
    DB: Backend,
    String: FromSql<Text, DB>,
{
    fn from_sql(value: DB::RawValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(Uuid::try_parse(&String::from_sql(value)?)?))
    }
}

impl From<StoredGuid> for Uuid {
    fn from(stored: StoredGuid) -> Self {
        stored.0
    }
}

/// A time in a column of microseconds since 1970.
#[derive(Debug, FromSqlRow)]
pub struct StoredTime(DateTime<Utc>);

impl<DB> FromSql<BigInt, DB> for StoredTime
where
    DB: Backend,
    i64: FromSql<BigInt, DB>,
{
    fn from_sql(value: DB::RawValue<'_>) -> deserialize::Result<Self> {
        let micros = i64::from_sql(value)?;
        Ok(Self(
            DateTime::from_timestamp_micros(micros).ok_or("a stored time is out of range")?,
        ))
    }
}

impl From<StoredTime> for DateTime<Utc> {
    fn from(stored: StoredTime) -> Self {
        stored.0
    }
}
