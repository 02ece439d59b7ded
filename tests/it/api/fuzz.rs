//! Twenty thousand random requests, many of them broken, against the running API: it never fails, never hangs, reports
//! errors in the documented format, and works normally afterwards.
//!
//! `BLOGCTL_FUZZ_SEED` sets another seed, `BLOGCTL_FUZZ_REQUESTS` another number of requests. A failure names the number of
//! the request, which has the same bytes for the same seed.

use serde_json::Value;

use crate::support::{
    api::Client,
    dev::Dev,
    fuzz::{
        Grammar, RawRequest, SendEnd,
        run::{self, Target},
    },
    idp::IdpControl,
    raw_http::{self, RawResponse},
};

const REQUESTS: u64 = 20_000;
/// After this many requests, all caches of the process are full.
const WARM: u64 = 4000;
/// Allowed growth after that: posts in SQLite's cache, and cached responses.
const MAY_GROW_KIB: u64 = 96 * 1024;

fn grammar(dev: &Dev) -> Grammar {
    let control = IdpControl::at(&dev.idp(""));
    let good = control.token().mint();
    let bearer = |token: &str| format!("Bearer {token}");
    let (head, payload_and_signature) = good.split_once('.').expect("a JWT");
    let (payload, signature) = payload_and_signature.split_once('.').expect("a JWT");
    let mut credentials = vec![bearer(&good); 80];
    credentials.extend([
        bearer(&control.token().user("0a11ce00-0000-4000-8000-000000000002").mint()),
        bearer(&control.token().expired().mint()),
        bearer(&control.token().scope("other").mint()),
        bearer(&format!("{head}.{payload}.")),
        bearer(&format!(
            "{head}.{payload}.{}",
            signature.chars().rev().collect::<String>()
        )),
        bearer(&format!("eyJhbGciOiJub25lIn0.{payload}.")),
        bearer(&format!("{head}.{}.{signature}", &payload[..payload.len() - 7])),
        bearer(&"x".repeat(20_000)),
        "Basic YTpi".to_owned(),
        format!("Bearer {good}, Bearer {good}"),
    ]);
    Grammar {
        routes: &[
            ("/v1/posts", &["GET", "POST", "POST", "POST", "HEAD"]),
            ("/v1/posts", &["GET", "POST", "POST", "POST", "HEAD"]),
            ("/v1/posts", &["GET", "POST", "POST", "POST", "HEAD"]),
            ("/v1/posts", &["GET", "POST", "POST", "POST", "HEAD"]),
            ("/v1/posts", &["GET", "POST", "POST", "POST", "HEAD"]),
            ("/v1/posts", &["GET", "GET", "GET", "POST", "HEAD"]),
            ("/v1/posts/#", &["GET", "PUT", "PUT", "DELETE", "HEAD"]),
            ("/v1/posts/#", &["GET", "GET", "PUT", "PUT", "HEAD"]),
            ("/v1/posts/#", &["GET", "GET", "PUT", "PUT", "HEAD"]),
            ("/v1/posts/#", &["GET", "GET", "PUT", "PUT", "HEAD"]),
            ("/v1/posts/#", &["GET", "GET", "PUT", "PUT", "PUT"]),
            ("/v1/profile", &["GET"]),
            ("/v1/users/me", &["POST"]),
            ("/health", &["GET", "HEAD"]),
            ("/health/live", &["GET"]),
            ("/.well-known/oauth-protected-resource", &["GET"]),
            ("/v1/openapi.json", &["GET"]),
            ("/v1/docs", &["GET"]),
            ("/", &["GET"]),
            ("/v1", &["GET"]),
        ],
        parameters: &["skip", "limit", "after", "author", "q", "sort", "access_token"],
        credential: "Authorization",
        credentials,
        form_key: Vec::new(),
        content_type: "application/json",
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "a failure elsewhere may need the seed, too")]
fn random_requests_neither_break_nor_block_the_api_and_get_only_documented_responses() {
    let (seed, requests) = (run::seed(), run::requests(REQUESTS));
    let folder = tempfile::tempdir().expect("a temporary folder");
    // With rate limits, most requests would be rejected early.
    let dev = Dev::start_in(folder.path(), &["--set", "api.rate_limits=false"]);
    let target = Target {
        url: &dev.api(""),
        grammar: &grammar(&dev),
        check,
    };
    let alice = Client::at(&dev.api(""), &IdpControl::at(&dev.idp("")).token().mint());

    let mut counts = target.run(seed, 0..WARM.min(requests));
    let warm = dev.running.resident_kib();
    for (kind, count) in target.run(seed, WARM.min(requests)..requests) {
        *counts.entry(kind).or_default() += count;
    }
    let grown = dev.running.resident_kib().saturating_sub(warm);

    eprintln!("seed {seed}, {requests} requests, answers {counts:#?}, {warm} KiB, then {grown} KiB more");
    // The requests reached every handler, so the checks have seen every kind of response.
    for kind in [
        "200",
        "201",
        "204",
        "400 malformed_json",
        "400 malformed_idempotency_key",
        "401 bad_signature",
        "401 expired",
        "401 missing_token",
        "403 insufficient_scope",
        "403 not_author",
        "404 not_found",
        "404 post_not_found",
        "405 method_not_allowed",
        "412 stale",
        "413 body_too_large",
        "415 unsupported_media_type",
        "422 idempotency_key_reused",
        "422 invalid",
    ] {
        assert!(
            requests < REQUESTS || counts.contains_key(kind),
            "seed {seed}: no {kind} in {counts:#?}"
        );
    }
    assert!(
        grown < MAY_GROW_KIB,
        "seed {seed}: {grown} KiB more than the {warm} KiB of after {WARM} requests"
    );
    assert_eq!(alice.get("/health").status, 200);
    let id = alice.write("Still here", "As if nothing had been.");
    assert_eq!(alice.get(&format!("/v1/posts/{id}")).status, 200);
    run::stops_cleanly(dev, seed);
}

