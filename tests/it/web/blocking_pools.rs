//! A dependency of the site that hangs blocks only its own threads.

use std::{
    io::Write as _,
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Barrier, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use actix_web::HttpResponse;
use blogctl::config::RedisSettings;
use serde_json::{Value, json};
use url::Url;

use crate::support::{
    attacks::record,
    entra::{ScriptedProvider, ScriptedResponse, keys, wait_until},
    redis::RedisServer,
    system::TestSystem,
    web::{ALICE, BOB, Browser, FakeApi, Page, control},
};

/// The value in `src/web/blocking_pools.rs`.
const API_THREADS: usize = 64;

/// Accepts connections and never answers.
struct SilentServer {
    port: u16,
    connections: Arc<AtomicUsize>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl SilentServer {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let hanging = Self {
            port,
            connections: Arc::default(),
            open: Arc::default(),
        };
        let (connections, open) = (Arc::clone(&hanging.connections), Arc::clone(&hanging.open));
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                connections.fetch_add(1, Ordering::SeqCst);
                open.lock().expect("a list").push(stream);
            }
        });
        hanging
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }
}

#[test]
fn while_the_api_hangs_probes_and_sign_ins_work_and_waiting_is_limited() {
    const PAGES: usize = 600;
    let api = SilentServer::start();
    let url = Url::parse(&format!("http://127.0.0.1:{}", api.port)).expect("a URL");
    let system = TestSystem::with(|settings| {
        settings.client.api_base_url = url;
        settings.client.api_timeout = Duration::from_mins(2);
    });
    let browser = Browser::new();
    browser.sign_in(&system, ALICE, "/");
    let get = format!(
        "GET /posts HTTP/1.1\r\nHost: localhost:{}\r\nCookie: {}\r\nConnection: close\r\n\r\n",
        system.web.port,
        browser.cookie_header()
    );
    let pages: Vec<_> = (0..PAGES)
        .map(|_| {
            let mut page = TcpStream::connect(("127.0.0.1", system.web.port)).expect("a connection");
            page.write_all(get.as_bytes()).expect("sent");
            page
        })
        .collect();
    wait_until("the API is asked by all threads", || api.connections() == API_THREADS);

    for path in ["/health/ready", "/health/live", "/"] {
        assert_eq!(browser.get_once(&system.web.url(path)).status, 200, "{path}");
    }
    let other = Browser::new();
    assert_eq!(other.sign_in(&system, BOB, "/").status, 200);
    assert!(
        other.get(&system.web.url("/")).text().contains("Bob Brandt"),
        "signed in"
    );

    // Requests beyond the threads get a page; those with a thread wait for the API.
    let mut waiting = pages;
    wait_until("all others are answered", || {
        waiting.retain(|page| {
            page.set_nonblocking(true).expect("a socket");
            page.peek(&mut [0]).is_err()
        });
        waiting.len() == API_THREADS
    });
    assert_eq!(api.connections(), API_THREADS);
    let page = browser.get_once(&system.web.url("/posts"));
    assert_eq!((page.status, page.header("retry-after")), (503, "5"), "{}", page.body);
    assert!(page.text().contains("This site is busy"));
    // A rejected form keeps its text.
    let form = other.get(&system.web.url("/posts/new")).form("Publish");
    let rejected = other.submit(&form.with("title", "t").with("content", "kept in the form"));
    assert!(
        rejected.text().contains("too many requests are waiting"),
        "{}",
        rejected.body
    );
    assert_eq!(rejected.form("Publish").value("content"), "kept in the form");
    assert_eq!(waiting.len(), API_THREADS);
    api.open.lock().expect("a list").clear();
}

#[test]
fn no_page_waits_for_a_refresh_while_its_token_is_good() {
    let api = FakeApi::start(|_| HttpResponse::Ok().json(json!([])));
    let url = api.url();
    let system = TestSystem::with(move |settings| {
        settings.idp.access_token_seconds = 100;
        settings.client.api_base_url = url;
        settings.entra.timeout = Duration::from_mins(5);
    });
    let browser = Browser::new();
    browser.sign_in(&system, ALICE, "/posts");
    // Longer than the browser of these tests waits for a page.
    let fault = json!({ "slow_ms": 120_000, "only_path": "oauth2/v2.0/token" });
    control(&system, "PUT", "/fault", Some(&fault));
    for _ in 0..5 {
        assert_eq!(browser.get_once(&system.web.url("/posts")).status, 200);
    }
    assert_eq!(browser.get_once(&system.web.url("/health/ready")).status, 200);
}

#[test]
fn while_redis_hangs_every_page_says_so_and_no_requests_pile_up() {
    const PAGES: usize = 100;
    let Some(redis) = RedisServer::start() else { return };
    let system = TestSystem::with(|settings| {
        settings.redis = RedisSettings {
            timeout: Duration::from_secs(1),
            ..redis.settings()
        };
    });
    let browser = Browser::new();
    browser.sign_in(&system, ALICE, "/");
    redis.pause();
    let barrier = Barrier::new(PAGES);
    thread::scope(|scope| {
        for _ in 0..PAGES {
            let (tab, barrier, url) = (browser.clone_cookies(), &barrier, system.web.url("/profile"));
            scope.spawn(move || {
                barrier.wait();
                let page = tab.get_once(&url);
                assert_eq!((page.status, page.error()), (503, "503"), "{}", page.body);
                assert_eq!(page.header("retry-after"), "5");
            });
        }
    });
    assert_eq!(
        Browser::new().get_once(&system.web.url("/")).status,
        200,
        "visitors are served"
    );
    assert_eq!(browser.get_once(&system.web.url("/health/live")).status, 200);
    assert_eq!(browser.get_once(&system.web.url("/health/ready")).status, 503);
    redis.unpause();
    wait_until("Redis is used again", || {
        browser.get_once(&system.web.url("/profile")).status == 200
    });
}

