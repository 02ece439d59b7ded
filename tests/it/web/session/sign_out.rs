//! Signing out: on this site, everywhere, and at the identity provider.

use super::COOKIE;
use crate::support::{
    entra::wait_until,
    system::TestSystem,
    web::{ALICE, BOB, Browser},
};

#[test]
fn sign_out_ends_the_session_here_and_at_entra() {
    let system = TestSystem::start();
    let browser = Browser::new();
    let page = browser.sign_in(&system, ALICE, "/profile");
    let stolen = browser.clone_cookies();

    let out = browser.submit_once(&page.form("Sign out"));
    let to = out.location();
    assert_eq!((out.status, to.port()), (303, Some(system.idp.port)));
    let parameter = |name: &str| {
        to.query_pairs()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.into_owned())
    };
    assert_eq!(parameter("post_logout_redirect_uri"), Some(system.web.url("/")));
    assert!(parameter("logout_hint").is_some());

    assert!(browser.cookie(COOKIE).is_none(), "the cookie is deleted");
    assert_eq!(
        stolen.get_once(&system.web.url("/profile")).status,
        303,
        "the old cookie is dead"
    );

    let home = browser.get(to.as_str());
    assert_eq!(home.url.as_str(), system.web.url("/"));
    assert!(home.body.contains(">Sign in</a>"));
    let again = browser.get(&system.web.url("/profile"));
    assert_eq!(
        again.url.port(),
        Some(system.idp.port),
        "Entra ID shows its sign-in page"
    );
}

#[test]
fn a_link_signs_nobody_out() {
    let system = TestSystem::start();
    let browser = Browser::new();
    browser.sign_in(&system, ALICE, "/");
    let page = browser.get(&system.web.url("/logout"));
    assert!(page.text().contains("Sign out?"));
    assert_eq!(browser.get(&system.web.url("/profile")).status, 200);
}

#[test]
fn sign_out_works_here_when_entra_is_down() {
    let system = TestSystem::start();
    let browser = Browser::new();
    let page = browser.sign_in(&system, ALICE, "/profile");
    let old = browser.clone_cookies();
    let TestSystem {
        idp,
        api,
        web,
        settings,
        folder,
    } = system;
    idp.stop();
    // An existing connection may be served a moment longer than new ones.
    let health = web.url("/health");
    wait_until("the last connection has ended", || {
        browser.get_once(&health).body.contains("\"entra\":\"unavailable\"")
    });
    // Entra ID's endpoints are cached; a browser redirected there would show its own error.
    let out = browser.submit_once(&page.form("Sign out"));
    assert_eq!(out.status, 200, "{}", out.body);
    assert!(out.body.contains("data-signed-out=\"here\"") && out.text().contains("you may still be signed in there"));
    assert!(browser.cookie(COOKIE).is_none());
    assert_eq!(old.get_once(&web.url("/profile")).status, 303);
    drop((api, settings, folder));
}

#[test]
fn a_sign_out_at_the_provider_ends_the_session_without_a_cookie() {
    let system = TestSystem::with(|settings| {
        let url = format!("http://localhost:{}/front-channel-logout", settings.client.port);
        for app in settings.idp.apps.iter_mut().filter(|app| !app.redirect_uris.is_empty()) {
            app.front_channel_logout_uri = Some(url.clone());
        }
    });
    let (alice, bob) = (Browser::new(), Browser::new());
    alice.sign_in(&system, ALICE, "/");
    // A second session on this site for the same session at the provider, as in a second browser profile that shares it.
    let second = alice.clone_cookies();
    second.forget_cookie(COOKIE);
    assert_eq!(
        second.get(&system.web.url("/login?next=/profile")).url.path(),
        "/profile"
    );
    bob.sign_in(&system, BOB, "/");

    let tenant = &system.settings.entra.tenant_id;
    let page = alice.get(&system.idp.url(&format!("/{tenant}/oauth2/v2.0/logout")));
    let (_, rest) = page.body.split_once("<iframe").expect("a frame for the site");
    let (_, rest) = rest.split_once("src=\"").expect("its address");
    let frame = rest
        .split('"')
        .next()
        .expect("its end")
        .replace("&amp;", "&")
        .replace("&#x2F;", "/");

    let provider = Browser::new();
    let wrong_issuer = frame.replace("iss=http", "iss=https");
    assert_ne!(wrong_issuer, frame);
    assert_eq!(
        provider.get_once(&wrong_issuer).status,
        200,
        "an unknown session is no secret"
    );
    assert_eq!(
        alice.get_once(&system.web.url("/profile")).status,
        200,
        "another issuer's session ends nothing"
    );

    let answer = provider.get_once(&frame);
    assert_eq!((answer.status, answer.header("x-frame-options")), (200, ""));
    let idp_origin = system.idp.url("");
    assert_eq!(
        answer.header("content-security-policy"),
        format!("default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors {idp_origin}")
    );
    assert!(answer.set_cookies.is_empty());
    assert_eq!(
        alice.get_once(&system.web.url("/profile")).status,
        303,
        "the session is dead"
    );
    assert_eq!(
        second.get_once(&system.web.url("/profile")).status,
        303,
        "and the other one, too"
    );
    assert_eq!(
        bob.get_once(&system.web.url("/profile")).status,
        200,
        "another user's session lives on"
    );
}

#[test]
fn a_front_channel_sign_out_without_a_session_is_rejected() {
    let system = TestSystem::start();
    for query in ["", "?sid=a", "?iss=b", "?sid=a&sid=b&iss=c"] {
        let page = Browser::new().get_once(&system.web.url(&format!("/front-channel-logout{query}")));
        assert_eq!(page.status, 400, "{query}");
    }
}

#[test]
fn signing_out_everywhere_ends_only_the_users_own_sessions() {
    let system = TestSystem::start();
    let [here, there, bobs] = [(); 3].map(|()| Browser::new());
    here.sign_in(&system, ALICE, "/");
    there.sign_in(&system, ALICE, "/");
    bobs.sign_in(&system, BOB, "/");
    let stolen = there.clone_cookies();
    let is_signed_in = |browser: &Browser| browser.get_once(&system.web.url("/posts")).status == 200;
    assert!(is_signed_in(&here) && is_signed_in(&there) && is_signed_in(&bobs));

    let asked = here.get(&system.web.url("/logout"));
    let form = asked.form("everywhere").with("everywhere", "1");
    let forged = here.post(&form.clone().with("csrf_token", "forged"), &[]);
    assert_eq!(forged.error(), "403");
    assert!(is_signed_in(&there), "a forged form ends nothing");
    assert_eq!(here.submit_once(&form).status, 303);
    for (browser, whose) in [(&here, "here"), (&there, "there"), (&stolen, "a copy of the cookie")] {
        assert!(!is_signed_in(browser), "{whose}");
    }
    assert!(is_signed_in(&bobs));
}
