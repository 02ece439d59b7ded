//! Checks the data of a database, and repairs what can be derived from other data: `blogctl db check`.
//!
//! Each check is one statement per table, which counts in the database: memory stays small at any size. Each statement has
//! a separate snapshot and takes no lock that a write waits for, so the API may run meanwhile.

mod repair;

use diesel::{
    QueryableByName, RunQueryDsl,
    sql_types::{BigInt, Text},
};

pub use self::repair::repair;
use super::{BlockingConnection, Connection, DbError, ids, on_either, unfinished_copy};

/// Most lines of SQLite's report that are kept.
const MAX_LINES: usize = 20;
/// The slots of the counter on PostgreSQL.
const POSTGRES_SLOTS: i64 = 16;

/// Posts that the full-text index lacks, or that it contains without a post, and that are not pending (SQLite).
const SEARCH_DIFFERENCES: &str = "SELECT p.id FROM blog_posts AS p \
     WHERE NOT EXISTS (SELECT 1 FROM post_search_docsize AS d WHERE d.id = p.id) \
       AND NOT EXISTS (SELECT 1 FROM posts_to_index AS n WHERE n.post_id = p.id) \
     UNION ALL \
     SELECT d.id FROM post_search_docsize AS d \
     WHERE NOT EXISTS (SELECT 1 FROM blog_posts AS p WHERE p.id = d.id) \
       AND NOT EXISTS (SELECT 1 FROM posts_to_index AS n WHERE n.post_id = d.id)";

/// What is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// SQLite's pages and indexes; on PostgreSQL, whether all indexes are valid.
    Integrity,
    /// Rows whose user is missing.
    References,
    /// The counter of posts against the rows.
    Counters,
    /// The full-text index against the posts.
    Search,
    /// Ids that are too high, and on PostgreSQL the identity sequences against the ids.
    Ids,
    /// Whether `blogctl db copy` has finished.
    Copy,
}

/// How thoroughly SQLite's file is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// Every page, without comparing indexes with tables (`quick_check`).
    Quick,
    /// Indexes as well (`integrity_check`): takes several times as long.
    Full,
}

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckOutcome {
    /// What was checked.
    pub check: Check,
    /// Whether it is as it must be.
    pub is_ok: bool,
    /// What was found.
    pub found: String,
    /// Whether [`repair`] can correct it.
    pub is_repairable: bool,
}

#[derive(QueryableByName)]
struct Number {
    #[diesel(sql_type = BigInt)]
    number: i64,
}

#[derive(QueryableByName)]
struct Counters {
    #[diesel(sql_type = BigInt)]
    counted: i64,
    #[diesel(sql_type = BigInt)]
    posts: i64,
    #[diesel(sql_type = BigInt)]
    slots: i64,
}

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    line: String,
}

impl Check {
    /// Every check, in the order in which they run.
    pub const ALL: [Self; 6] = [
        Self::Integrity,
        Self::References,
        Self::Counters,
        Self::Search,
        Self::Ids,
        Self::Copy,
    ];

    /// A word for it, which never changes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Integrity => "integrity",
            Self::References => "references",
            Self::Counters => "counters",
            Self::Search => "search",
            Self::Ids => "ids",
            Self::Copy => "copy",
        }
    }

    /// Runs the check. Blocks.
    ///
    /// # Errors
    /// When the database does not answer, or lacks migrations.
    pub fn run(self, connection: &mut BlockingConnection, depth: Depth) -> Result<CheckOutcome, DbError> {
        let connection = &mut connection.lend();
        match self {
            Self::Integrity => integrity(connection, depth),
            Self::References => references(connection),
            Self::Counters => counters(connection),
            Self::Search => search(connection),
            Self::Ids => id_numbering(connection),
            Self::Copy => copy(connection),
        }
    }

    fn outcome(self, problems: &[String], ok: &str, is_repairable: bool) -> CheckOutcome {
        CheckOutcome {
            check: self,
            is_ok: problems.is_empty(),
            found: if problems.is_empty() {
                ok.to_owned()
            } else {
                problems.join("; ")
            },
            is_repairable: is_repairable && !problems.is_empty(),
        }
    }
}

fn integrity(connection: &mut Connection<'_>, depth: Depth) -> Result<CheckOutcome, DbError> {
    let (problems, ok) = match connection {
        Connection::Sqlite(c) => {
            let pragma = match depth {
                Depth::Quick => "quick_check",
                Depth::Full => "integrity_check",
            };
            // A table-valued function, whose column has a name.
            let query = format!("SELECT {pragma} AS line FROM pragma_{pragma} LIMIT {MAX_LINES}");
            let lines: Vec<Line> = match diesel::sql_query(query).load(&mut **c) {
                Ok(lines) => lines,
                // SQLite gives up when the damage is in the schema.
                Err(error) => vec![Line {
                    line: error.to_string(),
                }],
            };
            let problems = lines
                .into_iter()
                .map(|row| row.line)
                .filter(|line| line != "ok")
                .collect();
            (problems, "SQLite finds no damage")
        }
        Connection::Postgres(c) => {
            let invalid: Vec<Line> = diesel::sql_query(
                "SELECT c.relname::text AS line FROM pg_index AS i \
                 JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_class AS t ON t.oid = i.indrelid \
                 WHERE pg_table_is_visible(t.oid) AND NOT (i.indisvalid AND i.indisready) \
                   AND t.relname IN ('users', 'blog_posts', 'post_counts', 'idempotency_keys', 'name_tokens') \
                 ORDER BY 1 LIMIT 20",
            )
            .load(&mut **c)?;
            let problem = |row: Line| format!("the index {} is invalid: REINDEX INDEX {0}", row.line);
            let problems = invalid.into_iter().map(problem).collect::<Vec<_>>();
            (problems, "all indexes are valid; pg_amcheck looks at their pages")
        }
    };
    Ok(Check::Integrity.outcome(&problems, ok, false))
}

