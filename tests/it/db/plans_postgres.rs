//! PostgreSQL's plans for every route, with statistics of 100,000 posts: those that the server really used, for requests often
//! enough that it also uses the generic plans of prepared statements.

use diesel::connection::SimpleConnection;
use serde_json::json;

use crate::support::{
    api::{Call, TestApi},
    database::PostgresDatabase,
    postgres_proxy::PostgresProxy,
};

/// Number of times that each request is sent. From its sixth execution on, a prepared statement may get a generic plan.
const TIMES: usize = 8;

/// 5,000 users, and posts of 50 of them, one of whom has written a fifth.
const POSTS: &str = "
    INSERT INTO users (tid, oid, display_name, created_at_micros, updated_at_micros)
    SELECT '99999999-2222-4333-8444-555555555555', '00000000-0000-4000-8000-' || lpad(n::text, 12, '0'), 'User ' || n, 1, 1
    FROM generate_series(1, 5000) AS n;
    INSERT INTO name_tokens (user_id, issued_at) SELECT id, 1 FROM users;
    INSERT INTO blog_posts (title, content, author_id, created_at_micros, updated_at_micros)
    SELECT 'Title ' || n, 'Word' || n % 1000 || ' text', (SELECT min(id) FROM users) + CASE WHEN n % 5 = 0 THEN 0 ELSE n % 50 END,
           1700000000000000 + n, 1700000000000000 + n
    FROM generate_series(1, 100000) AS n;
    INSERT INTO idempotency_keys (user_id, key, fingerprint, post_id, post_version, answer, created_at_micros)
    SELECT (SELECT min(id) FROM users), 'old-' || n, sha256('x'), n, 1, '{}', 1700000000000000 + n
    FROM generate_series(1, 5000) AS n";

/// What no plan may contain: none of these tables is read from end to end.
const FORBIDDEN: &[&str] = &[
    "Seq Scan on blog_posts",
    "Seq Scan on idempotency_keys",
    "Seq Scan on name_tokens",
    "Seq Scan on users",
    // Reads the users in the order of their ids, up to the authors of the posts.
    "Merge Cond",
    "Hash Cond",
    // The posts of a page are sorted by their place on it, and no others.
    "Sort Key: blog_posts",
    "Sort Key: p.created",
    "Sort Key: p_1.created",
    // Without a condition on the author, all entries.
    "Index Only Scan using blog_posts_pkey",
];

#[test]
fn no_route_reads_a_table_from_end_to_end_or_sorts_posts() {
    let Some(postgres) = PostgresDatabase::new() else {
        return;
    };
    let (proxy, settings) = PostgresProxy::before(&postgres.settings);
    // Creates the tables.
    drop(TestApi::on(&settings));
    let mut admin = postgres.connection();
    admin.batch_execute(POSTS).expect("filled");
    // As autovacuum does.
    admin.batch_execute("VACUUM ANALYZE").expect("statistics");
    let name = &postgres.name;
    admin
        .batch_execute(&format!(
            "ALTER DATABASE {name} SET session_preload_libraries = 'auto_explain'; \
             ALTER DATABASE {name} SET auto_explain.log_min_duration = 0; \
             ALTER DATABASE {name} SET auto_explain.log_level = 'notice'; \
             ALTER DATABASE {name} SET auto_explain.log_nested_statements = on"
        ))
        .expect("the server has auto_explain");
    let api = TestApi::on(&settings);
    let alice = api.alice();
    let id = alice.write("New", "Text");
    let cursor = alice
        .get("/v1/posts?limit=20&skip=50000")
        .next_page()
        .expect("a next page");

    let plans = |status: u16, request: &mut dyn FnMut() -> Call| {
        proxy.take_notices();
        for _ in 0..TIMES {
            let answer = request().send();
            assert_eq!(answer.status, status, "{answer:?}");
        }
        let plans = proxy.take_notices();
        assert!(plans.len() >= TIMES, "each statement has a plan");
        for plan in &plans {
            for forbidden in FORBIDDEN {
                assert!(!plan.contains(forbidden), "{plan}");
            }
        }
        plans
    };
    let get = |path: &str, index: &str| {
        let plans = plans(200, &mut || alice.call("GET", path));
        assert!(
            plans.iter().any(|plan| plan.contains(index)),
            "{path} uses {index}: {plans:#?}"
        );
    };
    get(&format!("/v1/posts/{id}"), "blog_posts_pkey");
    get("/v1/posts?limit=20", "Scan Backward using blog_posts_newest on");
    get(
        "/v1/posts?limit=1000&excerpt=100",
        "Scan Backward using blog_posts_newest on",
    );
    get(&cursor, "Scan Backward using blog_posts_newest on");
    get(
        "/v1/posts?limit=20&skip=90000",
        "Index Only Scan Backward using blog_posts_newest on",
    );
    get("/v1/posts?limit=20&author=me", "blog_posts_newest_of_author");
    get("/v1/posts?limit=20&author=1", "blog_posts_newest_of_author");
    get("/v1/posts?limit=20&author=1&skip=1000", "blog_posts_newest_of_author");
    get(
        "/v1/posts?limit=20&q=word77",
        "Bitmap Index Scan on blog_posts_searched",
    );
    get(
        "/v1/posts?limit=20&q=word77&author=me",
        "Bitmap Index Scan on blog_posts_searched",
    );
    get("/v1/profile", "users_tid_oid_key");

    let write = |method: &str, path: &str| {
        alice
            .call(method, path)
            .json(&json!({ "title": "Title", "content": "Text" }))
    };
    let mut number = 0;
    for status in [200, 201, 201, 204] {
        plans(status, &mut || {
            number += 1;
            let key = format!("key-{number}");
            match (status, number <= 2 * TIMES) {
                (200, _) => write("PUT", &format!("/v1/posts/{id}")),
                (201, true) => write("POST", "/v1/posts"),
                (201, false) => write("POST", "/v1/posts").header("Idempotency-Key", &key),
                _ => alice.call("DELETE", &format!("/v1/posts/{}", alice.write("Short-lived", "Text"))),
            }
        });
    }
    // The name in a later token, which is stored.
    api.named(1, "Bob", 0).call("POST", "/v1/users/me").send();
    plans(200, &mut || {
        number += 1;
        let seconds = i64::try_from(number).expect("small");
        api.named(1, &format!("Bob {number}"), seconds)
            .call("POST", "/v1/users/me")
    });
}
