//! Full-text search over titles and contents, best match first: FTS5 on SQLite, `tsvector` on PostgreSQL.
//!
//! What was typed never reaches either query language: it is cut into pieces, and each piece is quoted for the one and
//! looked at by a function of ours in the other. Both find the same posts; the order follows each database's own rank.

use diesel::{
    QueryableByName, RunQueryDsl,
    sql_types::{BigInt, Bool, Text},
};

use super::{Connection, DbError};

/// Most posts that a search finds: the newest of those that match. Ranking costs something for each, and nobody reads
/// that far.
pub const MAX_FOUND: i64 = 10_000;

/// Pieces of a text that are looked for; more are not looked at.
const MAX_PIECES: usize = 32;

/// What is searched for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sought {
    /// At least one; none holds white space or a NUL, each a letter or a digit.
    pieces: Vec<String>,
    /// Only by the user with this row id.
    author_id: Option<i64>,
}

impl Sought {
    /// The words of a text, all of which a post must hold, whatever their case. Words that punctuation joins must stand
    /// side by side. The last one may also be the beginning of a word, if it is longer than one character. `None` when
    /// there is nothing in it to look for.
    pub fn new(text: &str, author_id: Option<i64>) -> Option<Self> {
        let pieces: Vec<String> = text
            .split(|c: char| c.is_whitespace() || c.is_control())
            .filter(|piece| piece.contains(char::is_alphanumeric))
            .take(MAX_PIECES)
            .map(ToOwned::to_owned)
            .collect();
        (!pieces.is_empty()).then_some(Self { pieces, author_id })
    }

    fn last_is_prefix(&self) -> bool {
        // What follows the last letter or digit ends the word.
        let last = self.pieces.last().map_or("", String::as_str);
        last.ends_with(char::is_alphanumeric) && last.chars().filter(|c| c.is_alphanumeric()).count() > 1
    }

