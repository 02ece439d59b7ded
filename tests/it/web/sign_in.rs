//! Signing in: the way there and back, and all that may go wrong on it.

use crate::support::{
    system::{TestServer, TestSystem},
    web::{ALICE, BOB, Browser, control},
};
use blogctl::{
    config::{DEV_CLIENT_ID, Settings},
    serve,
};
use secrecy::SecretString;
use serde_json::json;

/// Signs Alice in up to the redirect that carries the code, and gives that address without opening it.
fn callback_url(browser: &Browser, system: &TestSystem) -> String {
    let picker = browser.get(&system.web.url("/login?next=/posts"));
    let form = picker.form(ALICE).with("oid", ALICE).without("email");
    browser.submit_once(&form).location().to_string()
}

#[test]
fn one_signs_in_with_a_certificate_and_lands_where_one_wanted_to_go() {
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
fn who_is_signed_in_already_goes_straight_on() {
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
fn no_next_leads_off_the_site() {
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
fn a_callback_works_once() {
    let system = TestSystem::start();
    let browser = Browser::new();
    let url = callback_url(&browser, &system);
    assert_eq!(browser.get_once(&url).status, 303);
    let again = browser.get(&url);
    assert_eq!((again.status, again.error()), (400, "sign-in"));
    assert!(again.text().contains("no longer valid"));
    // The sign-in that worked is not harmed.
    assert_eq!(browser.get(&system.web.url("/profile")).status, 200);
}

#[test]
fn a_callback_started_in_another_browser_signs_nobody_in() {
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
fn a_callback_without_what_belongs_in_it_is_refused() {
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
    // The last one used the state up.
    assert_eq!(browser.get(&url).status, 400);
}

#[test]
fn a_code_of_ones_own_making_is_refused() {
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
fn who_makes_codes_up_is_shut_out_and_others_are_not() {
    let system = TestSystem::with(|settings| {
        settings.server.trusted_proxies = vec![
            "127.0.0.0/8".parse().expect("a network"),
            "::1/128".parse().expect("one"),
        ];
    });
    // A sign-in that is really under way, with a code of one's own making.
    let guess = |address: &str| {
        let browser = Browser::new();
        let to = browser.get_once(&system.web.url("/login")).location();
        let state = to
            .query_pairs()
            .find(|(name, _)| name == "state")
            .map(|(_, value)| value.into_owned());
        let url = system
            .web
            .url(&format!("/callback?code=made-up&state={}", state.expect("a state")));
        browser.request(
            "GET",
            &url.parse().expect("a URL"),
            None,
            &[("X-Forwarded-For", address)],
        )
    };
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
fn however_many_made_up_codes_come_at_once_only_the_allowed_number_reach_the_provider() {
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
fn who_declines_gets_a_gentle_page_and_may_try_again() {
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
fn who_is_signed_in_and_declines_another_account_is_told_so_and_stays() {
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
fn any_refusal_of_the_token_endpoint_is_named() {
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
fn the_site_starts_without_entra_and_explains_that_sign_in_is_out_of_reach() {
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
    // As a browser that opens its tabs again: none of the requests knows of the others' cookies.
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
fn strangers_who_begin_sign_ins_push_nobodys_out() {
    let system = TestSystem::with(|settings| settings.client.max_sessions = 2);
    let browser = Browser::new();
    let picker = browser.get(&system.web.url("/login?next=/profile"));
    for _ in 0..50 {
        assert_eq!(Browser::new().get_once(&system.web.url("/login")).status, 303);
    }
    assert_eq!(browser.pick(&picker, ALICE).url.path(), "/profile");
}

#[test]
fn the_ninth_tab_pushes_the_oldest_out() {
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
fn a_sign_in_under_way_survives_a_restart_with_a_new_cookie_key() {
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

#[test]
fn on_a_laptop_a_sign_in_begun_under_the_other_name_moves_to_the_sites_own() {
    let system = TestSystem::start();
    let page = Browser::new().get_once(&format!("http://127.0.0.1:{}/login?next=/posts", system.web.port));
    assert_eq!(page.location().as_str(), system.web.url("/login?next=%2Fposts"));
}

#[test]
fn whoever_only_looks_at_the_callback_does_not_use_up_the_code() {
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
fn missing_consent_leads_to_a_page_that_says_who_must_do_what() {
    let system = TestSystem::start();
    for (code, said) in [
        (65_001, "Sign in again and accept what the site asks for"),
        (90_094, "An administrator must consent once for everybody"),
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
        assert!(text.contains(&format!("AADSTS{code}")) && text.contains(said), "{text}");
        // Only who may consent for himself is asked again.
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
fn an_administrator_who_declines_is_told_who_must_accept() {
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
fn an_administrator_who_comes_back_from_consenting_is_signed_in_by_nothing() {
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
fn an_answer_of_another_issuer_is_refused_and_one_that_names_the_right_one_taken() {
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
            let is_rejected = (page.status, page.error()) == (502, "sign-in") && page.set_cookies.is_empty();
            crate::support::attacks::record("mix-up", &format!("issuer {issuer:?} in the callback"), is_rejected);
            assert!(is_rejected, "{issuer}: {} {:?}", page.status, page.set_cookies);
        }
    }
}

#[test]
fn who_signs_in_again_and_again_and_is_never_known_gets_a_page_and_no_circle() {
    let system = TestSystem::start();
    let browser = Browser::new();
    browser.sign_in(&system, ALICE, "/posts");
    for _ in 0..2 {
        // Each request meets a replica that has never heard of this session.
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
fn a_sign_in_that_met_an_outage_begins_anew_and_is_not_sent_again() {
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
