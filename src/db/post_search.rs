//! Full-text search in titles and contents, best match first: FTS5 on SQLite, `tsvector` on PostgreSQL.
//!
//! A user's text never reaches either query language as it is: it is split into pieces, which are quoted for FTS5 and
//! parsed by blogctl's SQL function `search_query` on PostgreSQL. Both find the same posts; the order follows each
//! database's ranking.

use diesel::{
    QueryResult, RunQueryDsl,
    pg::Pg,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sql_types::{BigInt, Bool, Double, Text},
    sqlite::Sqlite,
};

use super::{
    Connection, DbError,
    author::{AuthorFilter, AuthorId},
    span::statement,
};

/// Most posts that a search counts and ranks: the newest matches. Each takes some microseconds, and readers do not go that
/// far.
pub const MAX_HITS: usize = 2_000;

/// Most words of a search; further words are ignored. Words joined by punctuation count separately, since they cost as
/// much.
const MAX_WORDS: usize = 16;
/// A search with up to this many words is ranked: the ranking takes time for each word of each post. With more words, the
/// newest posts come first.
const MAX_RANKED_WORDS: usize = 8;

/// A parsed search text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchQuery {
    /// At least one. Each contains a letter or a digit, and no white space or control character.
    pieces: Vec<String>,
    /// Only by this user.
    author: Option<AuthorId>,
}

impl SearchQuery {
    /// Parses a search text. A post must contain all its words, ignoring case. Words joined by punctuation must be
    /// adjacent. The last one may also be the beginning of a word, if it is longer than one character. `None` for a
    /// text without words.
    pub fn parse(text: &str, author: Option<AuthorFilter>) -> Option<Self> {
        let mut words_left = MAX_WORDS;
        let mut pieces: Vec<String> = Vec::new();
        for piece in text.split(|c: char| c.is_whitespace() || c.is_control()) {
            let piece = first_words(piece, words_left);
            let words = count_words(piece);
            if words == 0 {
                continue;
            }
            // Repeated pieces count once. The last occurrence stays, because the last piece may be the beginning of a
            // word.
            pieces.retain(|known| known != piece);
            pieces.push(piece.to_owned());
            words_left -= words;
            if words_left == 0 {
                break;
            }
        }
        let author = author.map(AuthorId::from);
        (!pieces.is_empty()).then_some(Self { pieces, author })
    }

    fn is_ranked(&self) -> bool {
        self.pieces.iter().map(|piece| count_words(piece)).sum::<usize>() <= MAX_RANKED_WORDS
    }

    fn last_is_prefix(&self) -> bool {
        // Punctuation after the last letter or digit ends the word.
        let last = self.pieces.last().map_or("", String::as_str);
        last.ends_with(char::is_alphanumeric) && last.chars().filter(|c| c.is_alphanumeric()).count() > 1
    }

    /// The FTS5 expression for `MATCH`: strings next to each other must all match. Within a string, only the quotation
    /// mark has a special meaning.
    fn for_fts5(&self) -> String {
        let strings: Vec<String> = self
            .pieces
            .iter()
            .map(|piece| format!("\"{}\"", piece.replace('"', "\"\"")))
            .collect();
        strings.join(" ") + if self.last_is_prefix() { "*" } else { "" }
    }
}

/// The result of a search.
#[derive(Debug)]
pub struct SearchHits {
    /// The ids of the posts, best match first; of equal matches, the newest first. A match in the title counts more.
    pub ids: Vec<i64>,
    /// Whether there are more matches: these are the newest [`MAX_HITS`].
    pub is_limited: bool,
    /// Whether the search covers every post written before.
    pub is_current: bool,
}

/// Runs a search.
///
/// # Errors
/// The database's.
pub fn search(connection: &mut Connection<'_>, query: &SearchQuery) -> Result<SearchHits, DbError> {
    statement(connection, "SELECT", "post_search", |connection| {
        // One more than the maximum shows whether there are more.
        let limit = i64::try_from(MAX_HITS).unwrap_or(i64::MAX).saturating_add(1);
        let (mut hits, is_current): (Vec<(f64, i64)>, bool) = match connection {
            Connection::Sqlite(c) => {
                let is_current = !super::sqlite::is_search_index_behind(c)?;
                let rows: Vec<(i64, f64)> = MatchQuery::new(query, limit).load(&mut **c)?;
                // The smaller value of `bm25` is the better match.
                (rows.into_iter().map(|(id, rank)| (-rank, id)).collect(), is_current)
            }
            Connection::Postgres(c) => {
                let rows: Vec<(i64, f64)> = MatchQuery::new(query, limit).load(&mut **c)?;
                (rows.into_iter().map(|(id, rank)| (rank, id)).collect(), true)
            }
        };
        let is_limited = hits.len() > MAX_HITS;
        hits.truncate(MAX_HITS);
        hits.sort_unstable_by(|(rank, id), (other_rank, other_id)| {
            other_rank.total_cmp(rank).then_with(|| other_id.cmp(id))
        });
        Ok(SearchHits {
            ids: hits.into_iter().map(|(_, id)| id).collect(),
            is_limited,
            is_current,
        })
    })
}

