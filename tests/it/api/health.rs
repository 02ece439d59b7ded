//! Health routes, which need no token.

use diesel::{Connection as _, SqliteConnection, connection::SimpleConnection as _};
use serde_json::json;

use crate::support::api::TestApi;

#[test]
fn a_healthy_api_says_so() {
    let api = TestApi::start();
    let ready = api.anonymous().get_until("/health/ready", 200);
    insta::assert_snapshot!(ready.snapshot(), @r#"
    {
      "status": "ok",
      "checks": {
        "database": {
          "status": "ok"
        },
        "signing_keys": {
          "status": "ok"
        }
      }
    }
    "#);
    assert_eq!(api.anonymous().get("/health").text, ready.text);
    let live = api.anonymous().get("/health/live");
    assert_eq!((live.status, live.text.as_str()), (200, r#"{"status":"ok"}"#));
    assert_eq!(live.header("Cache-Control"), "no-store");
}

#[test]
fn without_its_database_the_api_is_not_ready_and_hides_the_reason() {
    let api = TestApi::start();
    let path = &api.settings.database.url;
    api.anonymous().get_until("/health/ready", 200);
    let mut other = SqliteConnection::establish(path).expect("the same file");
    other
        // The API's writer may hold the lock for a moment, to check the full-text index after the start.
        .batch_execute("PRAGMA busy_timeout = 5000; ALTER TABLE blog_posts RENAME TO gone1; ALTER TABLE post_counts RENAME TO gone2;")
        .expect("renamed");

    let ready = api.anonymous().get_until("/health/ready", 503);
    let expected = json!({
        "status": "unavailable",
        "checks": { "database": { "status": "unavailable" }, "signing_keys": { "status": "ok" } },
    });
    assert_eq!((ready.status, ready.json()), (503, expected));
    assert_eq!(api.anonymous().get("/health/live").status, 200, "it lives all the same");

    for answer in [api.alice().get("/v1/posts"), api.alice().get("/v1/posts/1")] {
        let detail = answer.problem(500, "internal");
        assert_eq!(detail, "the server failed; the error was logged under this request id");
        for internal in [path.as_str(), "table", "blog_posts", "post_counts", "statement"] {
            assert!(!answer.text.contains(internal), "{internal}: {}", answer.text);
        }
    }

    other
        .batch_execute("ALTER TABLE gone1 RENAME TO blog_posts; ALTER TABLE gone2 RENAME TO post_counts;")
        .expect("renamed");
    api.anonymous().get_until("/health/ready", 200);
}

#[test]
fn without_its_sqlite_file_the_api_rejects_writes_and_recovers_when_it_is_back() {
    let api = TestApi::start();
    let (alice, nobody) = (api.alice(), api.anonymous());
    alice.write("before", "x");
    nobody.get_until("/health/ready", 200);
    let path = std::path::PathBuf::from(&api.settings.database.url);
    let aside = path.with_extension("aside");
    std::fs::rename(&path, &aside).expect("moved away");
    nobody.get_until("/health/ready", 503);
    let rejected = alice.post("/v1/posts", &serde_json::json!({ "title": "lost", "content": "x" }));
    rejected.problem(503, "database_unavailable");
    assert!(
        !rejected.header("Retry-After").is_empty() && !path.exists(),
        "{rejected:?}"
    );
    std::fs::rename(&aside, &path).expect("moved back");
    nobody.get_until("/health/ready", 200);
    alice.write("after", "x");
}
