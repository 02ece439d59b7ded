//! Rate limits from the point of view of callers.

use serde_json::json;

use crate::support::{api::TestApi, attacks};

#[test]
fn responses_state_the_remaining_limit_which_each_caller_has_separately() {
    let api =
        TestApi::with(|settings| (settings.api.limit_writes_burst, settings.api.limit_writes_per_second) = (2, 1));
    let (alice, bob, post) = (api.alice(), api.bob(), json!({"title": "a", "content": "b"}));
    let first = alice.post("/v1/posts", &post);
    assert_eq!((first.status, first.header("RateLimit")), (201, "\"writes\";r=1"));
    assert_eq!(first.header("RateLimit-Policy"), "\"writes\";q=2;w=2");
    let answers: Vec<_> = (0..20).map(|_| alice.post("/v1/posts", &post)).collect();
    let rejected = answers.iter().find(|answer| answer.status == 429);
    attacks::record("API: rate limits", "a flood of writes", rejected.is_some());
    let rejected = rejected.expect("over the limit");
    rejected.problem(429, "too_many_requests");
    assert!(
        rejected.header("RateLimit").starts_with("\"writes\";r=0;t="),
        "{}",
        rejected.header("RateLimit")
    );
    assert_eq!(rejected.header("Retry-After"), "1");
    assert_eq!(alice.get("/v1/posts").status, 200, "reads have a separate limit");
    assert_eq!(bob.post("/v1/posts", &post).status, 201, "and so has another caller");
}

#[test]
fn an_untrusted_forwarded_address_does_not_evade_the_limit() {
    let api =
        TestApi::with(|settings| (settings.api.limit_address_burst, settings.api.limit_address_per_second) = (5, 1));
    let flood = |api: &TestApi| {
        let one = |n: u32| {
            let call = api
                .anonymous()
                .call("GET", "/v1/posts")
                .header("X-Forwarded-For", &format!("198.51.100.{n}"));
            call.send().status
        };
        (0..200).map(one).filter(|status| *status == 429).count()
    };
    let rejected = flood(&api);
    attacks::record("API: rate limits", "a flood under invented addresses", rejected > 0);
    assert!(rejected > 0);
    assert_eq!(api.anonymous().get("/health/live").status, 200, "health has no limit");
    let behind_a_proxy = TestApi::with(|settings| {
        (settings.api.limit_address_burst, settings.api.limit_address_per_second) = (5, 1);
        settings.server.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
    });
    assert_eq!(
        flood(&behind_a_proxy),
        0,
        "two hundred clients of a proxy that is trusted"
    );
}

#[test]
fn a_client_that_guesses_tokens_is_limited_and_others_are_not() {
    let api = TestApi::with(|settings| settings.api.limit_failures_per_minute = 3);
    let alice = api.alice();
    assert_eq!(alice.get("/v1/posts").status, 200);
    let guess = |n: u32| {
        api.bearer(|token| token.sign_with("foreign").claim("n", json!(n)))
            .get("/v1/posts")
            .status
    };
    let statuses: Vec<_> = (0..8).map(guess).collect();
    attacks::record("API: rate limits", "guessing tokens", statuses.ends_with(&[429; 4]));
    assert_eq!(statuses, [401, 401, 401, 401, 429, 429, 429, 429]);
    assert_eq!(alice.get("/v1/posts").status, 200, "from the same address");
    api.bob().get("/v1/posts").problem(429, "too_many_requests");
}

#[test]
fn without_rate_limits_there_are_no_headers() {
    let api = TestApi::with(|settings| (settings.api.rate_limits, settings.api.limit_reads_burst) = (false, 1));
    let answers: Vec<_> = (0..10).map(|_| api.alice().get("/v1/posts")).collect();
    assert!(
        answers
            .iter()
            .all(|answer| answer.status == 200 && answer.header("RateLimit").is_empty())
    );
}

#[test]
fn searches_have_a_separate_limit() {
    let api = TestApi::with(|settings| {
        (
            settings.api.limit_searches_burst,
            settings.api.limit_searches_per_second,
        ) = (3, 1);
    });
    let (alice, bob) = (api.alice(), api.bob());
    let answers: Vec<_> = (0..20).map(|_| alice.get("/v1/posts?q=word")).collect();
    let rejected = answers.iter().find(|answer| answer.status == 429);
    attacks::record("API: rate limits", "a flood of searches", rejected.is_some());
    let rejected = rejected.expect("over the limit");
    rejected.problem(429, "too_many_requests");
    assert_eq!(
        (rejected.header("RateLimit-Policy"), rejected.header("Retry-After")),
        ("\"searches\";q=3;w=3", "1")
    );
    assert_eq!(alice.get("/v1/posts").status, 200, "lists are no searches");
    assert_eq!(bob.get("/v1/posts?q=word").status, 200, "another caller has their own");
}
