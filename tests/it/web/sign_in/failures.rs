//! Sign-ins that the user, an administrator or Entra ID declines, and outages on the way.

use blogctl::config::DEV_CLIENT_ID;
use serde_json::json;

use crate::support::{
    system::TestSystem,
    web::{ALICE, Browser, control},
};

#[test]
fn a_user_who_declines_gets_choices_and_no_error() {
    let system = TestSystem::start();
    let browser = Browser::new();
    let picker = browser.get(&system.web.url("/login?next=/profile"));
    let page = browser.submit(&picker.form("name=\"cancel\"").with("cancel", "1").without("email"));
    assert_eq!((page.status, page.error()), (200, ""), "no error, but a choice");
    assert!(page.text().contains("You declined") && page.text().contains("you are not signed in"));
    for choice in ["/login?next=%2Fprofile", "/login?next=%2Fprofile&switch=1", "/"] {
        assert!(
            page.text().contains(&format!("href=\"{choice}\"")),
            "{choice}: {}",
            page.body
        );
    }
}

#[test]
fn a_signed_in_user_who_declines_another_account_stays_signed_in() {
    let system = TestSystem::start();
    let browser = Browser::new();
    browser.sign_in(&system, ALICE, "/");
    let picker = browser.get(&system.web.url("/login?switch=1&next=/profile"));
    let page = browser.submit(&picker.form("name=\"cancel\"").with("cancel", "1").without("email"));
    let text = page.text();
    assert!(
        text.contains("still signed in as") && text.contains("Alice Archer"),
        "{text}"
    );
    assert!(
        !text.contains("you are not signed in") && text.contains("href=\"/profile\""),
        "{text}"
    );
    assert_eq!(browser.get(&system.web.url("/profile")).status, 200);
}

#[test]
fn a_certificate_that_is_not_registered_is_explained() {
    let system = TestSystem::start();
    control(&system, "DELETE", &format!("/apps/{DEV_CLIENT_ID}/certificates"), None);
    let page = Browser::new().sign_in(&system, ALICE, "/posts");
    assert_eq!((page.status, page.error()), (502, "sign-in"));
    assert!(page.text().contains("AADSTS700027"));
    assert!(page.text().contains("What to do"));
    assert!(page.body.contains("id=\"request-id\""));
}

#[test]
fn any_rejection_by_the_token_endpoint_is_named() {
    let system = TestSystem::start();
    for (code, status) in [(700_016, 502), (7_000_218, 502), (50_011, 502)] {
        control(
            &system,
            "PUT",
            "/fault",
            Some(&json!({ "fail_next": { "count": 1, "code": code } })),
        );
        let page = Browser::new().sign_in(&system, ALICE, "/posts");
        assert_eq!((page.status, page.error()), (status, "sign-in"), "{code}");
        assert!(page.text().contains(&format!("AADSTS{code}")), "{}", page.body);
    }
}

#[test]
fn the_site_starts_without_entra_and_explains_that_sign_in_is_unavailable() {
    let TestSystem {
        idp,
        api,
        web,
        settings,
        folder,
    } = TestSystem::start();
    idp.stop();
    let browser = Browser::new();
    let home = browser.get(&web.url("/"));
    assert_eq!(home.status, 200);
    let page = browser.get(&web.url("/login?next=/posts"));
    assert_eq!((page.status, page.error()), (502, "502"));
    assert!(page.text().contains("Sign-in is unavailable"));
    drop((api, settings, folder));
}

