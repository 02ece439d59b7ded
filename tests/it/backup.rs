//! `blogctl db`: check, backup, restore, copy.

mod check;
mod copy;
mod files;
mod postgres;

use blogctl::{
    blog::Rights,
    config::DatabaseSettings,
    db::{Connection, Database},
};
use diesel::RunQueryDsl as _;

use crate::support::{
    binary::CommandOutput,
    database::{TestBlog, block_on, draft, execute_at as execute},
};

/// Runs `blogctl db …` on this database.
fn db(settings: &DatabaseSettings, arguments: &[&str]) -> CommandOutput {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let url = format!("database.url={}", settings.url);
    CommandOutput::run(folder.path(), &[&["db", "--set", &url], arguments].concat())
}

/// A migrated database with two users and `posts` posts, searchable.
fn filled(settings: &DatabaseSettings, posts: usize) -> Database {
    let database = Database::open(settings).expect("opens");
    database.migrate().expect("migrates");
    let test = TestBlog {
        blog: blogctl::blog::Blog::new(database.clone()),
        database: database.clone(),
    };
    block_on(async {
        let authors = [test.user(1).await, test.user(2).await];
        for (number, author) in (0..posts).zip(authors.iter().cycle()) {
            test.blog
                .create(Rights::Write, author, draft(&format!("Post {number} é\u{1F600}")))
                .await
                .expect("written");
        }
    });
    let mut connection = database.connect().expect("a connection");
    connection.index_for_search(|_| {}).expect("indexed");
    database
}

/// Makes the SQLite file a hundred pages longer.
fn make_longer(settings: &DatabaseSettings) {
    execute(
        settings,
        "UPDATE blog_posts SET content = content || hex(randomblob(1000)); PRAGMA wal_checkpoint(TRUNCATE)",
    );
}

/// The number that a query returns.
fn number(settings: &DatabaseSettings, query: &str) -> i64 {
    #[derive(diesel::QueryableByName)]
    struct Number {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        number: i64,
    }
    let database = Database::open(settings).expect("opens");
    let row: Number = match &mut database.connect().expect("a connection").lend() {
        Connection::Sqlite(c) => diesel::sql_query(query).get_result(&mut **c),
        Connection::Postgres(c) => diesel::sql_query(query).get_result(&mut **c),
    }
    .expect(query);
    row.number
}

/// How many posts a search for the word finds.
fn found_by_search(settings: &DatabaseSettings, word: &str) -> i64 {
    let query = if settings.url.starts_with("postgres") {
        format!("SELECT count(*) AS number FROM blog_posts WHERE searched @@ search_query('{word}', false)")
    } else {
        format!("SELECT count(*) AS number FROM post_search WHERE post_search MATCH '{word}'")
    };
    number(settings, &query)
}
