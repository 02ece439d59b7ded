//! The callback: an authorization code works once, in the browser that started the sign-in.

use std::time::Instant;

use blogctl::serve;

use super::callback_url;
use crate::support::{
    attacks,
    redis::RedisServer,
    system::{TestServer, TestSystem},
    web::{ALICE, Browser, Page},
};

#[test]
fn a_callback_works_once() {
    let system = TestSystem::start();
    let browser = Browser::new();
    let url = callback_url(&browser, &system);
    assert_eq!(browser.get_once(&url).status, 303);
    let again = browser.get(&url);
    assert_eq!((again.status, again.error()), (400, "sign-in"));
    assert!(again.text().contains("no longer valid"));
    // The successful sign-in is not affected.
    assert_eq!(browser.get(&system.web.url("/profile")).status, 200);
}

#[test]
fn a_callback_of_another_browser_signs_nobody_in() {
    let system = TestSystem::start();
    let (attacker, victim) = (Browser::new(), Browser::new());
    let url = callback_url(&attacker, &system);
    victim.get_once(&system.web.url("/login"));
    let page = victim.get(&url);
    assert_eq!((page.status, page.error()), (400, "sign-in"));
    assert!(!page.body.contains("id=\"account\""));
    assert_eq!(Browser::new().get(&url).status, 400);
}

#[test]
fn an_incomplete_callback_is_rejected() {
    let system = TestSystem::start();
    let browser = Browser::new();
    let url = callback_url(&browser, &system);
    let state = url::Url::parse(&url).expect("a URL");
    let state = state
        .query_pairs()
        .find(|(name, _)| name == "state")
        .map(|(_, value)| value.into_owned());
    let state = state.expect("a state");
    for query in [
        String::new(),
        "?code=abc".to_owned(),
        "?code=abc&state=".to_owned(),
        "?code=abc&state=made-up".to_owned(),
        "?error=access_denied&error_description=AADSTS700027:+%3Cscript%3E&state=made-up".to_owned(),
        format!("?state={state}"),
    ] {
        let page = browser.get(&system.web.url(&format!("/callback{query}")));
        assert_eq!((page.status, page.error()), (400, "sign-in"), "{query}");
        assert!(
            !page.body.contains("700027"),
            "what a stranger writes is not shown: {query}"
        );
    }
    // The last request used up the state.
    assert_eq!(browser.get(&url).status, 400);
}

#[test]
fn an_invented_code_is_rejected() {
    let system = TestSystem::start();
    let browser = Browser::new();
    let url = callback_url(&browser, &system);
    let mut url = url::Url::parse(&url).expect("a URL");
    let pairs: Vec<_> = url
        .query_pairs()
        .into_owned()
        .filter(|(name, _)| name != "code")
        .collect();
    url.query_pairs_mut()
        .clear()
        .extend_pairs(pairs)
        .append_pair("code", "made-up");
    let page = browser.get(url.as_str());
    assert_eq!((page.status, page.error()), (403, "sign-in"));
    assert!(page.text().contains("AADSTS70000"), "{}", page.body);
    assert!(!page.body.contains("made-up") && !page.body.contains("id=\"account\""));
}

#[test]
fn an_address_that_invents_codes_is_limited_and_others_are_not() {
    let system = TestSystem::with(|settings| {
        settings.server.trusted_proxies = vec![
            "127.0.0.0/8".parse().expect("a network"),
            "::1/128".parse().expect("one"),
        ];
    });
    let guess = |address: &str| guess(&system.web, address);
    let shut_out = (0..60)
        .map(|_| guess("192.0.2.1"))
        .find(|page| page.status == 429)
        .expect("after many");
    assert!(!shut_out.header("retry-after").is_empty());
    let asked = crate::support::web::grants(&system, "authorization_code");
    assert_eq!(guess("192.0.2.1").status, 429);
    assert_eq!(
        crate::support::web::grants(&system, "authorization_code"),
        asked,
        "Entra is not asked any more"
    );
    assert_eq!(guess("192.0.2.2").status, 403, "another address");
    let picker = Browser::new();
    assert_eq!(picker.sign_in(&system, ALICE, "/profile").status, 200);
}

