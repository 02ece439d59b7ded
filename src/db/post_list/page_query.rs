//! The query for a page of posts with their authors, written as SQL text, because Diesel has no index hints.
//!
//! SQLite's plan is pinned in two ways. With statistics (`ANALYZE`), SQLite would read users first and sort all their
//! posts: a `LEFT JOIN` makes it read the left table first. It would also skip-scan the authors' index and sort:
//! `INDEXED BY` forbids that. Either plan would be a hundred times slower.
//!
//! A page also ends after a number of bytes. SQLite returns row by row, so the reader stops there. PostgreSQL sends the
//! whole result, so its query adds up the sizes, for which it does not read the contents.

use diesel::{
    backend::Backend,
    pg::Pg,
    prelude::*,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    serialize::ToSql,
    sql_types::{BigInt, HasSqlType, Text},
    sqlite::Sqlite,
};

use super::{Keyset, PageLimits, PostFilter};
use crate::db::author::AuthorId;

/// A page of posts with their authors.
pub(super) struct PageQuery {
    source: Source,
    /// Characters of each content; `None` for all.
    content_chars: Option<i64>,
    max_bytes: i64,
}

/// Which posts, and in which order.
enum Source {
    /// The newest posts after a keyset.
    Newest {
        author: Option<AuthorId>,
        after: Keyset,
        limit: i64,
    },
    /// The posts with these ids, in this order: decimal numbers, separated by commas.
    Ids(String),
}

impl PageQuery {
    /// The newest posts after a keyset that pass the filter, and one more than the page holds.
    pub fn newest(filter: &PostFilter, after: Keyset, limits: PageLimits) -> Self {
        let source = Source::Newest {
            author: filter.author.map(AuthorId::from),
            after,
            limit: limits.posts.saturating_add(1),
        };
        Self::new(source, limits)
    }

    /// The posts with these ids, in their order.
    pub fn ids(ids: &[i64], limits: PageLimits) -> Self {
        let ids: Vec<String> = ids.iter().map(ToString::to_string).collect();
        Self::new(Source::Ids(ids.join(",")), limits)
    }

    fn new(source: Source, limits: PageLimits) -> Self {
        Self {
            source,
            content_chars: limits.content_chars.map(i64::from),
            max_bytes: i64::try_from(limits.bytes).unwrap_or(i64::MAX),
        }
    }

    /// The bytes of a content, or the fewest bytes that its excerpt takes: a character takes at least one. Never more
    /// than the reader counts: without the row that exceeds the limit, the page would look like the last one.
    fn push_content_bytes<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
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

impl Source {
    /// The number of all posts that pass the filter, in the same statement: one round trip, and of the same state as the page.
    /// 0 for ids, of which the caller knows the number.
    fn push_total<'b, DB>(&'b self, out: &mut AstPass<'_, 'b, DB>) -> QueryResult<()>
    where
        DB: Backend + HasSqlType<BigInt> + HasSqlType<Text>,
        i64: ToSql<BigInt, DB>,
        String: ToSql<Text, DB>,
    {
        match self {
            Self::Ids(_) => out.push_sql("CAST(0 AS BIGINT)"),
            Self::Newest { author, .. } => {
                out.push_sql("(");
                push_count(out, author.as_ref())?;
                out.push_sql(")");
            }
        }
        Ok(())
    }
}

/// Counts the posts that pass a filter. The number of all posts comes from the counts that triggers maintain.
pub(super) fn push_count<'b, DB>(out: &mut AstPass<'_, 'b, DB>, author: Option<&'b AuthorId>) -> QueryResult<()>
where
    DB: Backend + HasSqlType<BigInt> + HasSqlType<Text>,
    i64: ToSql<BigInt, DB>,
    String: ToSql<Text, DB>,
{
    match author {
        None => out.push_sql("SELECT CAST(coalesce(sum(posts), 0) AS BIGINT) FROM post_counts"),
        Some(author) => {
            out.push_sql("SELECT count(*) FROM blog_posts WHERE author_id = ");
            author.push(out)?;
        }
    }
    Ok(())
}

const SELECT: &str = "SELECT p.id, p.title, ";
const TIMES_AND_AUTHOR: &str = ", p.created_at_micros, p.updated_at_micros, \
                                u.id, u.tid, u.oid, u.display_name, u.created_at_micros, u.updated_at_micros, ";
