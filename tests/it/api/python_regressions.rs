//! Errors of the earlier Python system, each with a test against its return. Its separate query for each author is covered
//! by `db::plans::the_authors_of_a_list_come_with_it_in_one_statement`.

use std::thread;

use diesel::{Connection as _, SqliteConnection, connection::SimpleConnection as _};
use serde_json::json;

use crate::support::{
    api::{Client, TestApi},
    binary::{CommandOutput, blogctl},
};

const OTHER_TENANT: &str = "99999999-9999-4999-8999-999999999999";

/// Number of requests for the signing keys.
fn key_fetches(api: &TestApi) -> usize {
    api.control().requests_to("/discovery/v2.0/keys").len()
}

/// Sends `count` requests from four threads.
fn storm(count: usize, request: impl Fn(usize) -> u16 + Sync, expected: u16) {
    thread::scope(|scope| {
        for side in 0..4 {
            let request = &request;
            scope.spawn(move || {
                for n in (side..count).step_by(4) {
                    assert_eq!(request(n), expected);
                }
            });
        }
    });
}

#[test]
fn ten_thousand_requests_cause_one_fetch_of_the_signing_keys() {
    let api = TestApi::with(|settings| settings.api.rate_limits = false);
    let alice = api.alice();
    alice.get_until("/v1/profile", 200);
    let client = alice.keep_alive();
    storm(10_000, |_| client.status("/v1/posts/0"), 404);
    assert_eq!(key_fetches(&api), 1);
}

#[test]
fn ten_thousand_invented_kids_cause_one_more_fetch() {
    let api = TestApi::with(|settings| settings.api.rate_limits = false);
    api.alice().get_until("/v1/profile", 200);
    let token = api.control().token().mint();
    let (_, rest) = token.split_once('.').expect("a JWT");
    let client = api.anonymous().keep_alive();
    let with_kid = |n: usize| {
        use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
        let header = json!({"typ": "JWT", "alg": "RS256", "kid": format!("invented-{n}")}).to_string();
        client.status_with_token("/v1/posts", &format!("{}.{rest}", URL_SAFE_NO_PAD.encode(header)))
    };
    storm(10_000, with_kid, 401);
    assert_eq!(key_fetches(&api), 2, "the first one, and one for all unknown keys");
}

#[test]
fn tokens_of_version_2_are_accepted() {
    let api = TestApi::start();
    assert_eq!(api.bearer(|token| token).get("/v1/profile").status, 200);
    assert_eq!(
        api.with_token(&api.control().token().v1().mint())
            .get("/v1/profile")
            .status,
        200,
        "and those of version 1 too"
    );
}

#[test]
fn a_foreign_tenants_token_is_rejected() {
    let api = TestApi::start();
    let issuer = format!("{}/{OTHER_TENANT}/v2.0", api.idp.url(""));
    let foreign = api.bearer(|token| token.claim("iss", json!(issuer)).claim("tid", json!(OTHER_TENANT)));
    foreign.get("/v1/posts").problem(401, "wrong_issuer");
}

#[test]
fn an_application_whose_role_is_named_as_the_scope_is_rejected() {
    let api = TestApi::start();
    let application = api.bearer(|token| token.app_only().claim("roles", json!(["access_as_user"])));
    application.get("/v1/posts").problem(401, "app_only");
}

#[test]
fn a_known_user_without_the_right_gets_403_and_an_unknown_one_401() {
    let api = TestApi::start();
    let id = api.alice().write("hers", "text");
    api.bearer(|token| token.scope("other"))
        .get("/v1/posts")
        .problem(403, "insufficient_scope");
    api.bob().delete(&format!("/v1/posts/{id}")).problem(403, "not_author");
    api.anonymous().get("/v1/posts").problem(401, "missing_token");
    api.with_token(&api.control().token().expired().mint())
        .get("/v1/posts")
        .problem(401, "expired");
}

#[test]
fn a_comma_separated_list_of_cors_origins_is_accepted() {
    let folder = tempfile::tempdir().expect("a folder");
    let origins = "https://a.example, https://b.example";
    let mut command = blogctl(folder.path());
    let output = CommandOutput::from_command(command.args(["config", "--json"]).env("CORS_ORIGINS", origins));
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(
        output.stdout.contains("https://a.example") && output.stdout.contains("https://b.example"),
        "{output:?}"
    );
    let api = TestApi::with(|settings| {
        settings.api.cors_origins = vec!["https://a.example".to_owned(), "https://b.example".to_owned()];
    });
    for origin in ["https://a.example", "https://b.example"] {
        let answer = api.alice().call("GET", "/v1/posts").header("Origin", origin).send();
        assert_eq!(answer.header("Access-Control-Allow-Origin"), origin);
    }
}

#[test]
fn the_api_is_not_ready_while_its_database_is_down() {
    let api = TestApi::start();
    api.anonymous().get_until("/health/ready", 200);
    let mut other = SqliteConnection::establish(&api.settings.database.url).expect("the same file");
    other
        .batch_execute("ALTER TABLE post_counts RENAME TO gone")
        .expect("renamed");
    api.anonymous().get_until("/health/ready", 503);
    other
        .batch_execute("ALTER TABLE gone RENAME TO post_counts")
        .expect("renamed");
    api.anonymous().get_until("/health/ready", 200);
}

#[test]
fn a_list_has_one_defined_order() {
    let api = TestApi::start();
    let alice: Client = api.alice();
    let mut written: Vec<i64> = (0..30).map(|n| alice.write(&format!("Post {n}"), "text")).collect();
    alice.put(&format!("/v1/posts/{}", written[3]), &json!({"title": "changed later"}));
    written.reverse();
    for _ in 0..3 {
        let list = alice.get("/v1/posts?limit=30").json();
        let ids: Vec<_> = list
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(|post| post["id"].as_i64())
            .collect();
        assert_eq!(ids, written, "newest first, by when it was written");
    }
}

#[test]
fn over_the_rate_limit_the_api_answers_429_and_never_500() {
    let api = TestApi::with(|settings| (settings.api.limit_reads_burst, settings.api.limit_reads_per_second) = (3, 1));
    let alice = api.alice();
    let answers: Vec<_> = (0..20).map(|_| alice.get("/v1/posts/0")).collect();
    let (within, over): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 404);
    assert!(within.len() >= 3 && !over.is_empty(), "{answers:#?}");
    for answer in over {
        answer.problem(429, "too_many_requests");
        assert_eq!(answer.header("Retry-After"), "1");
    }
}
