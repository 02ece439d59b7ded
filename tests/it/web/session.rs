//! The session cookie and its lifetime.

mod drafts;
mod refresh;
mod sign_out;

use crate::support::{
    system::TestSystem,
    web::{ALICE, BOB, Browser, Page, signed_out_session},
};

const COOKIE: &str = "blogctl";

#[test]
fn the_cookie_is_http_only_same_site_and_holds_no_token() {
    let system = TestSystem::start();
    let browser = Browser::new();
    let login = browser.get_once(&system.web.url("/login"));
    let picker = browser.get(login.location().as_str());
    let callback = browser
        .submit_once(&picker.form(ALICE).with("oid", ALICE).without("email"))
        .location();
    let back = browser.get_once(callback.as_str());
    let cookie = |page: &Page, start: &str| {
        let found = page.set_cookies.iter().find(|cookie| cookie.starts_with(start));
        found
            .unwrap_or_else(|| panic!("{start}: {:?}", page.set_cookies))
            .clone()
    };
    let (under_way, session) = (cookie(&login, "blogctl-sign-in-"), cookie(&back, "blogctl="));
    for cookie in [&under_way, &session, &cookie(&back, "blogctl-sign-in-")] {
        for flag in ["HttpOnly", "SameSite=Lax", "Path=/"] {
            assert!(cookie.split("; ").any(|part| part == flag), "{flag}: {cookie}");
        }
        assert!(!cookie.contains("Domain") && !cookie.contains("Secure"), "{cookie}");
    }
    assert!(under_way.contains("Max-Age=600"), "{under_way}");
    assert!(
        !session.contains("Max-Age") && !session.contains("Expires"),
        "it ends with the browser: {session}"
    );
    let value = browser.cookie(COOKIE).expect("a cookie");
    assert!(value.len() < 200, "an id, not a session: {value}");
    assert!(
        !browser.cookie_header().contains("sign-in"),
        "what was under way is over"
    );
}

#[test]
fn on_https_the_cookie_is_secure_and_bound_to_the_host() {
    let system = TestSystem::with(|settings| {
        settings.client.public_url = Some(url::Url::parse("https://blog.example.com").expect("a URL"));
    });
    let login = system.web.url("/login").parse().expect("a URL");
    let page = Browser::new().request("GET", &login, None, &[("Host", "blog.example.com")]);
    let cookie = page.set_cookies.first().expect("a cookie");
    assert!(cookie.starts_with("__Host-blogctl-sign-in-"), "{cookie}");
    for flag in ["HttpOnly", "SameSite=Lax", "Path=/", "Secure"] {
        assert!(cookie.split("; ").any(|part| part == flag), "{flag}: {cookie}");
    }
    assert!(!page.header("strict-transport-security").is_empty());
    let redirect_uri = page
        .location()
        .query_pairs()
        .find(|(name, _)| name == "redirect_uri")
        .map(|(_, v)| v.into_owned());
    assert_eq!(redirect_uri.as_deref(), Some("https://blog.example.com/callback"));
}

#[test]
fn a_visitor_gets_no_session() {
    let system = TestSystem::start();
    for (path, status) in [
        ("/", 200),
        ("/posts", 303),
        ("/profile", 303),
        ("/nope", 404),
        ("/logout", 303),
        ("/callback?state=x&code=y", 400),
        ("/health/live", 200),
    ] {
        let page = Browser::new().get_once(&system.web.url(path));
        assert_eq!(page.status, status, "{path}");
        assert!(page.set_cookies.is_empty(), "{path}: {:?}", page.set_cookies);
    }
}

#[test]
fn a_session_id_from_before_the_sign_in_is_invalid_after_it() {
    let system = TestSystem::with(|settings| settings.idp.access_token_seconds = 100);
    let browser = Browser::new();
    let before = signed_out_session(&browser, &system, ALICE);
    let planted = browser.clone_cookies();
    browser.get(&system.web.url("/login"));
    assert_ne!(browser.cookie(COOKIE), Some(before));
    let page = planted.get_once(&system.web.url("/profile"));
    assert_eq!(page.status, 303, "the old id is not signed in");
    assert_eq!(browser.get(&system.web.url("/profile")).status, 200);
    // A session id of one account does not work for the next account.
    let (of_alice, id) = (browser.clone_cookies(), browser.cookie(COOKIE));
    let picker = browser.get(&system.web.url("/login?switch=1"));
    browser.pick(&picker, BOB);
    assert_ne!(browser.cookie(COOKIE), id);
    assert_eq!(of_alice.get_once(&system.web.url("/profile")).status, 303);
}

#[test]
fn an_invented_session_id_is_not_accepted() {
    let system = TestSystem::start();
    let browser = Browser::new();
    browser.set_cookie(COOKIE, "bWFkZS11cA");
    browser.sign_in(&system, ALICE, "/");
    assert_ne!(browser.cookie(COOKIE).as_deref(), Some("bWFkZS11cA"));
}
