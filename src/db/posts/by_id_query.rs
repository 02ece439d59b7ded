//! The query for one post with its author.
//!
//! PostgreSQL looks the author up for the post it has found (`LATERAL`, and `OFFSET 0`, which the planner does not dissolve). With
//! an ordinary join it may merge both tables in the order of the authors' ids: if few users had written posts when statistics were
//! collected, it expects to find the author early, and reads every user before a new one.

use diesel::{
    pg::Pg,
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{BigInt, Text},
    sqlite::Sqlite,
};

/// A post with its author.
#[derive(QueryId)]
pub(super) struct ByIdQuery {
    pub id: i64,
}

const COLUMNS: &str = "SELECT p.id, p.title, p.content, p.created_at_micros, p.updated_at_micros, u.id, u.tid, u.oid, \
                       u.display_name, u.created_at_micros, u.updated_at_micros FROM blog_posts AS p ";

impl QueryFragment<Sqlite> for ByIdQuery {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql(COLUMNS);
        // No `LIMIT`: SQLite compiles a statement anew whenever its `LIMIT` is bound.
        out.push_sql("JOIN users AS u ON u.id = p.author_id WHERE p.id = ");
        out.push_bind_param::<BigInt, _>(&self.id)
    }
}

impl QueryFragment<Pg> for ByIdQuery {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(COLUMNS);
        out.push_sql("CROSS JOIN LATERAL (SELECT * FROM users WHERE id = p.author_id OFFSET 0) AS u WHERE p.id = ");
        out.push_bind_param::<BigInt, _>(&self.id)
    }
}

/// The columns of [`super::PostColumns`], then those of [`super::UserRow`].
impl Query for ByIdQuery {
    type SqlType = (
        (BigInt, Text, Text, BigInt, BigInt),
        (BigInt, Text, Text, Text, BigInt, BigInt),
    );
}

impl<Conn> RunQueryDsl<Conn> for ByIdQuery {}