#[test]
fn concurrent_invented_codes_reach_the_provider_only_up_to_the_limit() {
    const ATTEMPTS: usize = 300;
    let system = TestSystem::start();
    let callbacks: Vec<_> = (0..ATTEMPTS)
        .map(|_| {
            let browser = Browser::new();
            let to = browser.get_once(&system.web.url("/login")).location();
            let state = to
                .query_pairs()
                .find(|(name, _)| name == "state")
                .map(|(_, value)| value.into_owned());
            (
                browser,
                system
                    .web
                    .url(&format!("/callback?code=made-up&state={}", state.expect("a state"))),
            )
        })
        .collect();
    let barrier = std::sync::Barrier::new(ATTEMPTS);
    let statuses: Vec<u16> = std::thread::scope(|scope| {
        let barrier = &barrier;
        let threads: Vec<_> = callbacks
            .iter()
            .map(|(browser, url)| {
                scope.spawn(move || {
                    barrier.wait();
                    browser.get_once(url).status
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("an answer"))
            .collect()
    });
    assert_eq!(crate::support::web::grants(&system, "authorization_code"), 30);
    assert_eq!(
        statuses.iter().filter(|status| **status == 429).count(),
        ATTEMPTS - 30,
        "{statuses:?}"
    );
}

#[test]
fn a_head_or_prefetch_request_does_not_redeem_the_code() {
    let system = TestSystem::start();
    let browser = Browser::new();
    let callback: url::Url = callback_url(&browser, &system).parse().expect("a URL");
    let head = browser.request("HEAD", &callback, None, &[]);
    assert_eq!((head.status, head.header("allow")), (405, "GET"));
    for (name, value) in [
        ("Sec-Purpose", "prefetch;prerender"),
        ("Purpose", "prefetch"),
        ("X-Moz", "prefetch"),
    ] {
        let page = browser.request("GET", &callback, None, &[(name, value)]);
        assert_eq!((page.status, page.error()), (503, "sign-in"), "{name}");
    }
    assert_eq!(crate::support::web::grants(&system, "authorization_code"), 0);
    let page = browser.get_once(callback.as_str());
    assert_eq!((page.status, page.location().path()), (303, "/posts"), "and now really");
}

#[test]
fn a_callback_of_another_issuer_is_rejected() {
    let system = TestSystem::start();
    let tenant = &system.settings.entra.tenant_id;
    let own = system.idp.url(&format!("/{tenant}/v2.0"));
    for (issuer, is_right) in [
        (own.clone(), true),
        ("https://login.microsoftonline.com/common/v2.0".to_owned(), false),
        (format!("{own}/"), false),
        (String::new(), false),
    ] {
        let browser = Browser::new();
        let mut url = url::Url::parse(&callback_url(&browser, &system)).expect("a URL");
        url.query_pairs_mut().append_pair("iss", &issuer);
        let page = browser.get_once(url.as_str());
        if is_right {
            assert_eq!((page.status, page.location().path()), (303, "/posts"), "{issuer}");
        } else {
            let has_session = page.set_cookies.iter().any(|cookie| cookie.starts_with("blogctl="));
            let is_rejected = (page.status, page.error()) == (502, "sign-in") && !has_session;
            crate::support::attacks::record("mix-up", &format!("issuer {issuer:?} in the callback"), is_rejected);
            assert!(is_rejected, "{issuer}: {} {:?}", page.status, page.set_cookies);
        }
    }
}

#[test]
fn replicas_share_the_limit_of_an_address_that_invents_codes() {
    let Some(redis) = RedisServer::start() else { return };
    let system = TestSystem::with(|settings| {
        settings.redis = redis.settings();
        settings.server.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
    });
    let other = TestServer::web(
        serve::listen("127.0.0.1", 0).expect("a free port"),
        system.settings.clone(),
    );
    let begun = Instant::now();
    let statuses: Vec<_> = (0..90)
        .map(|n| guess([&system.web, &other][n % 2], "192.0.2.1").status)
        .collect();
    let tried = statuses.iter().filter(|status| **status == 403).count();
    let refused = statuses.iter().filter(|status| **status == 429).count();
    assert_eq!(tried + refused, 90, "{statuses:?}");
    // One more each two seconds.
    let regained = usize::try_from(begun.elapsed().as_secs() / 2).expect("a small number") + 1;
    attacks::record("session", "invented codes at two replicas", tried <= 30 + regained);
    assert!(
        (30..=30 + regained).contains(&tried),
        "{tried} tried, {regained} regained"
    );
    // A sign-in that succeeds gives back what it took.
    for n in 0..40 {
        let browser = Browser::new();
        let picker = browser.get(&system.web.url("/login?next=/profile"));
        let page = browser.pick(&picker, ALICE);
        assert_eq!(page.status, 200, "sign-in {n}");
    }
}

/// A real pending sign-in, with an invented code.
fn guess(web: &TestServer, address: &str) -> Page {
    let browser = Browser::new();
    let to = browser.get_once(&web.url("/login")).location();
    let state = to
        .query_pairs()
        .find(|(name, _)| name == "state")
        .map(|(_, value)| value.into_owned());
    let url = web.url(&format!("/callback?code=made-up&state={}", state.expect("a state")));
    browser.request(
        "GET",
        &url.parse().expect("a URL"),
        None,
        &[("X-Forwarded-For", address)],
    )
}
