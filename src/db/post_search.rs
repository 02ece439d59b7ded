//! Full-text search over titles and contents, best match first: FTS5 on SQLite, `tsvector` on PostgreSQL.
//!
//! What was typed never reaches either query language: it is cut into pieces, and each piece is quoted for the one and
//! looked at by a function of ours in the other. Both find the same posts; the order follows each database's own rank.

use diesel::{
    QueryResult, QueryableByName, RunQueryDsl,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{BigInt, Bool, Double, Text},
    sqlite::Sqlite,
};

use super::{Connection, DbError};

/// Most posts that a search counts and ranks: the newest of those that match. Each costs some microseconds, and nobody
/// reads that far.
pub const MAX_FOUND: usize = 2_000;

/// Words of a text that are looked for; more are not looked at. Words that punctuation joins cost as much as others.
const MAX_WORDS: usize = 16;
/// Up to so many words a search is ranked: rank costs something for each word of each post. With more, the newest post
/// is the first.
const MAX_RANKED_WORDS: usize = 8;

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
        let mut words_left = MAX_WORDS;
        let mut pieces: Vec<String> = Vec::new();
        for piece in text.split(|c: char| c.is_whitespace() || c.is_control()) {
            let piece = with_words(piece, words_left);
            let words = words_of(piece);
            if words == 0 {
                continue;
            }
            // The same once more looks for nothing else; the later one, since the last may be a beginning.
            pieces.retain(|known| known != piece);
            pieces.push(piece.to_owned());
            words_left -= words;
            if words_left == 0 {
                break;
            }
        }
        (!pieces.is_empty()).then_some(Self { pieces, author_id })
    }

    fn is_ranked(&self) -> bool {
        self.pieces.iter().map(|piece| words_of(piece)).sum::<usize>() <= MAX_RANKED_WORDS
    }

    fn last_is_prefix(&self) -> bool {
        // What follows the last letter or digit ends the word.
        let last = self.pieces.last().map_or("", String::as_str);
        last.ends_with(char::is_alphanumeric) && last.chars().filter(|c| c.is_alphanumeric()).count() > 1
    }

    /// For FTS5's `MATCH`: strings side by side, which means that all must match. In a string nothing but the quotation
    /// mark has a meaning, and a string without a word is left out.
    fn for_fts5(&self) -> String {
        let strings: Vec<String> = self
            .pieces
            .iter()
            .map(|piece| format!("\"{}\"", piece.replace('"', "\"\"")))
            .collect();
        strings.join(" ") + if self.last_is_prefix() { "*" } else { "" }
    }
}

/// What a search finds.
#[derive(Debug)]
pub struct Found {
    /// The ids of the posts, best match first, newest first among equals. A match in the title counts for more.
    pub ids: Vec<i64>,
    /// Whether older posts match, too: these are the newest [`MAX_FOUND`].
    pub is_limited: bool,
    /// Whether every post that was written before was looked at.
    pub is_current: bool,
}

#[derive(QueryableByName)]
struct Ranked {
    #[diesel(sql_type = BigInt)]
    id: i64,
    #[diesel(sql_type = Double)]
    rank: f64,
}

/// The posts that match.
///
/// # Errors
/// The database's.
pub fn found(connection: &mut Connection<'_>, sought: &Sought) -> Result<Found, DbError> {
    // One more than is counted tells whether there are more.
    let limit = i64::try_from(MAX_FOUND).unwrap_or(i64::MAX).saturating_add(1);
    let (mut found, is_current): (Vec<(f64, i64)>, bool) = match connection {
        Connection::Sqlite(c) => {
            let is_current = !super::sqlite::is_search_index_behind(c)?;
            let rows: Vec<(i64, f64)> = MatchQuery {
                text: sought.for_fts5(),
                sought,
                limit,
            }
            .load(&mut **c)?;
            // Of two, the smaller one is the better.
            (rows.into_iter().map(|(id, rank)| (-rank, id)).collect(), is_current)
        }
        Connection::Postgres(c) => {
            let rank = if sought.is_ranked() {
                "ts_rank('{0.1, 0.2, 0.4, 1.0}', searched, search_query($1, $2), 1)::float8"
            } else {
                "0::float8"
            };
            let rows: Vec<Ranked> = diesel::sql_query(format!(
                "{FOUND_BY_TSVECTOR} SELECT id, {rank} AS rank FROM found JOIN blog_posts USING (id) ORDER BY id DESC"
            ))
            .bind::<Text, _>(sought.pieces.join(" "))
            .bind::<Bool, _>(sought.last_is_prefix())
            .bind::<Bool, _>(sought.author_id.is_none())
            .bind::<BigInt, _>(sought.author_id.unwrap_or_default())
            .bind::<BigInt, _>(limit)
            .load(&mut **c)?;
            (rows.into_iter().map(|row| (row.rank, row.id)).collect(), true)
        }
    };
    let is_limited = found.len() > MAX_FOUND;
    found.truncate(MAX_FOUND);
    found.sort_unstable_by(|(rank, id), (other_rank, other_id)| {
        other_rank.total_cmp(rank).then_with(|| other_id.cmp(id))
    });
    Ok(Found {
        ids: found.into_iter().map(|(_, id)| id).collect(),
        is_limited,
        is_current,
    })
}

