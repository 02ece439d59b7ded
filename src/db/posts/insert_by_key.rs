//! PostgreSQL's statement that stores a post by the user with some key, and returns both: one round trip, which needs no
//! transaction, and whose result cannot be outdated.

use diesel::{
    pg::Pg,
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{BigInt, Text},
};

use super::NewPost;
use crate::{db::author::KeyColumns, user_key::UserKey};

/// Returns no row if there is no such user.
pub(super) struct InsertByKey<'a> {
    author: KeyColumns,
    /// The name that the user must have; `None` for any.
    name: Option<&'a str>,
    title: &'a str,
    content: &'a str,
    created_at: i64,
    updated_at: i64,
}

impl<'a> InsertByKey<'a> {
    pub fn new(author: UserKey, name: Option<&'a str>, post: &NewPost<'a>) -> Self {
        Self {
            author: author.into(),
            name,
            title: post.title,
            content: post.content,
            created_at: post.created_at.timestamp_micros(),
            updated_at: post.updated_at.timestamp_micros(),
        }
    }
}

impl QueryFragment<Pg> for InsertByKey<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(
            "WITH author AS (SELECT id, tid, oid, display_name, created_at_micros, updated_at_micros FROM users WHERE ",
        );
        self.author.push_condition(&mut out)?;
        if let Some(name) = &self.name {
            out.push_sql(" AND display_name = ");
            out.push_bind_param::<Text, _>(name)?;
        }
        out.push_sql(
            "), post AS (INSERT INTO blog_posts (author_id, title, content, created_at_micros, updated_at_micros) \
             SELECT id, ",
        );
        out.push_bind_param::<Text, _>(&self.title)?;
        out.push_sql(", ");
        out.push_bind_param::<Text, _>(&self.content)?;
        out.push_sql(", ");
        out.push_bind_param::<BigInt, _>(&self.created_at)?;
        out.push_sql(", ");
        out.push_bind_param::<BigInt, _>(&self.updated_at)?;
        out.push_sql(
            " FROM author RETURNING id) SELECT post.id, author.id, author.tid, author.oid, author.display_name, \
             author.created_at_micros, author.updated_at_micros FROM post CROSS JOIN author",
        );
        Ok(())
    }
}

/// The post's id, then the columns of [`super::UserRow`].
impl Query for InsertByKey<'_> {
    type SqlType = (BigInt, (BigInt, Text, Text, Text, BigInt, BigInt));
}

/// The text varies with the name, so Diesel must cache the prepared statement by its text.
impl QueryId for InsertByKey<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Conn> RunQueryDsl<Conn> for InsertByKey<'_> {}
