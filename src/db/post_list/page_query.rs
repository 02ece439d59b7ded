//! The query for a page of posts with their authors, as SQL text, since Diesel knows no index hint.
//!
//! SQLite's plan has to be pinned twice over. Once there are statistics (`ANALYZE`), it would walk users first and sort
//! all their posts; the left table of a `LEFT JOIN` is always walked first. And it would skip-scan the index of the
//! authors, and sort; `INDEXED BY` forbids that. Either would be a hundred times slower.
//!
//! A page also ends after so many bytes. SQLite hands over row by row, so the reader stops there; PostgreSQL sends a whole
//! result, so its query adds up the sizes, for which it reads no content.

use diesel::{
    backend::Backend,
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    serialize::ToSql,
    sql_types::{BigInt, HasSqlType, Text},
};

use super::{Extent, Place, Wanted};
use crate::db::Connection;

/// A page of posts with their authors.
pub(super) struct PageQuery {
    engine: Engine,
    source: Source,
    /// Characters of the content, if not all are wanted.
    content_chars: Option<i64>,
    max_bytes: i64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Engine {
    Sqlite,
    Postgres,
}

/// Which posts, and in which order.
enum Source {
    /// The newest after a place, some of them or of one author.
    Newest {
        author_id: Option<i64>,
        place: Place,
        limit: i64,
    },
    /// Those with these ids, in this order: decimal numbers, with commas between them.
    Ids(String),
}

impl PageQuery {
    /// The posts after a place that are wanted, newest first, and one more than the page holds.
    pub fn newest(connection: &Connection<'_>, wanted: &Wanted, place: Place, extent: Extent) -> Self {
        let limit = extent.limit.saturating_add(1);
        Self::new(
            connection,
            Source::Newest {
                author_id: wanted.author_id,
                place,
                limit,
            },
            extent,
        )
    }

    /// The posts with these ids, in their order.
    pub fn ids(connection: &Connection<'_>, ids: &[i64], extent: Extent) -> Self {
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        Self::new(connection, Source::Ids(ids.join(",")), extent)
    }

    fn new(connection: &Connection<'_>, source: Source, extent: Extent) -> Self {
        let engine = match connection {
            Connection::Sqlite(_) => Engine::Sqlite,
            Connection::Postgres(_) => Engine::Postgres,
        };
        let content_chars = extent.content_chars.map(i64::from);
        Self {
            engine,
            source,
            content_chars,
            max_bytes: i64::try_from(extent.max_bytes).unwrap_or(i64::MAX),
        }
    }

    /// The posts' own columns, `p`, on SQLite.
    fn posts_of_sqlite<'b, DB>(&'b self, out: &mut AstPass<'_, 'b, DB>) -> QueryResult<()>
    where
        DB: Backend + HasSqlType<BigInt> + HasSqlType<Text>,
        i64: ToSql<BigInt, DB>,
        str: ToSql<Text, DB>,
        String: ToSql<Text, DB>,
    {
        match &self.source {
            Source::Newest {
                author_id,
                place,
                limit,
            } => {
                out.push_sql("blog_posts AS p INDEXED BY ");
                out.push_sql(if author_id.is_some() {
                    "blog_posts_newest_of_author"
                } else {
                    "blog_posts_newest"
                });
                out.push_sql(" LEFT JOIN users AS u ON u.id = p.author_id");
                after_place(out, author_id.as_ref(), place)?;
                out.push_sql(NEWEST_FIRST);
                out.push_sql(" LIMIT ");
                out.push_bind_param::<BigInt, _>(limit)?;
                // SQLite looks at a bare parameter while it plans, and so compiles the statement anew for each binding.
                out.push_sql(" + 0");
            }
            Source::Ids(ids) => {
                // In the order of the array: nothing else is in the way of it.
                out.push_sql("json_each('[' || ");
                out.push_bind_param::<Text, _>(ids)?;
                out.push_sql(
                    " || ']') AS n CROSS JOIN blog_posts AS p ON p.id = n.value \
                     LEFT JOIN users AS u ON u.id = p.author_id ORDER BY n.key",
                );
            }
        }
        Ok(())
    }