fn check(sent: &RawRequest, answers: &[RawResponse]) -> Result<(), String> {
    if sent.end == SendEnd::Whole && answers.is_empty() {
        return Err("no answer".to_owned());
    }
    for answer in answers {
        let wrong = |what: &str| {
            format!(
                "{what}: {} {:?} {}",
                answer.status,
                answer.headers,
                raw_http::shown(&answer.body)
            )
        };
        if answer.status >= 500 && answer.status != 503 {
            return Err(wrong("a failure of the server"));
        }
        if answer.status >= 400 {
            check_problem(sent, answer).map_err(|what| wrong(&what))?;
        }
    }
    Ok(())
}

/// RFC 9457, with the members that the API documents.
fn check_problem(sent: &RawRequest, answer: &RawResponse) -> Result<(), String> {
    let is_readiness = answer.status == 503 && answer.header("content-type") == "application/json";
    let is_to_head = answer.body.is_empty() && sent.methods.iter().any(|method| method == "HEAD");
    // The web server rejects what is not HTTP before this program sees it.
    let is_unread = answer.body.is_empty() && matches!(answer.status, 400 | 408 | 431) && sent.end != SendEnd::Whole;
    if is_readiness || is_to_head || is_unread {
        return Ok(());
    }
    if answer.header("content-type") != "application/problem+json" {
        return Err("no problem document".to_owned());
    }
    let problem: Value = serde_json::from_slice(&answer.body).map_err(|error| format!("no JSON ({error})"))?;
    let text = |name: &str| {
        problem
            .get(name)
            .and_then(Value::as_str)
            .ok_or_else(|| format!("{name} is no text"))
    };
    for name in ["type", "title", "detail", "instance"] {
        text(name)?;
    }
    if problem["status"] != answer.status {
        return Err("another status inside".to_owned());
    }
    if text("code")?.is_empty()
        || !text("code")?
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
    {
        return Err("no code".to_owned());
    }
    if text("request_id")? != answer.header("x-request-id") {
        return Err("another request id inside".to_owned());
    }
    if matches!(answer.status, 401 | 403) != !answer.header("www-authenticate").is_empty() {
        return Err("a challenge too many or too few".to_owned());
    }
    let errors = problem
        .get("errors")
        .map(|errors| errors.as_array().cloned().unwrap_or_default());
    let is_well_formed = |error: &Value| error["field"].is_string() && error["message"].is_string();
    if errors.is_some_and(|errors| errors.is_empty() || !errors.iter().all(is_well_formed)) {
        return Err("errors without field and message".to_owned());
    }
    Ok(())
}
