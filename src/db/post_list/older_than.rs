//! `(created_at_micros, id) < (?, ?)`: Diesel has no comparison of rows, and `OR` would not use the index as well.

use diesel::{
    backend::Backend,
    expression::{AppearsOnTable, Expression, SelectableExpression, ValidGrouping, is_aggregate},
    prelude::*,
    query_builder::{AstPass, QueryFragment, QueryId},
    serialize::ToSql,
    sql_types::{BigInt, Bool, HasSqlType},
};

use super::Place;
use crate::db::schema::blog_posts;

/// Whether a post is after the place, newest first.
#[derive(Debug, Clone, Copy)]
pub(super) struct OlderThan(pub Place);

impl Expression for OlderThan {
    type SqlType = Bool;
}

impl<DB> QueryFragment<DB> for OlderThan
where
    DB: Backend + HasSqlType<BigInt>,
    i64: ToSql<BigInt, DB>,
    blog_posts::created_at_micros: QueryFragment<DB>,
    blog_posts::id: QueryFragment<DB>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        out.push_sql("(");
        blog_posts::created_at_micros.walk_ast(out.reborrow())?;
        out.push_sql(", ");
        blog_posts::id.walk_ast(out.reborrow())?;
        out.push_sql(") < (");
        out.push_bind_param::<BigInt, _>(&self.0.created_at_micros)?;
        out.push_sql(", ");
        out.push_bind_param::<BigInt, _>(&self.0.id)?;
        out.push_sql(")");
        Ok(())
    }
}

/// The text is always the same, so the prepared statement is kept.
impl QueryId for OlderThan {
    type QueryId = Self;
    const HAS_STATIC_QUERY_ID: bool = true;
}

impl<Source> AppearsOnTable<Source> for OlderThan where blog_posts::id: AppearsOnTable<Source> {}
impl<Source> SelectableExpression<Source> for OlderThan where blog_posts::id: SelectableExpression<Source> {}

impl ValidGrouping<()> for OlderThan {
    type IsAggregate = is_aggregate::No;
}
