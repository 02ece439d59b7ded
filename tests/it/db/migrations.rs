//! Schema migrations on both databases.

use std::thread;

use blogctl::{
    blog::{Filter, Paging},
    db::{Database, DbError, migrate, posts, posts::NewPost},
};
use chrono::{DateTime, Utc};
use diesel::{RunQueryDsl, connection::SimpleConnection, result::DatabaseErrorKind};

use crate::support::database::{block_on, draft, each_blog, each_database};

fn execute(database: &Database, statement: &str) -> Result<(), diesel::result::Error> {
    match &mut database.connect().expect("a connection").lend() {
        // The thread that indexes posts for the search may be writing.
        blogctl::db::Connection::Sqlite(c) => c
            .batch_execute("PRAGMA busy_timeout = 30000")
            .and_then(|()| c.batch_execute(statement)),
        blogctl::db::Connection::Postgres(c) => diesel::sql_query(statement).execute(&mut **c).map(drop),
    }
}

/// Runs a statement that must break a constraint of this kind, and not fail for another reason.
#[track_caller]
fn assert_breaks(database: &Database, constraint: &str, rule: &str, statement: &str) {
    let error = execute(database, statement).expect_err(rule).to_string();
    let message = error.to_lowercase().replace("not-null", "not null");
    assert!(message.contains(&format!("{constraint} constraint")), "{rule}: {error}");
}

#[test]
fn migrations_are_applied_once_and_reverted_one_by_one() {
    each_database(|settings| {
        let database = Database::open(settings).expect("opens");
        assert!(database.has_pending_migrations().expect("known"));
        let names = |done: &[migrate::Migration]| done.iter().map(|one| one.name.clone()).collect::<Vec<_>>();
        let ran = migrate::run(&database).expect("migrates");
        assert_eq!(
            names(&ran),
            [
                "0001_users_and_posts",
                "0002_post_counts",
                "0003_idempotency_keys",
                "0004_search",
                "0005_search_without_pending_list",
                "0006_name_tokens"
            ]
        );
        assert!(!database.has_pending_migrations().expect("known"));
        assert_eq!(migrate::run(&database).expect("nothing to do"), []);

        for name in [
            "0006_name_tokens",
            "0005_search_without_pending_list",
            "0004_search",
            "0003_idempotency_keys",
            "0002_post_counts",
            "0001_users_and_posts",
        ] {
            let reverted = migrate::revert(&database).expect("reverts").expect("one");
            assert_eq!((reverted.name.as_str(), reverted.applied), (name, false));
        }
        assert_eq!(migrate::revert(&database).expect("nothing to do"), None);
        let applied = migrate::status(&database)
            .expect("known")
            .iter()
            .filter(|one| one.applied)
            .count();
        assert_eq!(applied, 0);

        database.migrate().expect("migrates again");
        block_on(database.ping()).expect("ready");
    });
}

#[test]
fn a_missing_earlier_migration_is_applied_to_a_newer_database() {
    each_database(|settings| {
        let database = Database::open(settings).expect("opens");
        database.migrate().expect("migrates");
        execute(&database, "DROP TABLE idempotency_keys").expect("dropped");
        execute(
            &database,
            "DELETE FROM __diesel_schema_migrations WHERE version = '0003'",
        )
        .expect("forgotten");
        let pending = || {
            migrate::status(&database)
                .expect("known")
                .into_iter()
                .filter(|one| !one.applied)
                .count()
        };
        assert_eq!(pending(), 1);
        let ran = migrate::run(&database).expect("migrates");
        assert_eq!(
            ran.iter().map(|one| one.name.as_str()).collect::<Vec<_>>(),
            ["0003_idempotency_keys"]
        );
        assert_eq!(pending(), 0);
        execute(&database, "DELETE FROM idempotency_keys").expect("the table is there");
        // In the order of numbers, not of application.
        let reverted = migrate::revert(&database).expect("reverts").expect("one");
        assert_eq!(reverted.name, "0006_name_tokens");
    });
}

#[test]
fn the_migration_of_counts_counts_existing_posts() {
    each_blog(async |test| {
        let author = test.user(1).await;
        for n in 0..7 {
            test.blog
                .create(blogctl::blog::Rights::Write, &author, draft(&format!("Post {n}")))
                .await
                .expect("written");
        }
        while migrate::revert(&test.database)
            .expect("reverts")
            .is_some_and(|one| one.name != "0002_post_counts")
        {}
        test.database.migrate().expect("migrates");
        let page = test
            .blog
            .posts(Filter::default(), Paging::Skip(0), 1)
            .await
            .expect("a page");
        assert_eq!(page.total, 7);
    });
}

