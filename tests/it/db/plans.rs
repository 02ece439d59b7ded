//! SQLite's query plans with statistics, which can change plans.

use std::sync::{Arc, Mutex};

use blogctl::{
    blog::Blog,
    db::{
        BlockingConnection, Connection, Database,
        idempotency::{self, StoredResponse},
        post_list::{self, AuthorFilter, Keyset, PageLimits, PostFilter},
        post_search::{self, SearchQuery},
        posts::{self, Changes, NewPost},
        users,
    },
};
use chrono::{DateTime, Utc};
use diesel::{
    Connection as _, QueryableByName, RunQueryDsl,
    connection::{InstrumentationEvent, SimpleConnection},
    sql_types::Text,
};

use crate::support::database::{SqliteFile, block_on, key};

#[derive(QueryableByName)]
struct Step {
    #[diesel(sql_type = Text)]
    detail: String,
}

/// Number of posts.
const POSTS: i64 = 100_000;

/// Few users, many posts, and `ANALYZE`: a situation in which SQLite changes its plans.
fn analyzed(file: &SqliteFile, users: u128) -> BlockingConnection {
    let database = Database::open(&file.settings).expect("opens");
    database.migrate().expect("migrates");
    let blog = Blog::new(database.clone());
    let authors = block_on(async {
        let mut authors = Vec::new();
        for number in 0..users {
            authors.push(blog.ensure_user(key(number), "Ann").await.expect("a user").0.id);
        }
        authors
    });
    let mut connection = database.connect().expect("a connection");
    let ids: Vec<String> = authors.iter().map(ToString::to_string).collect();
    // As SQL, because it must be fast in a debug build.
    batch(
        &mut connection,
        &format!(
            "WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < {POSTS} - 1) \
             INSERT INTO blog_posts (author_id, title, content, created_at_micros, updated_at_micros) \
             SELECT json_extract('[{}]', '$[' || (n % {}) || ']'), 'Title', 'Text', 1767225600000000 + n * 1000000, \
             1767225600000000 + n * 1000000 FROM numbers",
            ids.join(","),
            ids.len()
        ),
    );
    batch(&mut connection, "ANALYZE");
    connection
}

fn up_to(posts: i64) -> PageLimits {
    PageLimits {
        posts,
        bytes: 1024 * 1024,
        content_chars: None,
    }
}

fn batch(connection: &mut BlockingConnection, statement: &str) {
    let BlockingConnection::Sqlite(connection) = connection else {
        panic!("SQLite")
    };
    connection.batch_execute(statement).expect("runs");
}

/// The statements that `work` runs, with their values instead of `?`, because values influence a plan.
fn statements(connection: &mut BlockingConnection, work: impl FnOnce(&mut Connection<'_>)) -> Vec<String> {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&seen);
    let BlockingConnection::Sqlite(sqlite) = connection else {
        panic!("SQLite")
    };
    sqlite.set_instrumentation(move |event: InstrumentationEvent<'_>| {
        if let InstrumentationEvent::StartQuery { query, .. } = event {
            sink.lock().expect("not poisoned").push(query.to_string());
        }
    });
    work(&mut connection.lend());
    let seen = std::mem::take(&mut *seen.lock().expect("not poisoned"));
    seen.iter().map(|statement| with_values(statement)).collect()
}

fn with_values(statement: &str) -> String {
    // The values of a search do not influence its plan, and its text is not an SQL literal.
    if statement.contains("MATCH") {
        return statement.split(" -- binds").next().unwrap_or_default().to_owned();
    }
    let (sql, binds) = statement.split_once(" -- binds: [").expect("Diesel shows the values");
    binds
        .trim_end_matches(']')
        .split(", ")
        .filter(|value| !value.is_empty())
        .fold(sql.to_owned(), |sql, value| sql.replacen('?', value, 1))
}

fn plan(connection: &mut BlockingConnection, statement: &str) -> String {
    let BlockingConnection::Sqlite(connection) = connection else {
        panic!("SQLite")
    };
    let steps: Vec<Step> = diesel::sql_query(format!("EXPLAIN QUERY PLAN {statement}"))
        .load(connection)
        .expect("explained");
    steps
        .iter()
        .map(|step| step.detail.as_str())
        .collect::<Vec<_>>()
        .join("; ")
}

