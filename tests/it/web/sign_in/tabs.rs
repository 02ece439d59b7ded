//! Several sign-ins at the same time, and across a restart.

use blogctl::{config::Settings, serve};
use secrecy::SecretString;

use crate::support::{
    system::{TestServer, TestSystem},
    web::{ALICE, Browser},
};

#[test]
fn two_tabs_can_sign_in_one_after_the_other() {
    let system = TestSystem::start();
    let browser = Browser::new();
    let first = browser.get(&system.web.url("/login?next=/profile"));
    let second = browser.get(&system.web.url("/login?next=/posts/new"));
    assert_eq!(browser.pick(&second, ALICE).url.path(), "/posts/new");
    assert_eq!(browser.pick(&first, ALICE).url.path(), "/profile");
}

#[test]
fn tabs_that_begin_at_the_same_moment_all_sign_in() {
    let system = TestSystem::start();
    let browser = Browser::new();
    // As a browser that restores its tabs: no request knows the cookies of the others.
    let begun: Vec<_> = ["/profile", "/posts", "/posts/new"]
        .map(|next| {
            let tab = Browser::new();
            let to = tab.get_once(&system.web.url(&format!("/login?next={next}"))).location();
            (tab, to, next)
        })
        .into();
    for (tab, _, _) in &begun {
        for pair in tab.cookie_header().split("; ") {
            let (name, value) = pair.split_once('=').expect("a cookie");
            browser.set_cookie(name, value);
        }
    }
    for (_, to, next) in begun {
        let page = browser.get(to.as_str());
        let page = if page.url.port() == Some(system.idp.port) {
            browser.pick(&page, ALICE)
        } else {
            page
        };
        assert_eq!((page.status, page.url.path()), (200, next));
    }
}

#[test]
fn many_pending_sign_ins_evict_no_other_visitors() {
    let system = TestSystem::with(|settings| settings.client.max_sessions = 2);
    let browser = Browser::new();
    let picker = browser.get(&system.web.url("/login?next=/profile"));
    for _ in 0..50 {
        assert_eq!(Browser::new().get_once(&system.web.url("/login")).status, 303);
    }
    assert_eq!(browser.pick(&picker, ALICE).url.path(), "/profile");
}

#[test]
fn the_ninth_pending_sign_in_evicts_the_oldest() {
    let system = TestSystem::start();
    let browser = Browser::new();
    let begun: Vec<_> = (0..9)
        .map(|_| browser.get_once(&system.web.url("/login?next=/profile")).location())
        .collect();
    assert_eq!(browser.cookie_header().split("; ").count(), 8);
    let come_back = |to: &url::Url| {
        let page = browser.get(to.as_str());
        if page.url.port() == Some(system.idp.port) {
            browser.pick(&page, ALICE)
        } else {
            page
        }
    };
    let (oldest, younger) = begun.split_first().expect("nine");
    assert_eq!(come_back(oldest).status, 400);
    for to in younger {
        assert_eq!(come_back(to).url.path(), "/profile");
    }
}

#[test]
fn a_pending_sign_in_survives_a_restart_with_a_new_cookie_key() {
    let TestSystem {
        idp,
        api,
        web,
        mut settings,
        folder,
    } = TestSystem::start();
    let begun = |browser: &Browser, web: &TestServer| browser.get_once(&web.url("/login?next=/posts")).location();
    let finished = |browser: &Browser, to: &url::Url| browser.pick(&browser.get(to.as_str()), ALICE).status;
    let restarted = |web: TestServer, settings: &Settings| {
        let port = web.port;
        web.stop();
        TestServer::web(
            serve::listen("127.0.0.1", port).expect("the same port"),
            settings.clone(),
        )
    };
    let [one, other] = [(); 2].map(|()| Browser::new());
    let (to_one, to_other) = (begun(&one, &web), begun(&other, &web));

    let key = SecretString::from("the next key for tests only, 64 characters long, not a real one!");
    settings.client.cookie_keys.insert(0, key);
    let web = restarted(web, &settings);
    assert_eq!(finished(&one, &to_one), 200, "the older key still opens");

    settings.client.cookie_keys.truncate(1);
    let web = restarted(web, &settings);
    assert_eq!(
        finished(&other, &to_other),
        400,
        "what is not in the list any more does not"
    );
    drop((idp, api, web, folder));
}
