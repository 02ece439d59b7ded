//! The query for a page of posts with their authors, as SQL text, since Diesel knows no index hint.
//!
//! SQLite's plan has to be pinned twice over. Once there are statistics (`ANALYZE`), it would walk users first and sort
//! all their posts; the left table of a `LEFT JOIN` is always walked first. And it would skip-scan the index of the
//! authors, and sort; `INDEXED BY` forbids that. Either would be a hundred times slower.

use diesel::{
    backend::Backend,
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    serialize::ToSql,
    sql_types::{BigInt, HasSqlType, Text},
};

use super::{Place, Wanted};
use crate::db::Connection;

/// The posts after a place that are wanted.
pub(super) struct PageQuery {
    /// SQLite's `INDEXED BY …`; empty on PostgreSQL, whose planner counts what a `LIMIT` saves.
    index_hint: &'static str,
    author_id: Option<i64>,
    place: Place,
    limit: i64,
}

impl PageQuery {
    pub fn new(connection: &Connection<'_>, wanted: &Wanted, place: Place, limit: i64) -> Self {
        let index_hint = match (connection, wanted.author_id) {
            (Connection::Sqlite(_), None) => " INDEXED BY blog_posts_newest",
            (Connection::Sqlite(_), Some(_)) => " INDEXED BY blog_posts_newest_of_author",
            (Connection::Postgres(_), _) => "",
        };
        Self { index_hint, author_id: wanted.author_id, place, limit }
    }
}

/// Columns of [`super::PostColumns`], then of [`super::UserRow`]. The foreign key sees to it that there is an author.
impl Query for PageQuery {
    type SqlType = ((BigInt, Text, Text, BigInt, BigInt), (BigInt, Text, Text, Text, BigInt, BigInt));
}

impl<DB> QueryFragment<DB> for PageQuery
where
    DB: Backend + HasSqlType<BigInt> + HasSqlType<Text>,
    i64: ToSql<BigInt, DB>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        out.push_sql(
            "SELECT p.id, p.title, p.content, p.created_at_micros, p.updated_at_micros, \
             u.id, u.tid, u.oid, u.display_name, u.created_at_micros, u.updated_at_micros FROM blog_posts AS p",
        );
        out.push_sql(self.index_hint);
        out.push_sql(" LEFT JOIN users AS u ON u.id = p.author_id WHERE (p.created_at_micros, p.id) < (");
        out.push_bind_param::<BigInt, _>(&self.place.created_at_micros)?;
        out.push_sql(", ");
        out.push_bind_param::<BigInt, _>(&self.place.id)?;
        out.push_sql(")");
        if let Some(author_id) = &self.author_id {
            out.push_sql(" AND p.author_id = ");
            out.push_bind_param::<BigInt, _>(author_id)?;
        }
        out.push_sql(" ORDER BY p.created_at_micros DESC, p.id DESC LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.limit)?;
        // SQLite looks at a bare parameter while it plans, and so compiles the statement anew for each binding.
        out.push_sql(" + 0");
        Ok(())
    }
}

/// The text differs with what is wanted, so Diesel keeps the prepared statement by its text.
impl QueryId for PageQuery {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Conn> RunQueryDsl<Conn> for PageQuery {}
