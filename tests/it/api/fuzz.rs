//! Twenty thousand random requests, many of them broken, against the running API: it never fails, never hangs, says what
//! is wrong in the way that it promises, and is none the worse afterwards.
//!
//! `BLOGCTL_FUZZ_SEED` sets another seed, `BLOGCTL_FUZZ_REQUESTS` another number. A failure names the request's number:
//! with the same seed it has the same bytes.

use std::{
    collections::BTreeMap,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use serde_json::Value;

use crate::support::{
    api::Client,
    dev::Dev,
    fuzz::{self, End, Grammar, Sent},
    idp::IdpControl,
    raw_http::{self, RawAnswer},
};

const SEED: u64 = 20_261_124;
const REQUESTS: u64 = 20_000;
/// Connections at once.
const CLIENTS: usize = 12;
/// After so many requests the process has everything that it keeps.
const WARM: u64 = 4000;
/// What it may hold more at the end, for posts in SQLite's caches and answers kept ready.
const MAY_GROW_KIB: u64 = 96 * 1024;

fn number_from(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).ok().and_then(|value| value.parse().ok()).unwrap_or(otherwise)
}

fn grammar(dev: &Dev) -> Grammar {
    let control = IdpControl::at(&dev.idp(""));
    let good = control.token().mint();
    let bearer = |token: &str| format!("Bearer {token}");
    let (head, payload_and_signature) = good.split_once('.').expect("a JWT");
    let (payload, signature) = payload_and_signature.split_once('.').expect("a JWT");
    let mut authorizations = vec![bearer(&good); 80];
    authorizations.extend([
        bearer(&control.token().user("0a11ce00-0000-4000-8000-000000000002").mint()),
        bearer(&control.token().expired().mint()),
        bearer(&control.token().scope("other").mint()),
        bearer(&format!("{head}.{payload}.")),
        bearer(&format!("{head}.{payload}.{}", signature.chars().rev().collect::<String>())),
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
        authorizations,
        content_type: "application/json",
    }
}

#[test]
#[expect(clippy::print_stderr, reason = "a failure elsewhere may need the seed, too")]
fn random_requests_neither_break_it_nor_make_it_hang_nor_get_an_answer_that_is_not_promised() {
    let seed = number_from("BLOGCTL_FUZZ_SEED", SEED);
    let requests = number_from("BLOGCTL_FUZZ_REQUESTS", REQUESTS);
    let dev = Dev::start();
    let grammar = grammar(&dev);
    let port = port_of(&dev.api(""));
    let alice = Client::at(&dev.api(""), &IdpControl::at(&dev.idp("")).token().mint());

    let mut counts = BTreeMap::new();
    run(seed, 0..WARM.min(requests), port, &grammar, &mut counts);
    let warm = dev.running.resident_kib();
    run(seed, WARM.min(requests)..requests, port, &grammar, &mut counts);
    let grown = dev.running.resident_kib().saturating_sub(warm);

    eprintln!("seed {seed}, {requests} requests, answers {counts:#?}, {warm} KiB, then {grown} KiB more");
    // They got everywhere, so the checks have seen every kind of answer.
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
        assert!(requests < REQUESTS || counts.contains_key(kind), "seed {seed}: no {kind} in {counts:#?}");
    }
    assert!(grown < MAY_GROW_KIB, "seed {seed}: {grown} KiB more than the {warm} KiB of after {WARM} requests");
    assert_eq!(alice.get("/health").status, 200);
    let id = alice.write("Still here", "As if nothing had been.");
    assert_eq!(alice.get(&format!("/v1/posts/{id}")).status, 200);
    dev.running.signal("TERM");
    let (status, output) = dev.running.ended();
    assert_eq!(status.code(), Some(0), "{}", output.lines().rev().take(20).collect::<Vec<_>>().join("\n"));
    let panics: Vec<_> = output.lines().filter(|line| line.contains("panicked")).collect();
    assert!(panics.is_empty(), "seed {seed}: {panics:?}");
}