    /// For FTS5's `MATCH`: strings side by side, which means that all must match. In a string nothing but the quotation
    /// mark has a meaning, and a string without a word is left out.
    fn for_fts5(&self) -> String {
        let strings: Vec<String> =
            self.pieces.iter().map(|piece| format!("\"{}\"", piece.replace('"', "\"\""))).collect();
        strings.join(" ") + if self.last_is_prefix() { "*" } else { "" }
    }
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

/// The ids of the posts found, best match first, newest first among equals. A match in the title counts for more.
///
/// # Errors
/// The database's.
pub fn ranked(connection: &mut Connection<'_>, sought: &Sought, skip: i64, limit: i64) -> Result<Vec<i64>, DbError> {
    let found: Vec<Number> = match connection {
        Connection::Sqlite(c) => diesel::sql_query(format!(
            "WITH found AS MATERIALIZED (SELECT post_search.rowid AS id, bm25(post_search, 10.0, 1.0) AS rank {FOUND_BY_FTS5}) \
             SELECT id AS number FROM found ORDER BY rank, id DESC LIMIT ? OFFSET ?"
        ))
        .bind::<Text, _>(sought.for_fts5())
        .bind::<Bool, _>(sought.author_id.is_none())
        .bind::<BigInt, _>(sought.author_id.unwrap_or_default())
        .bind::<BigInt, _>(MAX_FOUND)
        .bind::<BigInt, _>(limit)
        .bind::<BigInt, _>(skip)
        .load(&mut **c)?,
        Connection::Postgres(c) => diesel::sql_query(format!(
            "{FOUND_BY_TSVECTOR} SELECT id AS number FROM found JOIN blog_posts USING (id) \
             ORDER BY ts_rank('{{0.1, 0.2, 0.4, 1.0}}', searched, search_query($1, $2), 1) DESC, id DESC \
             LIMIT $6 OFFSET $7"
        ))
        .bind::<Text, _>(sought.pieces.join(" "))
        .bind::<Bool, _>(sought.last_is_prefix())
        .bind::<Bool, _>(sought.author_id.is_none())
        .bind::<BigInt, _>(sought.author_id.unwrap_or_default())
        .bind::<BigInt, _>(MAX_FOUND)
        .bind::<BigInt, _>(limit)
        .bind::<BigInt, _>(skip)
        .load(&mut **c)?,
    };
    Ok(found.into_iter().map(|found| found.number).collect())
}

/// How many posts are found, [`MAX_FOUND`] at most.
///
/// # Errors
/// The database's.
pub fn count(connection: &mut Connection<'_>, sought: &Sought) -> Result<i64, DbError> {
    let counted: Number = match connection {
        Connection::Sqlite(c) => {
            diesel::sql_query(format!("SELECT count(*) AS number FROM (SELECT 1 {FOUND_BY_FTS5})"))
                .bind::<Text, _>(sought.for_fts5())
                .bind::<Bool, _>(sought.author_id.is_none())
                .bind::<BigInt, _>(sought.author_id.unwrap_or_default())
                .bind::<BigInt, _>(MAX_FOUND)
                .get_result(&mut **c)?
        }
        Connection::Postgres(c) => {
            diesel::sql_query(format!("{FOUND_BY_TSVECTOR} SELECT count(*) AS number FROM found"))
                .bind::<Text, _>(sought.pieces.join(" "))
                .bind::<Bool, _>(sought.last_is_prefix())
                .bind::<Bool, _>(sought.author_id.is_none())
                .bind::<BigInt, _>(sought.author_id.unwrap_or_default())
                .bind::<BigInt, _>(MAX_FOUND)
                .get_result(&mut **c)?
        }
    };
    Ok(counted.number)
}

/// What the index knows in an older form, or that is gone, is left out until it has caught up. `CROSS JOIN` forbids SQLite
/// to begin with the posts, and FTS5 goes by rowid of its own: nothing is sorted to find the newest.
const FOUND_BY_FTS5: &str = "FROM post_search CROSS JOIN blog_posts AS p ON p.id = post_search.rowid \
                             WHERE post_search MATCH ? AND (? OR p.author_id = ?) \
                             AND p.id NOT IN (SELECT post_id FROM posts_to_index) \
                             ORDER BY post_search.rowid DESC LIMIT ?";

/// Materialised first, so that the planner does not walk all posts from the newest in the hope to meet matches soon.
const FOUND_BY_TSVECTOR: &str = "WITH matching AS MATERIALIZED (\
                                 SELECT id FROM blog_posts WHERE searched @@ search_query($1, $2) \
                                 AND ($3 OR author_id = $4)), \
                                 found AS (SELECT id FROM matching ORDER BY id DESC LIMIT $5)";

#[cfg(test)]
mod tests {
    use super::*;

    fn fts5(text: &str) -> Option<String> {
        Sought::new(text, None).map(|sought| sought.for_fts5())
    }

    #[test]
    fn what_was_typed_becomes_quoted_strings() {
        for (text, query) in [
            ("rust", "\"rust\"*"),
            ("  Rust \t API ", "\"Rust\" \"API\"*"),
            ("a", "\"a\""),
            ("rust!", "\"rust!\""),
            ("say \"so\"", "\"say\" \"\"\"so\"\"\""),
            ("a\" OR b:c*", "\"a\"\"\" \"OR\" \"b:c*\""),
            ("NEAR(x y, 2)", "\"NEAR(x\" \"y,\" \"2)\""),
            ("x\0y", "\"x\" \"y\""),
            ("- ^ * ( ) \" 1", "\"1\""),
        ] {
            assert_eq!(fts5(text).as_deref(), Some(query), "{text:?}");
        }
        for nothing in ["", " ", "\"", "* ^ - + ( ) { } :", "🦀", "\0"] {
            assert_eq!(fts5(nothing), None, "{nothing:?}");
        }
    }

    #[test]
    fn only_so_many_pieces_are_looked_for() {
        let sought = Sought::new(&"x ".repeat(5000), None).expect("words");
        assert_eq!(sought.pieces.len(), MAX_PIECES);
    }
}