/// Selects ids and ranks of the matching posts, newest first.
struct MatchQuery<'a> {
    query: &'a SearchQuery,
    /// For FTS5.
    expression: String,
    /// For `search_query`, with whether the last one may be the beginning of a word.
    words: String,
    last_is_prefix: bool,
    limit: i64,
}

impl<'a> MatchQuery<'a> {
    fn new(query: &'a SearchQuery, limit: i64) -> Self {
        Self {
            query,
            expression: query.for_fts5(),
            words: query.pieces.join(" "),
            last_is_prefix: query.last_is_prefix(),
            limit,
        }
    }

    fn push_search_query<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql("search_query(");
        out.push_bind_param::<Text, _>(&self.words)?;
        out.push_sql(", ");
        out.push_bind_param::<Bool, _>(&self.last_is_prefix)?;
        out.push_sql(")");
        Ok(())
    }
}

/// FTS5 returns rows by rowid, so nothing is sorted. Posts that were changed or deleted since they were indexed are skipped
/// until the index has caught up. `CROSS JOIN` prevents SQLite from reading the posts first.
impl QueryFragment<Sqlite> for MatchQuery<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql("SELECT post_search.rowid, ");
        out.push_sql(if self.query.is_ranked() {
            "bm25(post_search, 10.0, 1.0)"
        } else {
            "0.0"
        });
        out.push_sql(" FROM post_search");
        if let Some(author) = &self.query.author {
            out.push_sql(" CROSS JOIN blog_posts AS p ON p.id = post_search.rowid AND p.author_id = ");
            author.push(&mut out)?;
        }
        out.push_sql(" WHERE post_search MATCH ");
        out.push_bind_param::<Text, _>(&self.expression)?;
        out.push_sql(
            // A call takes as long as the rest of a row, so only one row in sixteen makes it.
            " AND ((post_search.rowid * 2654435761 >> 8) & 15 OR search_goes_on(post_search.rowid)) \
             AND post_search.rowid NOT IN (SELECT post_id FROM posts_to_index) ORDER BY post_search.rowid DESC LIMIT ",
        );
        out.push_bind_param::<BigInt, _>(&self.limit)?;
        // SQLite reads a bare parameter while it plans, and so would compile the statement anew for each binding.
        out.push_sql(" + 0");
        Ok(())
    }
}

/// The matches are materialised, so that the planner does not scan all posts from the newest in the hope of finding matches
/// early.
impl QueryFragment<Pg> for MatchQuery<'_> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        // The best plan depends on the words, so the server makes one for each search. Still one round trip.
        out.unsafe_to_cache_prepared();
        out.push_sql("WITH matching AS MATERIALIZED (SELECT id FROM blog_posts WHERE searched @@ ");
        self.push_search_query(&mut out)?;
        if let Some(author) = &self.query.author {
            out.push_sql(" AND author_id = ");
            author.push(&mut out)?;
        }
        out.push_sql("), found AS (SELECT id FROM matching ORDER BY id DESC LIMIT ");
        out.push_bind_param::<BigInt, _>(&self.limit)?;
        if !self.query.is_ranked() {
            out.push_sql(") SELECT id, CAST(0 AS float8) FROM found ORDER BY id DESC");
            return Ok(());
        }
        out.push_sql(") SELECT found.id, CAST(ts_rank('{0.1, 0.2, 0.4, 1.0}', p.searched, ");
        self.push_search_query(&mut out)?;
        // Looks up the posts that were found. With an ordinary join, the planner may read all posts in the order of their ids.
        out.push_sql(
            ", 1) AS float8) FROM found CROSS JOIN LATERAL (SELECT searched FROM blog_posts WHERE id = found.id OFFSET 0) \
             AS p ORDER BY found.id DESC",
        );
        Ok(())
    }
}

impl Query for MatchQuery<'_> {
    type SqlType = (BigInt, Double);
}

/// The text varies with the query, so Diesel must cache the prepared statement by its text.
impl QueryId for MatchQuery<'_> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Conn> RunQueryDsl<Conn> for MatchQuery<'_> {}

/// The number of words in a piece: runs of letters and digits.
fn count_words(piece: &str) -> usize {
    piece
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .count()
}

/// The beginning of a piece, up to `max` words.
fn first_words(piece: &str, max: usize) -> &str {
    let mut words = 0;
    let mut is_in_word = false;
    for (at, c) in piece.char_indices() {
        if c.is_alphanumeric() && !is_in_word {
            words += 1;
            if words > max {
                return piece.get(..at).unwrap_or(piece);
            }
        }
        is_in_word = c.is_alphanumeric();
    }
    piece
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fts5(text: &str) -> Option<String> {
        SearchQuery::parse(text, None).map(|query| query.for_fts5())
    }

    #[test]
    fn a_text_becomes_quoted_strings() {
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
    fn words_beyond_the_maximum_and_repeated_ones_are_ignored() {
        let pieces = |text: &str| SearchQuery::parse(text, None).expect("words").pieces;
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
        assert!(SearchQuery::parse("a b c d e f g h", None).expect("words").is_ranked());
        assert!(
            !SearchQuery::parse("a b c d e f g h-i", None)
                .expect("words")
                .is_ranked()
        );
    }
}
