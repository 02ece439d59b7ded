//! Creation with an idempotency key: how long the key is remembered, and that key and post are written together or not at
//! all.

use blogctl::{
    blog::{BlogError, IdempotencyKey, IdempotentResponse, Post, Rights, User},
    db::DbError,
};
use diesel::{QueryableByName, RunQueryDsl, sql_types::BigInt};

use crate::support::database::{TestBlog, draft, each_blog};

impl TestBlog {
    async fn once(&self, author: &User, key: &str, title: &str) -> Result<IdempotentResponse, BlogError> {
        let key = IdempotencyKey::parse(key).expect("a key");
        self.blog
            .create_idempotent(Rights::Write, author, draft(title), key, |post: &Post| {
                Ok(format!("made {}", post.id))
            })
            .await
    }

    fn execute(&self, statement: &str) {
        let mut connection = self.database.connect().expect("a connection");
        match &mut connection.lend() {
            blogctl::db::Connection::Sqlite(c) => diesel::sql_query(statement).execute(&mut **c),
            blogctl::db::Connection::Postgres(c) => diesel::sql_query(statement).execute(&mut **c),
        }
        .expect(statement);
    }

    fn count(&self, table: &str) -> i64 {
        #[derive(QueryableByName)]
        struct Count {
            #[diesel(sql_type = BigInt)]
            number: i64,
        }
        let counting = diesel::sql_query(format!("SELECT count(*) AS number FROM {table}"));
        let mut connection = self.database.connect().expect("a connection");
        let count: Count = match &mut connection.lend() {
            blogctl::db::Connection::Sqlite(c) => counting.get_result(&mut **c),
            blogctl::db::Connection::Postgres(c) => counting.get_result(&mut **c),
        }
        .expect("counted");
        count.number
    }

    /// Makes all stored keys older by this many hours.
    fn age(&self, hours: i64) {
        let micros = hours * 3_600_000_000;
        self.execute(&format!(
            "UPDATE idempotency_keys SET created_at_micros = created_at_micros - {micros}"
        ));
    }
}

#[test]
fn a_key_is_remembered_for_a_day() {
    each_blog(async |test| {
        let author = test.user(1).await;
        let first = test.once(&author, "k", "One").await.expect("written");
        test.age(23);
        let again = test.once(&author, "k", "One").await.expect("known");
        assert_eq!(
            again,
            IdempotentResponse {
                is_replay: true,
                ..first.clone()
            }
        );
        let other = test.once(&author, "k", "Two").await;
        assert!(matches!(other, Err(BlogError::KeyReused)), "{other:?}");
        test.age(1);
        let later = test.once(&author, "k", "Two").await.expect("free again");
        assert!(!later.is_replay && later.post_id != first.post_id, "{later:?}");
        assert_eq!((test.count("idempotency_keys"), test.count("blog_posts")), (1, 2));
    });
}

#[test]
fn expired_keys_are_deleted_in_small_batches() {
    each_blog(async |test| {
        let author = test.user(1).await;
        for number in 0..20 {
            test.once(&author, &format!("old-{number}"), "Old")
                .await
                .expect("written");
        }
        test.age(25);
        let mut left = Vec::new();
        for number in 0..3 {
            test.once(&author, &format!("new-{number}"), "New")
                .await
                .expect("written");
            left.push(test.count("idempotency_keys"));
        }
        assert_eq!(left, [20 - 16 + 1, 2, 3]);
        assert_eq!(test.count("blog_posts"), 23);
    });
}

#[test]
fn key_and_post_are_written_together_or_not_at_all() {
    each_blog(async |test| {
        let author = test.user(1).await;
        // The step after the insertion of the post fails.
        let key = || IdempotencyKey::parse("k").expect("a key");
        let fails = |_: &Post| serde_json::from_str("no JSON");
        let outcome = test
            .blog
            .create_idempotent(Rights::Write, &author, draft("One"), key(), fails)
            .await;
        assert!(matches!(outcome, Err(BlogError::Render(_))), "{outcome:?}");
        let panics = |_: &Post| panic!("while the answer is made");
        let outcome = test
            .blog
            .create_idempotent(Rights::Write, &author, draft("One"), key(), panics)
            .await;
        assert!(
            matches!(outcome, Err(BlogError::Database(DbError::Panicked))),
            "{outcome:?}"
        );
        // The key cannot be stored.
        test.execute("ALTER TABLE idempotency_keys RENAME TO keys_elsewhere");
        let outcome = test.once(&author, "k", "One").await;
        test.execute("ALTER TABLE keys_elsewhere RENAME TO idempotency_keys");
        assert!(
            matches!(outcome, Err(BlogError::Database(DbError::Statement(_)))),
            "{outcome:?}"
        );
        assert_eq!((test.count("idempotency_keys"), test.count("blog_posts")), (0, 0));
        assert!(!test.once(&author, "k", "One").await.expect("written").is_replay);
    });
}

#[test]
fn keys_are_deleted_with_their_user() {
    each_blog(async |test| {
        let author = test.user(1).await;
        test.once(&author, "k", "One").await.expect("written");
        test.execute("DELETE FROM blog_posts");
        assert_eq!(test.count("idempotency_keys"), 1);
        test.execute("DELETE FROM users");
        assert_eq!(test.count("idempotency_keys"), 0);
    });
}

#[test]
fn many_concurrent_requests_with_few_keys_create_one_post_per_key() {
    each_blog(async |test| {
        let author = test.user(1).await;
        let keys: Vec<String> = (0..40).map(|number| format!("k{}", number % 4)).collect();
        let writes = keys.iter().map(|key| test.once(&author, key, key));
        let outcomes = futures_util::future::join_all(writes).await;
        let made = outcomes
            .iter()
            .filter(|outcome| !outcome.as_ref().expect("done").is_replay)
            .count();
        assert_eq!((made, test.count("blog_posts")), (4, 4));
    });
}
