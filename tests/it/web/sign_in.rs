//! Signing in: the redirects to Entra ID and back.

mod callback;
mod failures;
mod tabs;

use crate::support::{
    system::TestSystem,
    web::{ALICE, BOB, Browser},
};

/// Signs Alice in up to the redirect with the code, and returns that URL without opening it.
fn callback_url(browser: &Browser, system: &TestSystem) -> String {
    let picker = browser.get(&system.web.url("/login?next=/posts"));
    let form = picker.form(ALICE).with("oid", ALICE).without("email");
    browser.submit_once(&form).location().to_string()
}

#[test]
fn a_user_signs_in_and_returns_to_the_requested_page() {
    let system = TestSystem::start();
    let browser = Browser::new();

    let picker = browser.get(&system.web.url("/posts/new"));
    assert_eq!(picker.url.port(), Some(system.idp.port), "{}", picker.url);
    assert!(
        picker
            .visited
            .iter()
            .any(|url| url.path() == "/login" && url.query() == Some("next=%2Fposts%2Fnew"))
    );

    let page = browser.pick(&picker, ALICE);
    assert_eq!(
        (page.status, page.url.as_str()),
        (200, system.web.url("/posts/new").as_str())
    );
    assert!(page.body.contains("<span id=\"account\""), "{}", page.body);
    assert!(page.text().contains(">Alice Archer</span>"));
    assert!(page.body.contains(">Sign out</button>"));
}

#[test]
fn the_authorization_request_has_pkce_state_and_nonce() {
    let system = TestSystem::start();
    let url = Browser::new().get_once(&system.web.url("/login")).location();
    let has = |name: &str| {
        url.query_pairs()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.into_owned())
    };
    assert_eq!(has("code_challenge_method").as_deref(), Some("S256"));
    assert_eq!(has("response_mode").as_deref(), Some("query"));
    assert_eq!(has("redirect_uri"), Some(system.web.url("/callback")));
    assert!(has("code_challenge").is_some_and(|value| value.len() == 43));
    assert!(has("state").is_some_and(|value| value.len() >= 43));
    assert!(has("nonce").is_some_and(|value| value.len() >= 22));
    assert_eq!(has("prompt"), None);
}

#[test]
fn another_account_can_be_picked() {
    let system = TestSystem::start();
    let browser = Browser::new();
    browser.sign_in(&system, ALICE, "/");
    let picker = browser.get(&system.web.url("/login?switch=1&next=/profile"));
    assert_eq!(picker.url.port(), Some(system.idp.port));
    let page = browser.pick(&picker, BOB);
    assert_eq!(page.url.path(), "/profile");
    assert!(page.text().contains("Bob Brandt"));
}

#[test]
fn a_signed_in_user_is_redirected_at_once() {
    let system = TestSystem::start();
    let browser = Browser::new();
    browser.sign_in(&system, ALICE, "/");
    let page = browser.get_once(&system.web.url("/login?next=/profile"));
    assert_eq!(
        (page.status, page.location().as_str()),
        (303, system.web.url("/profile").as_str())
    );
}

#[test]
fn next_never_leaves_the_site() {
    let system = TestSystem::start();
    let browser = Browser::new();
    let foreign = [
        "//evil.example",
        "/\\evil.example",
        "https://evil.example",
        "%2f%2fevil.example",
        "/%09/evil.example",
    ];
    for next in foreign {
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("next", next)
            .finish();
        let page = browser.get(&system.web.url(&format!("/login?{query}")));
        let page = if page.url.port() == Some(system.idp.port) {
            browser.pick(&page, ALICE)
        } else {
            page
        };
        assert_eq!(page.url.as_str(), system.web.url("/"), "{next}");
    }
}

#[test]
fn a_sign_in_at_another_loopback_name_moves_to_the_sites_name() {
    let system = TestSystem::start();
    let page = Browser::new().get_once(&format!("http://127.0.0.1:{}/login?next=/posts", system.web.port));
    assert_eq!(page.location().as_str(), system.web.url("/login?next=%2Fposts"));
}
