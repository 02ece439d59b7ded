//! Connections to PostgreSQL that are lost at a chosen statement, servers that accept no writes, and transactions that
//! conflict: reads are retried, no write happens twice, and the answer is 503 where the outcome is unknown.

use diesel::{QueryableByName, RunQueryDsl, connection::SimpleConnection, sql_types::BigInt};
use serde_json::{Value, json};

use crate::support::{
    api::{ApiResponse, Client, TestApi},
    database::PostgresDatabase,
    postgres_proxy::{
        Loss::{self, AfterStatement, BeforeStatement},
        PostgresProxy,
    },
};

#[derive(QueryableByName)]
struct Count {
    #[diesel(sql_type = BigInt)]
    count: i64,
}

/// The API on a database behind a proxy.
struct Lossy {
    postgres: PostgresDatabase,
    proxy: PostgresProxy,
    api: TestApi,
}

impl Lossy {
    fn start() -> Option<Self> {
        let postgres = PostgresDatabase::new()?;
        let (proxy, settings) = PostgresProxy::before(&postgres.settings);
        let api = TestApi::on(&settings);
        Some(Self { postgres, proxy, api })
    }

    /// Loses the connection at a statement of a request.
    fn lose<T>(&self, loss: Loss, text: &str, request: impl FnOnce() -> T) -> T {
        self.proxy.lose_connection(loss, text);
        let answer = request();
        assert_eq!(self.proxy.pending_losses(), 0, "there is such a statement: {text}");
        answer
    }

    fn sql(&self, text: &str) {
        self.postgres.connection().batch_execute(text).expect(text);
    }

    fn posts_titled(&self, title: &str) -> i64 {
        let count = format!("SELECT count(*) AS count FROM blog_posts WHERE title = '{title}'");
        let count: Count = diesel::sql_query(count)
            .get_result(&mut self.postgres.connection())
            .expect("counted");
        count.count
    }
}

#[track_caller]
fn is_unavailable(answer: &ApiResponse) {
    answer.problem(503, "database_unavailable");
    let seconds: u32 = answer.header("Retry-After").parse().expect("Retry-After");
    assert!(seconds > 0, "{answer:?}");
}

fn post(client: &Client, title: &str, key: Option<&str>) -> ApiResponse {
    let call = client.call("POST", "/v1/posts").json(&body(title));
    match key {
        Some(key) => call.header("Idempotency-Key", key).send(),
        None => call.send(),
    }
}

fn body(title: &str) -> Value {
    json!({ "title": title, "content": "Text" })
}

#[test]
fn a_read_whose_connection_is_lost_is_retried_once() {
    let Some(lossy) = Lossy::start() else { return };
    let alice = lossy.api.alice();
    let id = alice.write("A post", "Words");
    let path = format!("/v1/posts/{id}");
    for loss in [BeforeStatement, AfterStatement] {
        for path in [
            &path,
            "/v1/posts",
            "/v1/posts?author=me",
            "/v1/posts?q=words",
            "/v1/profile",
        ] {
            alice.get(path);
            let statement = if path.starts_with("/v1/profile") {
                "users"
            } else {
                "blog_posts"
            };
            let answer = lossy.lose(loss, statement, || alice.get(path));
            assert_eq!(answer.status, 200, "{loss:?} {path} {answer:?}");
        }
        lossy.proxy.lose_connection(loss, "blog_posts");
        is_unavailable(&lossy.lose(loss, "blog_posts", || alice.get(&path)));
        assert_eq!(alice.get(&path).status, 200, "on another connection");
    }
}

#[test]
fn a_creation_whose_connection_is_lost_is_not_repeated() {
    let Some(lossy) = Lossy::start() else { return };
    let alice = lossy.api.alice();
    for (loss, title, stored) in [(BeforeStatement, "Before", 0), (AfterStatement, "After", 1)] {
        alice.write("A connection", "that is in use");
        is_unavailable(&lossy.lose(loss, "INSERT INTO blog_posts", || post(&alice, title, None)));
        alice.write("Another one", "after it");
        assert_eq!(lossy.posts_titled(title), stored, "{loss:?}");
    }
}

#[test]
fn a_creation_with_a_key_may_be_sent_again_whatever_was_lost() {
    let Some(lossy) = Lossy::start() else { return };
    let alice = lossy.api.alice();
    for (number, (loss, statement, is_committed)) in [
        (BeforeStatement, "INSERT INTO blog_posts", false),
        (AfterStatement, "INSERT INTO blog_posts", false),
        (BeforeStatement, "idempotency_keys", false),
        (AfterStatement, "idempotency_keys", false),
        (BeforeStatement, "COMMIT", false),
        (AfterStatement, "COMMIT", true),
    ]
    .into_iter()
    .enumerate()
    {
        let title = format!("Number {number}");
        alice.write("A connection", "that is in use");
        is_unavailable(&lossy.lose(loss, statement, || post(&alice, &title, Some(&title.replace(' ', "-")))));
        let again = post(&alice, &title, Some(&title.replace(' ', "-")));
        assert_eq!(again.status, 201, "{again:?}");
        let replayed = if is_committed { "true" } else { "" };
        assert_eq!(again.header("Idempotent-Replayed"), replayed, "{loss:?} {statement}");
        assert_eq!(lossy.posts_titled(&title), 1, "{loss:?} {statement}");
    }
}

