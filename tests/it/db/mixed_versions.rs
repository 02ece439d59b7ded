//! Releases next to each other: the previous one on the newest schema, and the newest one on the previous schema.

use blogctl::{
    blog::{Filter, Paging, Rights},
    db::{
        Database, DatabaseUrl, DbError,
        migrate::{self, Target},
    },
};
use serde_json::json;

use crate::support::{
    api::each_api,
    database::{draft, each_blog, each_database, execute},
};

/// The newest migration of release 0.2.
const RELEASE_0_2: &str = "0006";

/// A statement of release 0.2 in the words of the database.
fn execute_old(database: &Database, statement: &str) {
    let statement = match database.url() {
        DatabaseUrl::Sqlite(_) => statement.replace("BYTEA", "BLOB"),
        DatabaseUrl::Postgres { .. } => statement.to_owned(),
    };
    execute(database, &statement);
}

/// Adds what the next release could add: a column, and a migration that this binary does not know. Binaries that know
/// `works_with` work with it.
fn as_the_next_release_migrates(database: &Database, works_with: &str) {
    execute(
        database,
        &format!(
            "ALTER TABLE blog_posts ADD COLUMN pinned INTEGER NOT NULL DEFAULT 0;
             INSERT INTO __diesel_schema_migrations (version) VALUES ('9998');
             INSERT INTO __blogctl_migrations (version, sha256, works_with) VALUES ('9998', '00', '{works_with}')"
        ),
    );
}

fn newest_known(database: &Database) -> String {
    let known = migrate::status(database).expect("known");
    known.last().expect("a migration").version.clone()
}

#[test]
fn this_release_works_with_the_schema_of_the_next_one() {
    each_blog(async |test| {
        let newest = newest_known(&test.database);
        as_the_next_release_migrates(&test.database, &newest);
        test.database.migrate().expect("nothing to do");
        assert!(!test.database.has_pending_migrations().expect("known"));
        let author = test.user(1).await;
        test.blog
            .create(Rights::Write, &author, draft("Old"))
            .await
            .expect("written");
        let page = test
            .blog
            .posts(Filter::default(), Paging::Skip(0), 10)
            .await
            .expect("a page");
        assert_eq!(page.total, 1);
        // The next release may need what an older binary would revert.
        for outcome in [
            migrate::revert(&test.database).map(drop),
            migrate::run_to(
                &test.database,
                &Target {
                    to: Some("0001".to_owned()),
                    ..Target::default()
                },
                |_| (),
            )
            .map(drop),
        ] {
            assert!(
                matches!(&outcome, Err(DbError::NewerSchema { version }) if version == "9998"),
                "{outcome:?}"
            );
        }
    });
}

#[test]
fn an_api_of_this_release_starts_on_the_schema_of_the_next_one_only() {
    each_api(|mut api| {
        let database = Database::open(&api.settings.database).expect("opens");
        let newest = newest_known(&database);
        as_the_next_release_migrates(&database, &newest);
        api.restart();
        let post = api
            .alice()
            .post("/v1/posts", &json!({ "title": "Old", "content": "replica" }));
        assert_eq!(post.status, 201, "{post:?}");
        assert_eq!(api.anonymous().get("/health/ready").status, 200);

        // Two releases later.
        execute(
            &database,
            "UPDATE __blogctl_migrations SET works_with = '9997' WHERE version = '9998'",
        );
        for outcome in [database.migrate(), database.has_pending_migrations().map(drop)] {
            assert!(
                matches!(&outcome, Err(DbError::NewerSchema { version }) if version == "9998"),
                "{outcome:?}"
            );
        }
    });
}

/// The schema of release 0.2 is its migrations, whose SQL a test pins by checksum, without the records that it did not write.
#[test]
fn a_database_of_the_previous_release_is_migrated_with_its_rows() {
    each_database(|settings| {
        let database = Database::open(settings).expect("opens");
        let target = Target {
            to: Some(RELEASE_0_2.to_owned()),
            ..Target::default()
        };
        migrate::run_to(&database, &target, |_| ()).expect("migrates");
        execute(&database, "DROP TABLE __blogctl_migrations");
        for statement in STATEMENTS_OF_RELEASE_0_2 {
            execute_old(&database, statement);
        }
        database.migrate().expect("migrates");
        let mut connection = database.connect().expect("a connection");
        connection.index_for_search(|_| ()).expect("indexed");
        for check in blogctl::db::check::Check::ALL {
            let outcome = check
                .run(&mut connection, blogctl::db::check::Depth::Full)
                .expect("checked");
            assert!(outcome.is_ok, "{outcome:?}");
        }
    });
}

/// What the binary of release 0.2 sends to the database. It serves on the newest schema until its replicas are replaced.
const STATEMENTS_OF_RELEASE_0_2: &[&str] = &[
    "INSERT INTO users (tid, oid, display_name, created_at_micros, updated_at_micros)
     VALUES ('0a11ce00-0000-4000-8000-00000000000f', '0a11ce00-0000-4000-8000-000000000001', 'Alice', 10, 10)",
    "INSERT INTO name_tokens (user_id, issued_at) SELECT min(id), 1 FROM users",
    "UPDATE name_tokens SET issued_at = 2 WHERE issued_at < 2",
    "UPDATE users SET display_name = 'Alice A.', updated_at_micros = 11",
    "INSERT INTO blog_posts (author_id, title, content, created_at_micros, updated_at_micros)
     SELECT min(id), 'First', 'Text', 20, 20 FROM users",
    "INSERT INTO blog_posts (author_id, title, content, created_at_micros, updated_at_micros)
     SELECT min(id), 'Second', 'Text', 21, 21 FROM users",
    "INSERT INTO idempotency_keys (user_id, key, fingerprint, post_id, post_version, answer, created_at_micros)
     SELECT user_id, 'key', fingerprint, 1, 20, '{}', 20
     FROM (SELECT min(id) AS user_id, CAST('12345678901234567890123456789012' AS BYTEA) AS fingerprint FROM users) AS row",
    "SELECT blog_posts.id, blog_posts.title, blog_posts.content, blog_posts.created_at_micros, blog_posts.updated_at_micros,
            users.id, users.tid, users.oid, users.display_name, users.created_at_micros, users.updated_at_micros
     FROM blog_posts INNER JOIN users ON blog_posts.author_id = users.id ORDER BY blog_posts.created_at_micros DESC, blog_posts.id DESC",
    "SELECT sum(posts) FROM post_counts",
    "UPDATE blog_posts SET title = 'Changed', updated_at_micros = 30 WHERE title = 'First'",
    "DELETE FROM blog_posts WHERE title = 'Second'",
    "SELECT fingerprint, post_id, post_version, answer, created_at_micros FROM idempotency_keys",
];

#[test]
fn the_previous_release_works_on_the_newest_schema() {
    each_database(|settings| {
        let database = Database::open(settings).expect("opens");
        database.migrate().expect("migrates");
        for statement in STATEMENTS_OF_RELEASE_0_2 {
            execute_old(&database, statement);
        }
    });
}