const NEWEST_FIRST: &str = " ORDER BY p.created_at_micros DESC, p.id DESC";

impl QueryFragment<Sqlite> for PageQuery {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql(SELECT);
        match &self.content_chars {
            None => out.push_sql("p.content"),
            Some(chars) => {
                out.push_sql("substr(p.content, 1, (");
                out.push_bind_param::<BigInt, _>(chars)?;
                out.push_sql("))");
            }
        }
        out.push_sql(TIMES_AND_AUTHOR);
        self.source.push_total(&mut out)?;
        out.push_sql(" FROM ");
        match &self.source {
            Source::Newest { author, after, limit } => {
                out.push_sql("blog_posts AS p INDEXED BY ");
                out.push_sql(if author.is_some() {
                    "blog_posts_newest_of_author"
                } else {
                    "blog_posts_newest"
                });
                out.push_sql(" LEFT JOIN users AS u ON u.id = p.author_id");
                push_where(&mut out, author.as_ref(), after)?;
                out.push_sql(NEWEST_FIRST);
                out.push_sql(" LIMIT ");
                out.push_bind_param::<BigInt, _>(limit)?;
                // SQLite reads a bare parameter while it plans, and so would compile the statement anew for each
                // binding.
                out.push_sql(" + 0");
            }
            Source::Ids(ids) => {
                // `CROSS JOIN` makes SQLite follow the order of the array.
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
}

impl QueryFragment<Pg> for PageQuery {
    /// Each post comes with the bytes of the posts before it, `ahead`.
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(SELECT);
        match &self.content_chars {
            None => out.push_sql("p.content"),
            Some(chars) => {
                // PostgreSQL's function takes a four-byte integer.
                out.push_sql("substr(p.content, 1, CAST(");
                out.push_bind_param::<BigInt, _>(chars)?;
                out.push_sql(" AS integer))");
            }
        }
        out.push_sql(TIMES_AND_AUTHOR);
        self.source.push_total(&mut out)?;
        out.push_sql(
            " FROM (SELECT p.id, p.title, p.content, p.author_id, p.created_at_micros, p.updated_at_micros, \
             row_number() OVER pages AS number, sum(",
        );
        self.push_content_bytes(&mut out)?;
        out.push_sql(") OVER pages - ");
        self.push_content_bytes(&mut out)?;
        out.push_sql(" AS ahead FROM ");
        match &self.source {
            Source::Newest { author, after, limit } => {
                out.push_sql("blog_posts AS p");
                push_where(&mut out, author.as_ref(), after)?;
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
        // Looks the authors up for the posts it has found: see `posts::by_id_query`. The second post shows that there are
        // more, however large the first one is.
        out.push_sql(
            ") AS p CROSS JOIN LATERAL (SELECT * FROM users WHERE id = p.author_id OFFSET 0) AS u \
             WHERE p.number <= 2 OR p.ahead <= ",
        );
        out.push_bind_param::<BigInt, _>(&self.max_bytes)?;
        out.push_sql(" ORDER BY p.number");
        Ok(())
    }
}

fn push_where<'b, DB>(out: &mut AstPass<'_, 'b, DB>, author: Option<&'b AuthorId>, after: &'b Keyset) -> QueryResult<()>
where
    DB: Backend + HasSqlType<BigInt> + HasSqlType<Text>,
    i64: ToSql<BigInt, DB>,
    String: ToSql<Text, DB>,
{
    out.push_sql(" WHERE (p.created_at_micros, p.id) < (");
    out.push_bind_param::<BigInt, _>(&after.created_at_micros)?;
    out.push_sql(", ");
    out.push_bind_param::<BigInt, _>(&after.id)?;
    out.push_sql(")");
    if let Some(author) = author {
        out.push_sql(" AND p.author_id = ");
        author.push(out)?;
    }
    Ok(())
}

/// The columns of [`super::PostColumns`], then those of [`super::UserRow`], then the total. The foreign key guarantees that
/// there is an author.
impl Query for PageQuery {
    type SqlType = (
        (BigInt, Text, Text, BigInt, BigInt),
        (BigInt, Text, Text, Text, BigInt, BigInt),
        BigInt,
    );
}

/// The text varies with the source, so Diesel must cache the prepared statement by its text.
impl QueryId for PageQuery {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Conn> RunQueryDsl<Conn> for PageQuery {}