#[test]
fn a_change_is_retried_only_if_nothing_was_written() {
    let Some(lossy) = Lossy::start() else { return };
    let alice = lossy.api.alice();
    let id = alice.write("A post", "Words");
    let path = format!("/v1/posts/{id}");
    for (number, loss) in [BeforeStatement, AfterStatement].into_iter().enumerate() {
        let title = format!("Retried {number}");
        alice.put(&path, &body("Connected"));
        let answer = lossy.lose(loss, "SELECT", || alice.put(&path, &body(&title)));
        assert_eq!(
            (answer.status, answer.value("title")),
            (200, json!(title)),
            "{answer:?}"
        );
        let title = format!("Unknown {number}");
        is_unavailable(&lossy.lose(loss, "UPDATE", || alice.put(&path, &body(&title))));
        assert_eq!(lossy.posts_titled(&title), i64::from(loss == AfterStatement));
        assert_eq!(alice.put(&path, &body("Well again")).status, 200);
    }
    is_unavailable(&lossy.lose(AfterStatement, "DELETE", || alice.delete(&path)));
    assert_eq!(alice.delete(&path).status, 404, "it was deleted");
}

#[test]
fn one_lost_connection_makes_the_others_be_checked() {
    let Some(lossy) = Lossy::start() else { return };
    let alice = lossy.api.alice();
    let parallel = || {
        std::thread::scope(|scope| {
            let all: Vec<_> = (0..8).map(|_| scope.spawn(|| post(&alice, "Parallel", None))).collect();
            all.into_iter()
                .map(|one| one.join().expect("an answer"))
                .collect::<Vec<_>>()
        })
    };
    parallel();
    lossy.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()",
    );
    // A read notices, and is retried.
    assert_eq!(alice.get("/v1/posts").status, 200);
    for answer in parallel() {
        assert_eq!(answer.status, 201, "{answer:?}");
    }
}

#[test]
fn a_server_that_accepts_no_writes_is_a_503_until_it_does() {
    let Some(lossy) = Lossy::start() else { return };
    let alice = lossy.api.alice();
    let id = alice.write("A post", "Words");
    let path = format!("/v1/posts/{id}");
    let name = &lossy.postgres.name;
    lossy.sql(&format!(
        "ALTER DATABASE {name} SET default_transaction_read_only = on; \
         SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()"
    ));
    assert_eq!(alice.get(&path).status, 200);
    for _ in 0..2 {
        is_unavailable(&post(&alice, "Not written", None));
        is_unavailable(&post(&alice, "Not written", Some("not-written")));
        is_unavailable(&alice.put(&path, &body("Not written")));
        is_unavailable(&alice.delete(&path));
        is_unavailable(&lossy.api.bob().call("POST", "/v1/users/me").send());
        assert_eq!(alice.get("/v1/posts").status, 200);
    }
    // As after the promotion of a standby. The connections were dropped, so new ones see it.
    lossy.sql(&format!(
        "BEGIN READ WRITE; ALTER DATABASE {name} RESET default_transaction_read_only; COMMIT"
    ));
    assert_eq!(alice.put(&path, &body("Written")).status, 200);
    assert_eq!(post(&alice, "Written", Some("not-written")).status, 201);
    assert_eq!(
        (lossy.posts_titled("Not written"), lossy.posts_titled("Written")),
        (0, 2)
    );
}

#[test]
fn a_write_that_other_transactions_undo_is_tried_four_times() {
    let Some(lossy) = Lossy::start() else { return };
    let alice = lossy.api.alice();
    let id = alice.write("A post", "Words");
    let path = format!("/v1/posts/{id}");
    // A sequence counts also what is rolled back.
    lossy.sql(
        "CREATE SEQUENCE attempts; \
         CREATE FUNCTION conflict() RETURNS TRIGGER LANGUAGE plpgsql AS $$ BEGIN \
         IF nextval('attempts') % 5 <> 4 THEN RAISE 'x' USING ERRCODE = TG_ARGV[0]; END IF; RETURN NEW; END $$; \
         CREATE TRIGGER conflicts BEFORE INSERT OR UPDATE ON blog_posts FOR EACH ROW EXECUTE FUNCTION conflict('40001')",
    );
    // Each write conflicts three times, and succeeds at the fourth attempt.
    assert_eq!(post(&alice, "Created", None).status, 201);
    lossy.sql("ALTER SEQUENCE attempts RESTART");
    assert_eq!(post(&alice, "Created", Some("a-key")).status, 201);
    lossy.sql("ALTER SEQUENCE attempts RESTART");
    assert_eq!(alice.put(&path, &body("Changed")).status, 200);
    // The next four conflict.
    lossy.sql("ALTER SEQUENCE attempts RESTART WITH 5");
    is_unavailable(&post(&alice, "Refused", None));
    assert_eq!((lossy.posts_titled("Created"), lossy.posts_titled("Refused")), (2, 0));
}