fn references(connection: &mut Connection<'_>) -> Result<CheckOutcome, DbError> {
    let mut problems = Vec::new();
    for (table, column, things) in [
        ("blog_posts", "author_id", "posts"),
        ("idempotency_keys", "user_id", "idempotency keys"),
        ("name_tokens", "user_id", "records of name tokens"),
    ] {
        let orphans = number(
            connection,
            &format!(
                "SELECT count(*) AS number FROM {table} AS t \
                 WHERE NOT EXISTS (SELECT 1 FROM users AS u WHERE u.id = t.{column})"
            ),
        )?;
        if orphans > 0 {
            problems.push(format!(
                "{orphans} {things} belong to users that do not exist ({table}.{column})"
            ));
        }
    }
    Ok(Check::References.outcome(&problems, "every row belongs to a user", false))
}

fn counters(connection: &mut Connection<'_>) -> Result<CheckOutcome, DbError> {
    // One statement, so that both numbers are of the same moment.
    let query = "SELECT CAST(coalesce(sum(posts), 0) AS BIGINT) AS counted, count(*) AS slots, \
                 (SELECT count(*) FROM blog_posts) AS posts FROM post_counts";
    let Counters { counted, posts, slots } = on_either!(connection, |c| diesel::sql_query(query).get_result(c))?;
    let expected_slots = match connection {
        Connection::Sqlite(_) => 1,
        Connection::Postgres(_) => POSTGRES_SLOTS,
    };
    let mut problems = Vec::new();
    if counted != posts {
        problems.push(format!("the counter says {counted}, but there are {posts} posts"));
    }
    if slots != expected_slots {
        problems.push(format!("the counter has {slots} rows, but needs {expected_slots}"));
    }
    Ok(Check::Counters.outcome(&problems, &format!("{posts} posts, as the counter says"), true))
}

fn search(connection: &mut Connection<'_>) -> Result<CheckOutcome, DbError> {
    if let Connection::Postgres(_) = connection {
        let found = number(
            connection,
            "SELECT count(*) AS number FROM pg_class WHERE oid = to_regclass('blog_posts_searched') AND relkind = 'i'",
        )?;
        let problems = if found == 1 {
            Vec::new()
        } else {
            vec!["the index blog_posts_searched is missing: see migrations/postgres/0004_search/up.sql".to_owned()]
        };
        return Ok(Check::Search.outcome(&problems, "PostgreSQL keeps the index up to date", false));
    }
    let query = format!("SELECT count(*) AS number FROM ({SEARCH_DIFFERENCES}) AS differences");
    let differences = number(connection, &query)?;
    let pending = number(connection, "SELECT count(*) AS number FROM posts_to_index")?;
    let problems = if differences == 0 {
        Vec::new()
    } else {
        vec![format!("posts and full-text index differ in {differences} posts")]
    };
    let ok = match pending {
        0 => "the full-text index has every post".to_owned(),
        pending => format!("the full-text index has every post, except for {pending} that wait for their turn"),
    };
    Ok(Check::Search.outcome(&problems, &ok, true))
}

fn id_numbering(connection: &mut Connection<'_>) -> Result<CheckOutcome, DbError> {
    let mut problems = Vec::new();
    let mut is_repairable = true;
    for table in ids::TABLES {
        let highest = highest_id(connection, table)?;
        if highest > ids::MAX_ID {
            is_repairable = false;
            problems.push(format!(
                "{table} has the id {highest}, above {}, so that new rows soon get no id",
                ids::MAX_ID
            ));
        }
    }
    if let Connection::Postgres(_) = connection {
        for table in ids::TABLES.into_iter().chain(["idempotency_keys"]) {
            // In this order: a row that is inserted in between has been numbered before.
            let highest = highest_id(connection, table)?;
            let last = ids::numbering(connection, table)?;
            if last < highest {
                problems.push(format!(
                    "new rows of {table} continue after {last}, but the highest id is {highest}, so that creating fails"
                ));
            }
        }
    }
    Ok(Check::Ids.outcome(&problems, "new rows continue after the highest ids", is_repairable))
}

fn copy(connection: &mut Connection<'_>) -> Result<CheckOutcome, DbError> {
    let problems = match unfinished_copy::source(connection)? {
        Some(source) => vec![format!("blogctl db copy from {source} has not finished: run it again")],
        None => Vec::new(),
    };
    Ok(Check::Copy.outcome(&problems, "no copy is unfinished", false))
}

fn highest_id(connection: &mut Connection<'_>, table: &str) -> Result<i64, DbError> {
    number(
        connection,
        &format!("SELECT coalesce(max(id), 0) AS number FROM {table}"),
    )
}

fn number(connection: &mut Connection<'_>, query: &str) -> Result<i64, DbError> {
    let row: Number = on_either!(connection, |c| diesel::sql_query(query).get_result(c))?;
    Ok(row.number)
}