    /// The same on PostgreSQL: each with the bytes of those before it, `ahead`.
    fn posts_of_postgres<'b, DB>(&'b self, out: &mut AstPass<'_, 'b, DB>) -> QueryResult<()>
    where
        DB: Backend + HasSqlType<BigInt> + HasSqlType<Text>,
        i64: ToSql<BigInt, DB>,
        str: ToSql<Text, DB>,
        String: ToSql<Text, DB>,
    {
        out.push_sql(
            "(SELECT p.id, p.title, p.content, p.author_id, p.created_at_micros, p.updated_at_micros, \
             row_number() OVER pages AS number, sum(",
        );
        self.content_bytes(out)?;
        out.push_sql(") OVER pages - ");
        self.content_bytes(out)?;
        out.push_sql(" AS ahead FROM ");
        match &self.source {
            Source::Newest {
                author_id,
                place,
                limit,
            } => {
                out.push_sql("blog_posts AS p");
                after_place(out, author_id.as_ref(), place)?;
                out.push_sql(
                    " WINDOW pages AS (ORDER BY p.created_at_micros DESC, p.id DESC ROWS UNBOUNDED PRECEDING)",
                );
                out.push_sql(NEWEST_FIRST);
                out.push_sql(" LIMIT ");
                out.push_bind_param::<BigInt, _>(limit)?;
            }
            Source::Ids(ids) => {
                out.push_sql("unnest(string_to_array(");
                out.push_bind_param::<Text, _>(ids)?;
                out.push_sql(
                    ", ',')::bigint[]) WITH ORDINALITY AS n (id, place) JOIN blog_posts AS p ON p.id = n.id \
                     WINDOW pages AS (ORDER BY n.place ROWS UNBOUNDED PRECEDING)",
                );
            }
        }
        // The second shows that there is more, however large the first one is.
        out.push_sql(") AS p LEFT JOIN users AS u ON u.id = p.author_id WHERE p.number <= 2 OR p.ahead <= ");
        out.push_bind_param::<BigInt, _>(&self.max_bytes)?;
        out.push_sql(" ORDER BY p.number");
        Ok(())
    }

    /// The bytes of a content, or the fewest that an excerpt of it takes, since a character takes at least one. Never more
    /// than the reader counts: the row with which its page is too large must be there, or the page looks like the last one.
    fn content_bytes<'b, DB>(&'b self, out: &mut AstPass<'_, 'b, DB>) -> QueryResult<()>
    where
        DB: Backend + HasSqlType<BigInt>,
        i64: ToSql<BigInt, DB>,
    {
        match &self.content_chars {
            None => out.push_sql("octet_length(p.content)"),
            Some(chars) => {
                out.push_sql("least(octet_length(p.content), ");
                out.push_bind_param::<BigInt, _>(chars)?;
                out.push_sql(")");
            }
        }
        Ok(())
    }
}

const NEWEST_FIRST: &str = " ORDER BY p.created_at_micros DESC, p.id DESC";

fn after_place<'b, DB>(out: &mut AstPass<'_, 'b, DB>, author_id: Option<&'b i64>, place: &'b Place) -> QueryResult<()>
where
    DB: Backend + HasSqlType<BigInt>,
    i64: ToSql<BigInt, DB>,
{
    out.push_sql(" WHERE (p.created_at_micros, p.id) < (");
    out.push_bind_param::<BigInt, _>(&place.created_at_micros)?;
    out.push_sql(", ");
    out.push_bind_param::<BigInt, _>(&place.id)?;
    out.push_sql(")");
    if let Some(author_id) = author_id {
        out.push_sql(" AND p.author_id = ");
        out.push_bind_param::<BigInt, _>(author_id)?;
    }
    Ok(())
}

/// Columns of [`super::PostColumns`], then of [`super::UserRow`]. The foreign key sees to it that there is an author.
impl Query for PageQuery {
    type SqlType = (
        (BigInt, Text, Text, BigInt, BigInt),
        (BigInt, Text, Text, Text, BigInt, BigInt),
    );
}

impl<DB> QueryFragment<DB> for PageQuery
where
    DB: Backend + HasSqlType<BigInt> + HasSqlType<Text>,
    i64: ToSql<BigInt, DB>,
    str: ToSql<Text, DB>,
    String: ToSql<Text, DB>,
{
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, DB>) -> QueryResult<()> {
        out.push_sql("SELECT p.id, p.title, ");
        match &self.content_chars {
            None => out.push_sql("p.content"),
            Some(chars) => {
                out.push_sql("substr(p.content, 1, ");
                // PostgreSQL's takes a number of four bytes.
                out.push_sql(if self.engine == Engine::Postgres { "CAST(" } else { "(" });
                out.push_bind_param::<BigInt, _>(chars)?;
                out.push_sql(if self.engine == Engine::Postgres {
                    " AS integer))"
                } else {
                    "))"
                });
            }
        }
        out.push_sql(
            ", p.created_at_micros, p.updated_at_micros, \
             u.id, u.tid, u.oid, u.display_name, u.created_at_micros, u.updated_at_micros FROM ",
        );
        match self.engine {
            Engine::Sqlite => self.posts_of_sqlite(&mut out),
            Engine::Postgres => self.posts_of_postgres(&mut out),
        }
    }
}

/// The text differs with what is wanted, so Diesel keeps the prepared statement by its text.
impl QueryId for PageQuery {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Conn> RunQueryDsl<Conn> for PageQuery {}
