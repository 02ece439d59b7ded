//! Access tokens, signing keys, caches and rate limits of the API.

use chrono::Utc;

use crate::support::{api::Client, role::RoleProcess};

const VALIDATIONS: &str = "blogctl_access_token_validations_total";

#[test]
fn access_tokens_are_counted_by_outcome_and_cache() {
    let api = RoleProcess::api(&[]);
    let alice = api.alice();
    for _ in 0..3 {
        assert_eq!(alice.get("/v1/profile").status, 200);
    }
    let expired = api
        .control()
        .token()
        .claim("exp", (Utc::now().timestamp() - 3600).into())
        .mint();
    for _ in 0..2 {
        Client::at(&api.url(""), &expired)
            .get("/v1/profile")
            .problem(401, "expired");
    }
    Client::at(&api.url(""), "a.b.c")
        .get("/v1/profile")
        .problem(401, "malformed_token");
    assert_eq!(Client::at(&api.url(""), "").get("/v1/profile").status, 401);
    let scrape = api.scrape();
    let count = |outcome, cached| scrape.value(VALIDATIONS, &[("outcome", outcome), ("cached", cached)]);
    assert_eq!(
        (count("valid", "false"), count("valid", "true")),
        (1.0, 2.0),
        "{}",
        scrape.text
    );
    assert_eq!(
        (count("expired", "false"), count("expired", "true")),
        (1.0, 1.0),
        "{}",
        scrape.text
    );
    assert_eq!(count("malformed_token", "false"), 1.0, "{}", scrape.text);
    assert_eq!(count("missing_token", "false"), 1.0, "{}", scrape.text);
}

#[test]
fn the_age_of_the_signing_keys_and_attempts_to_fetch_them_are_known() {
    let before = Utc::now().timestamp();
    let api = RoleProcess::api(&[]);
    assert_eq!(api.alice().get("/v1/profile").status, 200);
    let role = [("role", "api")];
    let scrape = api.scrape();
    assert!(scrape.value("blogctl_signing_keys", &role) >= 1.0, "{}", scrape.text);
    let fetched_at = scrape.value("blogctl_signing_keys_fetched_timestamp_seconds", &role);
    #[expect(clippy::cast_precision_loss, reason = "seconds")]
    let range = before as f64..=Utc::now().timestamp() as f64;
    assert!(range.contains(&fetched_at), "{fetched_at}");
    let fetches = |outcome| [("role", "api"), ("outcome", outcome)];
    assert!(
        scrape.value("blogctl_signing_key_fetches_total", &fetches("success")) >= 1.0,
        "{}",
        scrape.text
    );
    assert_eq!(
        scrape.count("blogctl_signing_key_fetches_total", &fetches("failure")),
        1,
        "begins at zero"
    );
    // An unknown key makes the API fetch the keys.
    let control = api.control();
    control.rotate_keys();
    let token = control.token().mint();
    control.down_at("keys");
    assert_eq!(Client::at(&api.url(""), &token).get("/v1/profile").status, 503);
    assert_eq!(
        api.scrape()
            .value("blogctl_signing_key_fetches_total", &fetches("failure")),
        1.0
    );
}

#[test]
fn lookups_in_the_caches_are_hits_or_misses() {
    let api = RoleProcess::api(&[]);
    let alice = api.alice();
    let id = alice.write(
        "A title",
        "Some text that is long enough to be compressed. ".repeat(50).as_str(),
    );
    let post = format!("/v1/posts/{id}");
    for _ in 0..3 {
        assert_eq!(alice.get(&post).status, 200);
        assert_eq!(alice.get("/v1/posts?limit=20").status, 200);
        assert_eq!(alice.get("/v1/posts?q=compressed").status, 200);
    }
    for _ in 0..2 {
        assert_eq!(
            alice.call("GET", &post).header("Accept-Encoding", "zstd").send().status,
            200
        );
    }
    let scrape = api.scrape();
    let count = |cache, result| scrape.value("blogctl_cache_lookups_total", &[("cache", cache), ("result", result)]);
    for (cache, misses, hits) in [
        ("posts", 1.0, 4.0),
        ("lists", 1.0, 2.0),
        ("searches", 1.0, 2.0),
        ("compressed_bodies", 1.0, 1.0),
    ] {
        assert_eq!(
            (count(cache, "miss"), count(cache, "hit")),
            (misses, hits),
            "{cache}: {}",
            scrape.text
        );
    }
}

#[test]
fn rejected_requests_are_counted_by_budget() {
    let api = RoleProcess::api(&[
        "api.limit_failures_per_minute=2",
        "api.limit_writes_per_second=1",
        "api.limit_writes_burst=1",
    ]);
    let alice = api.alice();
    alice.write("A title", "Some text");
    alice
        .post(
            "/v1/posts",
            &serde_json::json!({ "title": "Another", "content": "text" }),
        )
        .problem(429, "too_many_requests");
    let limited = (0..10)
        .map(|n| Client::at(&api.url(""), &format!("a.b.{n}")).get("/v1/profile").status)
        .filter(|status| *status == 429)
        .count();
    assert!(limited > 0, "the third guess of a token is not verified");
    let scrape = api.scrape();
    let count = |budget| scrape.value("blogctl_rate_limited_total", &[("budget", budget)]);
    assert_eq!(count("writes"), 1.0, "{}", scrape.text);
    #[expect(clippy::cast_precision_loss, reason = "ten requests")]
    let expected = limited as f64;
    assert_eq!(count("failures"), expected, "{}", scrape.text);
    assert_eq!(count("reads"), 0.0, "{}", scrape.text);
}