/// Sends the requests with these numbers; what is wrong with an answer ends the test.
fn run(seed: u64, numbers: std::ops::Range<u64>, port: u16, grammar: &Grammar, counts: &mut BTreeMap<String, u64>) {
    let next = AtomicU64::new(numbers.start);
    let failures = Mutex::new(Vec::new());
    let counts = Mutex::new(counts);
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= numbers.end || failures.lock().expect("unpoisoned").len() >= 5 {
                        return;
                    }
                    let sent = fuzz::sent(seed, number, grammar);
                    let outcome = raw_http::exchange(port, &sent).and_then(|answers| {
                        check(&sent, &answers)?;
                        Ok(answers)
                    });
                    match outcome {
                        Ok(answers) => {
                            let mut counts = counts.lock().expect("unpoisoned");
                            for answer in answers {
                                *counts.entry(kind(&answer)).or_default() += 1;
                            }
                        }
                        Err(wrong) => {
                            let shown = raw_http::shown(&sent.bytes);
                            let failure = format!("seed {seed}, request {number}: {wrong}\n  sent: {shown}");
                            failures.lock().expect("unpoisoned").push(failure);
                        }
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect("unpoisoned");
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

/// Status, and the code of a problem.
fn kind(answer: &RawAnswer) -> String {
    let problem: Option<Value> = serde_json::from_slice(&answer.body).ok();
    match problem.as_ref().and_then(|problem| problem.get("code")?.as_str()) {
        Some(code) => format!("{} {code}", answer.status),
        None => answer.status.to_string(),
    }
}

fn check(sent: &Sent, answers: &[RawAnswer]) -> Result<(), String> {
    if sent.end == End::Whole && answers.is_empty() {
        return Err("no answer".to_owned());
    }
    for answer in answers {
        let wrong =
            |what: &str| format!("{what}: {} {:?} {}", answer.status, answer.headers, raw_http::shown(&answer.body));
        if answer.status >= 500 && answer.status != 503 {
            return Err(wrong("a failure of the server"));
        }
        if answer.status >= 400 {
            check_problem(sent, answer).map_err(|what| wrong(&what))?;
        }
    }
    Ok(())
}

/// RFC 9457, with the members that the API promises.
fn check_problem(sent: &Sent, answer: &RawAnswer) -> Result<(), String> {
    let is_readiness = answer.status == 503 && answer.header("content-type") == "application/json";
    let is_to_head = answer.body.is_empty() && sent.methods.iter().any(|method| method == "HEAD");
    // The web server refuses what it cannot read as HTTP before any of this program sees it.
    let is_unread = answer.body.is_empty() && matches!(answer.status, 400 | 408 | 431) && sent.end != End::Whole;
    if is_readiness || is_to_head || is_unread {
        return Ok(());
    }
    if answer.header("content-type") != "application/problem+json" {
        return Err("no problem document".to_owned());
    }
    let problem: Value = serde_json::from_slice(&answer.body).map_err(|error| format!("no JSON ({error})"))?;
    let text = |name: &str| problem.get(name).and_then(Value::as_str).ok_or_else(|| format!("{name} is no text"));
    for name in ["type", "title", "detail", "instance"] {
        text(name)?;
    }
    if problem["status"] != answer.status {
        return Err("another status inside".to_owned());
    }
    if text("code")?.is_empty() || !text("code")?.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_') {
        return Err("no code".to_owned());
    }
    if text("request_id")? != answer.header("x-request-id") {
        return Err("another request id inside".to_owned());
    }
    if matches!(answer.status, 401 | 403) != !answer.header("www-authenticate").is_empty() {
        return Err("a challenge too many or too few".to_owned());
    }
    let errors = problem.get("errors").map(|errors| errors.as_array().cloned().unwrap_or_default());
    let is_well_formed = |error: &Value| error["field"].is_string() && error["message"].is_string();
    if errors.is_some_and(|errors| errors.is_empty() || !errors.iter().all(is_well_formed)) {
        return Err("errors without field and message".to_owned());
    }
    Ok(())
}

fn port_of(url: &str) -> u16 {
    url::Url::parse(url).expect("a URL").port().expect("a port")
}