#[test]
fn lists_walk_an_index_and_sort_nothing_even_with_statistics() {
    for users in [1, 5] {
        let file = SqliteFile::new();
        let mut connection = analyzed(&file, users);
        let everything = PostFilter::default();
        let of_one = PostFilter {
            author: Some(AuthorFilter::Id(1)),
        };
        let middle = Keyset {
            created_at_micros: 1_767_226_000_000_000,
            id: 2000,
        };
        for (wanted, index) in [
            (&everything, "blog_posts_newest"),
            (&of_one, "blog_posts_newest_of_author"),
        ] {
            for place in [Keyset::TOP, middle] {
                for limit in [1, 2, 21, 1001] {
                    let ran = statements(&mut connection, |c| {
                        post_list::after(c, wanted, place, up_to(limit)).expect("a page");
                    });
                    let [statement] = ran.as_slice() else {
                        panic!("one statement: {ran:?}")
                    };
                    let plan = plan(&mut connection, statement);
                    assert!(
                        plan.starts_with(&format!("SEARCH p USING INDEX {index} (")),
                        "{statement}\n{plan}"
                    );
                    // SQLite may scan a table with a single row.
                    assert!(
                        users == 1 || plan.contains("; SEARCH u USING INTEGER PRIMARY KEY"),
                        "{plan}"
                    );
                    assert!(
                        !plan.contains("ANY(") && !plan.contains("TEMP B-TREE"),
                        "{statement}\n{plan}"
                    );
                }
            }
        }
    }
}

#[test]
fn skipping_and_counting_touch_indexes_only() {
    let file = SqliteFile::new();
    let mut connection = analyzed(&file, 3);
    let everything = PostFilter::default();
    let of_one = PostFilter {
        author: Some(AuthorFilter::Id(3)),
    };
    let ran = statements(&mut connection, |c| {
        post_list::skip(c, &everything, 90_000).expect("a place");
        post_list::skip(c, &of_one, 5000).expect("a place");
        post_list::count(c, &of_one).expect("a count");
    });
    assert_eq!(ran.len(), 3);
    for statement in &ran {
        let plan = plan(&mut connection, statement);
        assert!(plan.contains("USING COVERING INDEX"), "{statement}\n{plan}");
        assert!(!plan.contains("TEMP B-TREE"), "{statement}\n{plan}");
    }
}

#[test]
fn a_search_begins_with_the_index_and_sorts_nothing_to_find_the_newest() {
    let file = SqliteFile::new();
    let mut connection = analyzed(&file, 3);
    for author in [None, Some(AuthorFilter::Id(2)), Some(AuthorFilter::Key(key(2)))] {
        let query = SearchQuery::parse("title text", author).expect("words");
        let ran = statements(&mut connection, |c| {
            post_search::search(c, &query).expect("a search");
        });
        let [_, statement] = ran.as_slice() else {
            panic!("whether the index is behind, and the search: {ran:?}")
        };
        let plan = plan(&mut connection, statement);
        let (index, posts) = (
            plan.find("SCAN post_search VIRTUAL TABLE"),
            plan.find("SEARCH p USING INTEGER PRIMARY KEY"),
        );
        assert!(
            index.is_some() && (author.is_none() || index < posts),
            "{statement}\n{plan}"
        );
        assert!(!plan.contains("TEMP B-TREE"), "{statement}\n{plan}");
    }
}

#[test]
fn the_total_is_read_from_one_row() {
    let file = SqliteFile::new();
    let mut connection = analyzed(&file, 3);
    let ran = statements(&mut connection, |c| {
        assert_eq!(post_list::count(c, &PostFilter::default()).expect("a count"), POSTS);
    });
    let [statement] = ran.as_slice() else {
        panic!("one statement: {ran:?}")
    };
    assert_eq!(plan(&mut connection, statement), "SCAN post_counts");
}