#[test]
fn processes_that_start_together_migrate_once() {
    each_database(|settings| {
        thread::scope(|scope| {
            let starts: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        let database = Database::open(settings).expect("opens");
                        migrate::run(&database).expect("migrates").len()
                    })
                })
                .collect();
            let ran: Vec<usize> = starts
                .into_iter()
                .map(|start| start.join().expect("no panic"))
                .collect();
            assert_eq!(ran.iter().sum::<usize>(), 6, "{ran:?}");
        });
    });
}

#[test]
fn a_schema_of_a_newer_version_is_rejected() {
    each_database(|settings| {
        let database = Database::open(settings).expect("opens");
        database.migrate().expect("migrates");
        execute(
            &database,
            "INSERT INTO __diesel_schema_migrations (version) VALUES ('9999')",
        )
        .expect("inserted");
        for outcome in [
            database.migrate(),
            database.has_pending_migrations().map(drop),
            migrate::revert(&database).map(drop),
        ] {
            assert!(
                matches!(&outcome, Err(DbError::NewerSchema { version }) if version == "9999"),
                "{outcome:?}"
            );
        }
    });
}

#[test]
fn the_schema_enforces_the_rules() {
    each_database(|settings| {
        let database = Database::open(settings).expect("opens");
        database.migrate().expect("migrates");
        let guid = "0a11ce00-0000-4000-8000-000000000001";
        let user = |tid: &str, oid: &str, name: &str, updated: i64| {
            format!(
                "INSERT INTO users (tid, oid, display_name, created_at_micros, updated_at_micros)
                 VALUES ('{tid}', '{oid}', '{name}', 10, {updated})"
            )
        };
        execute(&database, &user(guid, guid, "Ann", 10)).expect("a good user");
        let other = "0a11ce00-0000-4000-8000-000000000002";
        for (constraint, rule, statement) in [
            ("unique", "the same key twice", user(guid, guid, "Ann", 10)),
            ("check", "no GUID", user("tenant", other, "Ann", 10)),
            ("check", "capital letters", user(guid, &guid.to_uppercase(), "Ann", 10)),
            ("check", "no name", user(guid, other, "", 10)),
            ("check", "a long name", user(guid, other, &"x".repeat(201), 10)),
            ("check", "changed before it was made", user(guid, other, "Ann", 9)),
        ] {
            assert_breaks(&database, constraint, rule, &statement);
        }
        let post = |title: &str, content: &str, author: &str, updated: i64| {
            format!(
                "INSERT INTO blog_posts (title, content, author_id, created_at_micros, updated_at_micros)
                 VALUES ('{title}', '{content}', {author}, 10, {updated})"
            )
        };
        let ann = "(SELECT min(id) FROM users)";
        execute(&database, &post(&"é".repeat(200), "Text", ann, 10)).expect("a good post");
        for (constraint, rule, statement) in [
            ("check", "no title", post("", "Text", ann, 10)),
            ("check", "a blank title", post("  ", "Text", ann, 10)),
            ("check", "a long title", post(&"é".repeat(201), "Text", ann, 10)),
            ("check", "no content", post("Title", "", ann, 10)),
            ("foreign key", "an unknown author", post("Title", "Text", "999", 10)),
            ("not null", "no author", post("Title", "Text", "NULL", 10)),
            ("check", "changed before it was written", post("Title", "Text", ann, 9)),
            (
                "foreign key",
                "a user who has posts is not deleted",
                "DELETE FROM users".to_owned(),
            ),
        ] {
            assert_breaks(&database, constraint, rule, &statement);
        }
    });
}

#[test]
fn a_post_of_an_unknown_user_is_rejected() {
    each_database(|settings| {
        let database = Database::open(settings).expect("opens");
        database.migrate().expect("migrates");
        let at: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().expect("a time");
        let orphan = NewPost {
            author_id: 1,
            title: "Orphan",
            content: "Text",
            created_at: at,
            updated_at: at,
        };
        let outcome: Result<i64, DbError> = block_on(database.write(move |c| posts::insert(c, &orphan)));
        assert!(
            matches!(&outcome, Err(error) if is_foreign_key_violation(error)),
            "{outcome:?}"
        );
    });
}

fn is_foreign_key_violation(error: &DbError) -> bool {
    matches!(
        error,
        DbError::Statement(diesel::result::Error::DatabaseError(
            DatabaseErrorKind::ForeignKeyViolation,
            _
        ))
    )
}