#[test]
fn missing_consent_is_explained_with_who_can_give_it() {
    let system = TestSystem::start();
    for (code, expected_text) in [
        (65_001, "Sign in again and accept what the site asks for"),
        (90_094, "An administrator must grant consent once for all users"),
        (90_095, "waits for an administrator"),
    ] {
        control(
            &system,
            "PUT",
            "/fault",
            Some(&json!({ "fail_next": { "count": 1, "code": code } })),
        );
        let page = Browser::new().sign_in(&system, ALICE, "/posts");
        assert_eq!((page.status, page.error()), (403, "sign-in"), "{code}");
        let text = page.text();
        assert!(
            text.contains(&format!("AADSTS{code}")) && text.contains(expected_text),
            "{text}"
        );
        // The prompt is repeated only for a user who may consent themselves.
        let again = if code == 65_001 {
            "/login?next=%2Fposts&prompt=consent"
        } else {
            "/login?next=%2Fposts"
        };
        assert!(text.contains(&format!("href=\"{again}\"")), "{text}");
        assert!(
            text.contains("href=\"/login?next=%2Fposts&switch=1\""),
            "an administrator may be at the same machine"
        );
        let (_, rest) = text
            .split_once("id=\"admin-consent\" href=\"")
            .expect("an address for the administrator");
        let url = url::Url::parse(rest.split('"').next().expect("its end")).expect("a URL");
        assert!(url.path().ends_with("/v2.0/adminconsent"), "{url}");
        let parameter = |name: &str| {
            url.query_pairs()
                .find(|(key, _)| key == name)
                .map(|(_, value)| value.into_owned())
        };
        assert_eq!(parameter("client_id").as_deref(), Some(DEV_CLIENT_ID));
        let scope = parameter("scope").expect("a scope");
        assert!(scope.starts_with("api://") && scope.ends_with("/.default"), "{scope}");
        assert_eq!(parameter("redirect_uri"), Some(system.web.url("/callback")));
        assert_eq!(parameter("state").as_deref(), Some("admin-consent"));
    }
}

#[test]
fn declined_admin_consent_names_who_must_accept() {
    let system = TestSystem::start();
    for query in [
        "error=access_denied&error_description=AADSTS65004%3A+declined&state=admin-consent",
        "admin_consent=True&error=access_denied&state=admin-consent",
        "admin_consent=False",
    ] {
        let page = Browser::new().get_once(&system.web.url(&format!("/callback?{query}")));
        assert_eq!((page.status, page.error()), (403, "sign-in"), "{query}");
        assert!(
            page.text().contains("Consent was not given") && page.text().contains("id=\"admin-consent\""),
            "{query}"
        );
    }
}

#[test]
fn returning_from_admin_consent_signs_nobody_in() {
    let system = TestSystem::start();
    let browser = Browser::new();
    let page = browser.get_once(&system.web.url("/callback?admin_consent=True&tenant=x&state=y"));
    assert_eq!(
        (page.status, page.location().as_str()),
        (303, system.web.url("/").as_str())
    );
    assert_eq!(browser.get_once(&system.web.url("/profile")).status, 303);
}

#[test]
fn sign_ins_that_keep_getting_lost_end_with_a_page_and_no_loop() {
    let system = TestSystem::start();
    let browser = Browser::new();
    browser.sign_in(&system, ALICE, "/posts");
    for _ in 0..2 {
        // Each request reaches a replica that does not know this session.
        browser.forget_cookie("blogctl");
        assert_eq!(
            browser.get(&system.web.url("/profile")).status,
            200,
            "a sign-in without a click"
        );
    }
    browser.forget_cookie("blogctl");
    let page = browser.get(&system.web.url("/profile"));
    assert_eq!(
        (page.status, page.error(), page.url.path()),
        (503, "sign-in", "/login"),
        "{}",
        page.body
    );
    assert!(
        page.text().contains("keeps getting lost") && page.text().contains("redis.url"),
        "{}",
        page.body
    );
    assert!(page.text().contains("href=\"/login?next=%2Fprofile\""), "{}", page.body);

    let planted = Browser::new();
    planted.set_cookie("blogctl-signed-in", &"A".repeat(80));
    assert_eq!(
        planted.sign_in(&system, ALICE, "/posts").status,
        200,
        "what is not the site's own counts for nothing"
    );

    let chosen = browser.get(&system.web.url("/login?switch=1"));
    assert_eq!(
        browser.pick(&chosen, ALICE).url.path(),
        "/",
        "who asks for it gets through"
    );
    let out = browser.get(&system.web.url("/logout")).form("Sign out");
    browser.submit(&out);
    assert_eq!(browser.cookie("blogctl-signed-in"), None, "who signs out was signed in");
    assert_eq!(browser.sign_in(&system, ALICE, "/posts").status, 200);
}

#[test]
fn a_sign_in_that_met_an_outage_starts_again_from_the_beginning() {
    let system = TestSystem::start();
    control(
        &system,
        "PUT",
        "/fault",
        Some(&json!({ "down": true, "only_path": "/token" })),
    );
    let page = Browser::new().sign_in(&system, ALICE, "/posts?by=me");
    assert_eq!((page.status, page.error()), (502, "502"), "{}", page.body);
    assert!(
        page.text().contains("href=\"/login?next=%2Fposts%3Fby%3Dme\""),
        "{}",
        page.body
    );
    assert!(
        !page.text().contains("href=\"/callback"),
        "a code works once: {}",
        page.body
    );
}