#[test]
fn statements_of_requests_by_key_are_cached_as_prepared_statements() {
    let file = SqliteFile::new();
    let mut connection = analyzed(&file, 3);
    let BlockingConnection::Sqlite(sqlite) = &mut connection else {
        panic!("SQLite")
    };
    let cached = Arc::new(Mutex::new(0));
    let counter = Arc::clone(&cached);
    sqlite.set_instrumentation(move |event: InstrumentationEvent<'_>| {
        if let InstrumentationEvent::CacheQuery { .. } = event {
            *counter.lock().expect("not poisoned") += 1;
        }
    });
    let read_all = |c: &mut Connection<'_>| {
        posts::by_id(c, 7).expect("read");
        users::by_key(c, key(1)).expect("read");
        post_list::after(c, &PostFilter::default(), Keyset::TOP, up_to(20)).expect("read");
        post_list::count_all(c).expect("read");
    };
    for _ in 0..3 {
        read_all(&mut connection.lend());
    }
    assert_eq!(
        *cached.lock().expect("not poisoned"),
        4,
        "each of the four is prepared once and kept"
    );
}

#[test]
fn the_authors_of_a_list_come_with_it_in_one_statement() {
    let file = SqliteFile::new();
    let mut connection = analyzed(&file, 5);
    let mut authors = std::collections::BTreeSet::new();
    let run = statements(&mut connection, |c| {
        let posts = post_list::after(c, &PostFilter::default(), Keyset::TOP, up_to(50))
            .expect("read")
            .rows;
        authors.extend(posts.into_iter().map(|row| blogctl::blog::Post::from(row).author.id));
    });
    assert!(authors.len() > 1, "several authors");
    assert_eq!(run.len(), 1, "{run:#?}");
}

#[test]
fn no_statement_of_a_route_reads_a_table_from_end_to_end() {
    let file = SqliteFile::new();
    let mut connection = analyzed(&file, 5);
    let at: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().expect("a time");
    let by_key = PostFilter {
        author: Some(AuthorFilter::Key(key(3))),
    };
    let response = StoredResponse {
        fingerprint: vec![0; 32],
        post_id: 1,
        post_version: 1,
        body: "{}".to_owned(),
        created_at: at,
    };
    let changes = Changes {
        title: Some("Changed"),
        content: None,
        updated_at: at,
    };
    let new = NewPost {
        author_id: 1,
        title: "New",
        content: "Text",
        created_at: at,
        updated_at: at,
    };
    let ran = statements(&mut connection, |c| {
        posts::by_id(c, 7).expect("GET of a post");
        posts::by_id_locked(c, 7).expect("a change that another one has overtaken");
        posts::insert(c, &new).expect("POST");
        posts::insert_by(c, key(3), Some("Ann"), &new).expect("POST");
        posts::update(c, 7, at, changes).expect("PUT");
        posts::delete(c, 7, at).expect("DELETE");
        post_list::after(c, &by_key, Keyset::TOP, up_to(20)).expect("GET of one's own posts");
        post_list::skip(c, &by_key, 1000).expect("the same, later");
        post_list::by_ids(c, &[3, 2, 1], up_to(20)).expect("the posts of a search");
        users::by_key(c, key(3)).expect("the profile");
        users::rename(c, 1, "Ann", Utc::now()).expect("a new name");
        users::record_name_token(c, 1, 1).expect("its token");
        users::record_name_token(c, 1, 2).expect("a later one");
        users::name_issued_at(c, 1).expect("its time");
        idempotency::find(c, 1, "a-key").expect("POST with a key");
        idempotency::insert(c, 1, "a-key", &response, at, 16).expect("POST with a key");
        idempotency::insert(c, 1, "another", &response, at, 16).expect("POST with a key, which deletes an old one");
        idempotency::delete_if_expired(c, 1, "a-key", at).expect("POST with an expired key");
    });
    assert!(ran.len() > 18, "{ran:#?}");
    // An `INSERT` of values reads nothing, and `IN` lists row ids.
    let reads = |statement: &&String| !statement.starts_with("INSERT") && !statement.contains(" IN (");
    for statement in ran.iter().filter(reads) {
        let plan = plan(&mut connection, statement);
        for step in plan.split("; ") {
            let reads_all =
                step.starts_with("SCAN ") && !step.starts_with("SCAN n VIRTUAL TABLE") && step != "SCAN post_counts";
            // The posts of a search are sorted by their place on the page.
            let sorts = step.contains("TEMP B-TREE") && !statement.contains("json_each");
            assert!(!reads_all && !sorts, "{statement}\n{plan}");
        }
    }
}
