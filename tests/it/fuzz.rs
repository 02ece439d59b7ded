//! Random requests against the site and the Entra ID emulator, as `api::fuzz` sends them to the API.

use std::collections::BTreeMap;

use crate::support::{
    dev::Dev,
    fuzz::{
        Grammar, RawRequest, SendEnd,
        run::{self, Target},
    },
    raw_http::{self, RawResponse},
    web::{ALICE, Browser},
};

const REQUESTS: u64 = 3000;
const FORM: &str = "application/x-www-form-urlencoded";

fn check(sent: &RawRequest, answers: &[RawResponse]) -> Result<(), String> {
    if sent.end == SendEnd::Whole && answers.is_empty() {
        return Err("no answer".to_owned());
    }
    match answers
        .iter()
        .find(|answer| answer.status >= 500 && answer.status != 503)
    {
        Some(answer) => Err(format!("a failure: {answer:?}")),
        None => Ok(()),
    }
}

/// Like [`check`], and every error must be a page that says what to do.
fn check_page(sent: &RawRequest, answers: &[RawResponse]) -> Result<(), String> {
    check(sent, answers)?;
    let is_to_head = sent.methods.iter().any(|method| method == "HEAD");
    for answer in answers.iter().filter(|answer| answer.status >= 400 && !is_to_head) {
        // The web server rejects what is not HTTP before this program sees it.
        let is_unread = answer.body.is_empty() && sent.end != SendEnd::Whole;
        let is_page = answer.header("content-type").starts_with("text/html") && answer.body.ends_with(b"</html>\n");
        let is_health = answer.status == 503 && answer.header("content-type") == "application/json";
        if !(is_unread || is_page || is_health) {
            let body = raw_http::shown(&answer.body);
            return Err(format!("no page: {} {:?} {body}", answer.status, answer.headers));
        }
    }
    Ok(())
}

#[test]
fn random_requests_do_not_break_the_site() {
    let dev = Dev::start();
    let browser = Browser::new();
    let picker = browser.get(&dev.site("/login?next=/posts/new"));
    let csrf_token = browser
        .pick(&picker, ALICE)
        .form("Publish")
        .value("csrf_token")
        .to_owned();
    let mut credentials = vec![browser.cookie_header(); 8];
    credentials.extend(["session=", "session=x; session=y", "blog_session=AAAA", "=", ";;"].map(str::to_owned));
    let grammar = Grammar {
        routes: &[
            ("/", &["GET", "HEAD"]),
            ("/login", &["GET"]),
            ("/callback", &["GET"]),
            ("/front-channel-logout", &["GET"]),
            ("/profile", &["GET"]),
            ("/posts", &["GET", "HEAD"]),
            ("/posts/#", &["GET"]),
            ("/posts/new", &["GET", "POST", "POST"]),
            ("/posts/#/edit", &["GET", "POST", "POST"]),
            ("/posts/#/delete", &["GET", "POST"]),
            ("/static/#", &["GET"]),
            ("/health", &["GET"]),
            ("/nowhere", &["GET"]),
        ],
        parameters: &[
            "title",
            "content",
            "etag",
            "key",
            "csrf_token",
            "next",
            "after",
            "mine",
            "code",
            "state",
            "error",
            "sid",
        ],
        credential: "Cookie",
        credentials,
        form_key: vec![
            ("csrf_token", csrf_token),
            ("title", "A title".to_owned()),
            ("content", "Words".to_owned()),
        ],
        content_type: FORM,
    };
    let target = Target {
        url: &dev.site(""),
        grammar: &grammar,
        check: check_page,
    };
    let counts = target.run(run::seed(), 0..run::requests(REQUESTS));
    met(&counts, &["200", "303", "400", "403", "404", "405"]);
    assert_eq!(browser.get(&dev.site("/health/live")).status, 200);
    run::stops_cleanly(dev, run::seed());
}

#[test]
fn random_requests_do_not_break_the_emulator() {
    let dev = Dev::start();
    let grammar = Grammar {
        routes: &[
            ("/", &["GET"]),
            ("/error", &["GET"]),
            (
                "/11111111-2222-4333-8444-555555555555/v2.0/.well-known/openid-configuration",
                &["GET"],
            ),
            ("/11111111-2222-4333-8444-555555555555/discovery/v2.0/keys", &["GET"]),
            ("/11111111-2222-4333-8444-555555555555/oauth2/v2.0/authorize", &["GET"]),
            ("/11111111-2222-4333-8444-555555555555/oauth2/v2.0/token", &["POST"]),
            ("/11111111-2222-4333-8444-555555555555/oauth2/v2.0/logout", &["GET"]),
            ("/11111111-2222-4333-8444-555555555555/login", &["POST"]),
            ("/#/oauth2/v2.0/token", &["POST"]),
        ],
        parameters: &[
            "client_id",
            "redirect_uri",
            "response_type",
            "response_mode",
            "scope",
            "state",
            "nonce",
            "code_challenge",
            "code_challenge_method",
            "prompt",
            "login_hint",
            "grant_type",
            "code",
            "code_verifier",
            "refresh_token",
            "client_assertion",
            "client_assertion_type",
            "client_secret",
            "post_logout_redirect_uri",
            "id_token_hint",
        ],
        credential: "Authorization",
        credentials: vec!["Basic YTpi".to_owned(), "Bearer x".to_owned()],
        form_key: vec![("grant_type", "client_credentials".to_owned())],
        content_type: FORM,
    };
    let target = Target {
        url: &dev.idp(""),
        grammar: &grammar,
        check,
    };
    let counts = target.run(run::seed(), 0..run::requests(REQUESTS));
    met(&counts, &["200", "400", "404"]);
    assert_eq!(Browser::new().get(&dev.idp("/")).status, 200);
    run::stops_cleanly(dev, run::seed());
}

/// The requests reached every handler, so the checks have seen every kind of response.
fn met(counts: &BTreeMap<String, u64>, statuses: &[&str]) {
    for status in statuses {
        assert!(counts.contains_key(*status), "no {status} in {counts:?}");
    }
}
