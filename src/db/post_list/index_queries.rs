//! Queries of the list that read indexes and counts only: the total, and the position after some posts. As SQL text, so that
//! both databases get the same, and an author may be looked up within it.

use diesel::{
    backend::Backend,
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    serialize::ToSql,
    sql_types::{BigInt, HasSqlType, Text},
};

use super::{PostFilter, page_query::push_count};
use crate::db::author::AuthorId;

/// The number of posts that pass a filter.
pub(super) struct CountQuery {
    author: Option<AuthorId>,
}

impl CountQuery {
    pub fn new(filter: &PostFilter) -> Self {
        Self {
            author: filter.author.map(AuthorId::from),
        }
    }
}

impl<DB> QueryFragment<DB> for CountQuery
where
    DB: Backend + HasSqlType<BigInt> + HasSqlType<Text>,
    i64: ToSql<BigInt, DB>,
    String: ToSql<Text, DB>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        push_count(&mut out, self.author.as_ref())
    }
}

impl Query for CountQuery {
    type SqlType = BigInt;
}

/// The text varies with the filter, so Diesel must cache the prepared statement by its text.
impl QueryId for CountQuery {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Conn> RunQueryDsl<Conn> for CountQuery {}

/// Time and id of the post after which a page begins that skips some posts.
pub(super) struct LastSkippedQuery {
    author: Option<AuthorId>,
    offset: i64,
}

impl LastSkippedQuery {
    /// `skip` is at least 1.
    pub fn new(filter: &PostFilter, skip: i64) -> Self {
        Self {
            author: filter.author.map(AuthorId::from),
            offset: skip.saturating_sub(1),
        }
    }
}

impl<DB> QueryFragment<DB> for LastSkippedQuery
where
    DB: Backend + HasSqlType<BigInt> + HasSqlType<Text>,
    i64: ToSql<BigInt, DB>,
    String: ToSql<Text, DB>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        out.push_sql("SELECT created_at_micros, id FROM blog_posts");
        if let Some(author) = &self.author {
            out.push_sql(" WHERE author_id = ");
            author.push(&mut out)?;
        }
        out.push_sql(" ORDER BY created_at_micros DESC, id DESC LIMIT 1 OFFSET ");
        out.push_bind_param::<BigInt, _>(&self.offset)?;
        // SQLite reads a bare parameter while it plans, and so would compile the statement anew for each binding.
        out.push_sql(" + 0");
        Ok(())
    }
}

impl Query for LastSkippedQuery {
    type SqlType = (BigInt, BigInt);
}

/// The text varies with the filter, so Diesel must cache the prepared statement by its text.
impl QueryId for LastSkippedQuery {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Conn> RunQueryDsl<Conn> for LastSkippedQuery {}