/// A site with a scripted provider.
fn scripted(api: &FakeApi) -> (ScriptedProvider, TestSystem) {
    let (provider, url) = (ScriptedProvider::start(), api.url());
    let authority = provider.url.clone();
    let system = TestSystem::with(|settings| {
        settings.entra.authority_host = Some(authority);
        settings.client.api_base_url = url;
    });
    (provider, system)
}

fn parameter(url: &Url, name: &str) -> String {
    url.query_pairs()
        .find(|(known, _)| known == name)
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

/// Goes to the provider, and returns with a code that the provider redeems as `token` says.
fn come_back(
    browser: &Browser,
    system: &TestSystem,
    provider: &ScriptedProvider,
    token: impl FnOnce(&str) -> ScriptedResponse,
) -> (Url, Page) {
    let to = browser
        .get_once(&system.web.url("/login?next=/posts%3Fby=me"))
        .location();
    provider.script().token = token(&parameter(&to, "nonce"));
    let page = browser.get_once(
        &system
            .web
            .url(&format!("/callback?code=a-code&state={}", parameter(&to, "state"))),
    );
    (to, page)
}

fn demand(value: &str) -> String {
    json!({ "access_token": { "acrs": { "essential": true, "value": value } } }).to_string()
}

fn interaction_required(claims: &str) -> ScriptedResponse {
    let body = json!({
        "error": "interaction_required", "error_description": "AADSTS50076: multi-factor", "error_codes": [50076],
        "suberror": "basic_action", "claims": claims,
    });
    ScriptedResponse::with_status(400, &body)
}

fn tokens(provider: &ScriptedProvider, system: &TestSystem, nonce: &str) -> ScriptedResponse {
    let mut claims = provider.id_claims(nonce);
    claims["aud"] = json!(system.settings.client.client_id);
    ScriptedResponse::json(&json!({
        "token_type": "Bearer", "expires_in": 3600, "access_token": "an-access-token", "refresh_token": "a-refresh-token",
        "id_token": keys()[0].sign(&claims),
    }))
}

fn asked_for(url: &Url) -> Value {
    serde_json::from_str(&parameter(url, "claims")).expect("JSON")
}

#[test]
fn claims_demanded_at_the_callback_are_requested_once_at_the_next_sign_in() {
    let api = FakeApi::start(|_| HttpResponse::Ok().json(json!([])));
    let (provider, system) = scripted(&api);
    let browser = Browser::new();
    let (first, page) = come_back(&browser, &system, &provider, |_| interaction_required(&demand("c1")));
    assert_eq!(asked_for(&first)["access_token"]["acrs"], Value::Null);
    assert_eq!((page.status, page.location().path()), (303, "/login"), "{}", page.body);
    assert_eq!(parameter(&page.location(), "next"), "/posts?by=me");
    let (second, page) = come_back(&browser, &system, &provider, |nonce| tokens(&provider, &system, nonce));
    assert_eq!(asked_for(&second)["access_token"]["acrs"]["value"], "c1");
    assert_eq!((page.status, page.location().path()), (303, "/posts"), "{}", page.body);

    let browser = Browser::new();
    for expected in [303, 403] {
        let (_, page) = come_back(&browser, &system, &provider, |_| interaction_required(&demand("c2")));
        record("loops", "a demand that no sign-in meets", page.status == expected);
        assert_eq!(page.status, expected, "no circle: {}", page.body);
    }
    let (_, page) = come_back(&Browser::new(), &system, &provider, |_| {
        interaction_required("nonsense")
    });
    assert_eq!(page.error(), "sign-in", "invalid claims: an ordinary error");
}

#[test]
fn claims_demanded_at_a_refresh_are_requested_at_the_next_sign_in() {
    let api = FakeApi::start(|_| HttpResponse::Ok().json(json!([])));
    let (provider, system) = scripted(&api);
    let browser = Browser::new();
    let (_, page) = come_back(&browser, &system, &provider, |nonce| tokens(&provider, &system, nonce));
    assert_eq!((page.status, page.location().path()), (303, "/posts"), "{}", page.body);
    assert_eq!(browser.get_once(&system.web.url("/posts")).status, 200);
    provider.script().token = interaction_required(&demand("c3"));
    api.respond(|_| HttpResponse::Unauthorized().finish());
    let page = browser.get_once(&system.web.url("/posts"));
    assert_eq!((page.status, page.location().path()), (303, "/login"), "{}", page.body);
    let to = browser.get_once(page.location().as_str()).location();
    assert_eq!(asked_for(&to)["access_token"]["acrs"]["value"], "c3");
}