/// Ids and ranks of the posts that match, newest first. FTS5 goes by rowid of its own, so nothing is sorted. What the
/// index knows in an older form, or that is gone, is left out until it has caught up. `CROSS JOIN` forbids SQLite to
/// begin with the posts.
struct MatchQuery<'a> {
    text: String,
    sought: &'a Sought,
    limit: i64,
}

impl QueryFragment<Sqlite> for MatchQuery<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql("SELECT post_search.rowid, ");
        out.push_sql(if self.sought.is_ranked() {
            "bm25(post_search, 10.0, 1.0)"
        } else {
            "0.0"
        });
        out.push_sql(" FROM post_search");
        if let Some(author_id) = &self.sought.author_id {
            out.push_sql(" CROSS JOIN blog_posts AS p ON p.id = post_search.rowid AND p.author_id = ");
            out.push_bind_param::<BigInt, _>(author_id)?;
        }
        out.push_sql(" WHERE post_search MATCH ");
        out.push_bind_param::<Text, _>(&self.text)?;
        out.push_sql(
            // Asking costs as much as the rest of a row, so one row in sixteen asks.
            " AND (post_search.rowid & 15 OR search_goes_on(post_search.rowid)) \
             AND post_search.rowid NOT IN (SELECT post_id FROM posts_to_index) ORDER BY post_search.rowid DESC LIMIT ",
        );
        out.push_bind_param::<BigInt, _>(&self.limit)?;
        // SQLite looks at a bare parameter while it plans, and so compiles the statement anew for each binding.
        out.push_sql(" + 0");
        Ok(())
    }
}

impl Query for MatchQuery<'_> {
    type SqlType = (BigInt, Double);
}

/// The text differs with what is looked for, so Diesel keeps the prepared statement by its text.
impl QueryId for MatchQuery<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Conn> RunQueryDsl<Conn> for MatchQuery<'_> {}

/// How many words a piece holds: runs of letters and digits.
fn words_of(piece: &str) -> usize {
    piece
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .count()
}

/// The beginning of a piece that holds so many words.
fn with_words(piece: &str, most: usize) -> &str {
    let mut words = 0;
    let mut is_in_word = false;
    for (at, c) in piece.char_indices() {
        if c.is_alphanumeric() && !is_in_word {
            words += 1;
            if words > most {
                return piece.get(..at).unwrap_or(piece);
            }
        }
        is_in_word = c.is_alphanumeric();
    }
    piece
}

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
    fn only_so_many_words_are_looked_for_and_each_once() {
        let pieces = |text: &str| Sought::new(text, None).expect("words").pieces;
        assert_eq!(pieces(&"x ".repeat(5000)), ["x"]);
        assert_eq!(
            pieces("cert rust cert"),
            ["rust", "cert"],
            "the last may be the beginning of a word"
        );
        let alphabet: Vec<String> = ('a'..='z').map(String::from).collect();
        assert_eq!(pieces(&alphabet.join(" ")), alphabet[..MAX_WORDS]);
        assert_eq!(
            pieces(&format!("one {}", "a-".repeat(1000))),
            ["one", &"a-".repeat(MAX_WORDS - 1)]
        );
        assert!(Sought::new("a b c d e f g h", None).expect("words").is_ranked());
        assert!(!Sought::new("a b c d e f g h-i", None).expect("words").is_ranked());
    }
}
