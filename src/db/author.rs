//! An author in a query: by row id, or by tenant and object id, which the query looks up.
//!
//! Looking the user up within the query saves a round trip to the server, and needs no cache that could be outdated.

use diesel::{
    QueryResult,
    backend::Backend,
    query_builder::AstPass,
    serialize::ToSql,
    sql_types::{BigInt, HasSqlType, Text},
};

use crate::user_key::UserKey;

/// Whose posts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AuthorFilter {
    /// Those of the user with this row id.
    Id(i64),
    /// Those of the user with this key; none if there is no such user.
    Key(UserKey),
}

/// An [`AuthorFilter`] with the values that a query binds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum AuthorId {
    Id(i64),
    Key(KeyColumns),
}

/// The columns of a user's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct KeyColumns {
    tid: String,
    oid: String,
}

impl From<AuthorFilter> for AuthorId {
    fn from(author: AuthorFilter) -> Self {
        match author {
            AuthorFilter::Id(id) => Self::Id(id),
            AuthorFilter::Key(key) => Self::Key(key.into()),
        }
    }
}

impl From<UserKey> for KeyColumns {
    fn from(key: UserKey) -> Self {
        Self {
            tid: key.tenant_id.hyphenated().to_string(),
            oid: key.object_id.hyphenated().to_string(),
        }
    }
}

impl AuthorId {
    /// The row id, as an SQL expression.
    pub fn push<'b, DB>(&'b self, out: &mut AstPass<'_, 'b, DB>) -> QueryResult<()>
    where
        DB: Backend + HasSqlType<BigInt> + HasSqlType<Text>,
        i64: ToSql<BigInt, DB>,
        String: ToSql<Text, DB>,
    {
        match self {
            Self::Id(id) => out.push_bind_param::<BigInt, _>(id),
            Self::Key(key) => {
                out.push_sql("(SELECT id FROM users WHERE ");
                key.push_condition(out)?;
                out.push_sql(")");
                Ok(())
            }
        }
    }
}

impl KeyColumns {
    /// The condition that a row of `users` has this key.
    pub fn push_condition<'b, DB>(&'b self, out: &mut AstPass<'_, 'b, DB>) -> QueryResult<()>
    where
        DB: Backend + HasSqlType<Text>,
        String: ToSql<Text, DB>,
    {
        out.push_sql("tid = ");
        out.push_bind_param::<Text, _>(&self.tid)?;
        out.push_sql(" AND oid = ");
        out.push_bind_param::<Text, _>(&self.oid)
    }
}
