//! The session cookie, its life and its end; tokens and their refresh.

use std::{
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use actix_web::HttpResponse;
use serde_json::json;

use crate::support::{
    entra::wait_until,
    system::TestSystem,
    web::{ALICE, BOB, Browser, Page, PlayedApi, control, grants, signed_out_session},
};

const COOKIE: &str = "blogctl";

#[test]
fn the_cookie_is_closed_to_scripts_and_to_other_sites_and_holds_no_token() {
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
fn a_visitor_who_only_looks_gets_no_session() {
    let system = TestSystem::start();
    for path in [
        "/",
        "/posts",
        "/profile",
        "/nope",
        "/logout",
        "/callback?state=x&code=y",
        "/health/live",
    ] {
        let page = Browser::new().get_once(&system.web.url(path));
        assert!(page.set_cookies.is_empty(), "{path}: {:?}", page.set_cookies);
    }
}

#[test]
fn a_session_id_from_before_the_sign_in_is_worth_nothing_after_it() {
    let system = TestSystem::with(|settings| settings.idp.access_token_seconds = 100);
    let browser = Browser::new();
    let before = signed_out_session(&browser, &system, ALICE);
    let planted = browser.clone_cookies();
    browser.get(&system.web.url("/login"));
    assert_ne!(browser.cookie(COOKIE), Some(before));
    let page = planted.get_once(&system.web.url("/profile"));
    assert_eq!(page.status, 303, "the old id is not signed in");
    assert_eq!(browser.get(&system.web.url("/profile")).status, 200);
    // Nor is the id of one account good for the next.
    let (of_alice, id) = (browser.clone_cookies(), browser.cookie(COOKIE));
    let picker = browser.get(&system.web.url("/login?switch=1"));
    browser.pick(&picker, BOB);
    assert_ne!(browser.cookie(COOKIE), id);
    assert_eq!(of_alice.get_once(&system.web.url("/profile")).status, 303);
}

#[test]
fn a_session_id_of_ones_own_making_is_not_taken() {
    let system = TestSystem::start();
    let browser = Browser::new();
    browser.set_cookie(COOKIE, "bWFkZS11cA");
    browser.sign_in(&system, ALICE, "/");
    assert_ne!(browser.cookie(COOKIE).as_deref(), Some("bWFkZS11cA"));
}

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

    assert!(browser.cookie(COOKIE).is_none(), "the cookie is taken away");
    assert_eq!(
        stolen.get_once(&system.web.url("/profile")).status,
        303,
        "the old cookie is dead"
    );

    let home = browser.get(to.as_str());
    assert_eq!(home.url.as_str(), system.web.url("/"));
    assert!(home.body.contains(">Sign in</a>"));
    let again = browser.get(&system.web.url("/profile"));
    assert_eq!(again.url.port(), Some(system.idp.port), "Entra asks again who it is");
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
    // A connection from before may be served a moment longer than new ones.
    let health = web.url("/health");
    wait_until("the last connection has ended", || {
        browser.get_once(&health).body.contains("\"entra\":\"unavailable\"")
    });
    // Entra's addresses are remembered; a browser that is sent there would show an error of its own.
    let out = browser.submit_once(&page.form("Sign out"));
    assert_eq!(out.status, 200, "{}", out.body);
    assert!(out.body.contains("data-signed-out=\"here\"") && out.text().contains("you may still be signed in there"));
    assert!(browser.cookie(COOKIE).is_none());
    assert_eq!(old.get_once(&web.url("/profile")).status, 303);
    drop((api, settings, folder));
}

#[test]
fn an_access_token_is_refreshed_before_it_ends() {
    let api = PlayedApi::start(|_| HttpResponse::Ok().json(json!([])));
    let url = api.url();
    let system = TestSystem::with(move |settings| {
        settings.idp.access_token_seconds = 100;
        settings.client.api_base_url = url;
    });
    let browser = Browser::new();
    assert_eq!(browser.sign_in(&system, ALICE, "/posts").status, 200);
    let first = api.seen().first().map(|seen| seen.token.clone());
    wait_until("under two minutes are left, so that a new token is there soon", || {
        assert_eq!(browser.get(&system.web.url("/posts")).status, 200);
        api.seen().last().map(|seen| seen.token.clone()) != first
    });
    assert!(grants(&system, "refresh_token") >= 1);
}

#[test]
fn a_token_with_time_left_is_not_refreshed() {
    let system = TestSystem::start();
    let browser = Browser::new();
    browser.sign_in(&system, ALICE, "/posts");
    browser.get(&system.web.url("/posts"));
    assert_eq!(grants(&system, "refresh_token"), 0);
}

#[test]
fn while_entra_is_down_a_token_serves_as_long_as_it_lasts() {
    let system = TestSystem::with(|settings| settings.idp.access_token_seconds = 100);
    let browser = Browser::new();
    browser.sign_in(&system, ALICE, "/");
    let fault = json!({ "down": true, "only_path": "oauth2/v2.0/token" });
    control(&system, "PUT", "/fault", Some(&fault));
    assert_eq!(browser.get(&system.web.url("/posts")).status, 200);
}

#[test]
fn parallel_requests_refresh_once() {
    const TABS: usize = 50;
    let api = PlayedApi::start(|_| HttpResponse::Ok().json(json!([])));
    let url = api.url();
    let system = TestSystem::with(move |settings| settings.client.api_base_url = url);
    let browser = Browser::new();
    browser.sign_in(&system, ALICE, "/posts");
    let refused = api.seen().last().expect("a request").token.clone();
    api.play(move |seen| {
        if seen.token == refused {
            HttpResponse::Unauthorized().finish()
        } else {
            HttpResponse::Ok().json(json!([]))
        }
    });
    let barrier = Barrier::new(TABS);
    thread::scope(|scope| {
        for _ in 0..TABS {
            scope.spawn(|| {
                let tab = browser.clone_cookies();
                barrier.wait();
                assert_eq!(tab.get(&system.web.url("/posts")).status, 200);
            });
        }
    });
    assert_eq!(grants(&system, "refresh_token"), 1);
}

/// Has Entra refuse the next refresh, and a page set it off. Wants tokens that are short.
fn refuse_a_refresh(browser: &Browser, system: &TestSystem) {
    let before = grants(system, "refresh_token");
    control(
        system,
        "PUT",
        "/fault",
        Some(&json!({ "fail_next": { "count": 1, "code": 700_082 } })),
    );
    assert_eq!(
        browser.get_once(&system.web.url("/posts")).status,
        200,
        "the token at hand is still good"
    );
    wait_until("it is refused", || grants(system, "refresh_token") > before);
    let is_over = || {
        let page = browser.clone_cookies().get_once(&system.web.url("/profile"));
        page.status == 303
    };
    wait_until("the sign-in is over", is_over);
}

#[test]
fn a_refused_refresh_leads_through_the_sign_in_and_back() {
    let system = TestSystem::with(|settings| settings.idp.access_token_seconds = 100);
    let browser = Browser::new();
    browser.sign_in(&system, ALICE, "/");
    control(
        &system,
        "PUT",
        "/fault",
        Some(&json!({ "fail_next": { "count": 1, "code": 700_082 } })),
    );
    wait_until("a sign-in", || {
        let page = browser.get(&system.web.url("/posts?by=me"));
        assert_eq!(
            (page.status, page.url.as_str()),
            (200, system.web.url("/posts?by=me").as_str())
        );
        page.visited.iter().any(|url| url.path() == "/login")
    });
}

#[test]
fn a_refused_refresh_while_sending_a_post_loses_no_text() {
    let system = TestSystem::with(|settings| settings.idp.access_token_seconds = 100);
    let browser = Browser::new();
    let form = browser.sign_in(&system, ALICE, "/posts/new").form("Publish");
    refuse_a_refresh(&browser, &system);
    let page = browser.submit(&form.with("title", "Kept title").with("content", "Kept text\n\nin two"));
    assert_eq!(page.status, 401);
    assert!(!page.header("www-authenticate").is_empty());
    assert_eq!(page.form("Publish").value("content"), "Kept text\n\nin two");
    assert!(
        page.text().contains("href=\"/login?next=%2Fposts%2Fnew\""),
        "{}",
        page.body
    );

    let back = browser.get(&system.web.url("/login?next=%2Fposts%2Fnew"));
    assert_eq!(back.url.path(), "/posts/new");
    let form = back.form("Publish");
    assert_eq!(
        (form.value("title"), form.value("content")),
        ("Kept title", "Kept text\n\nin two")
    );
    let post = browser.submit(&form);
    assert!(
        post.text().contains("<h1 dir=\"auto\">Kept title</h1>"),
        "{}",
        post.body
    );
    let empty = browser.get(&system.web.url("/posts/new")).form("Publish");
    assert_eq!(empty.value("content"), "", "what is published is no draft any more");
}

#[test]
fn text_sent_after_the_session_ended_is_kept_over_the_next_sign_in() {
    let system = TestSystem::start();
    let browser = Browser::new();
    let page = browser.sign_in(&system, ALICE, "/posts/new");
    let form = page.form("Publish").with("title", "Late").with("content", "Too late");
    browser.submit(&page.form("Sign out"));
    let refused = browser.submit(&form);
    assert_eq!(refused.status, 401);
    assert_eq!(refused.form("Publish").value("content"), "Too late");
    // Somebody else comes first.
    let picker = browser.get(&system.web.url("/login?next=%2Fposts%2Fnew"));
    let bob = browser.pick(&picker, BOB);
    assert_eq!(bob.form("Publish").value("content"), "", "it is for nobody else's eyes");
    browser.submit(&bob.form("Sign out"));
    let picker = browser.get(&system.web.url("/login?next=%2Fposts%2Fnew"));
    let back = browser.pick(&picker, ALICE);
    assert_eq!(back.form("Publish").value("content"), "Too late");
}

#[test]
fn a_long_text_is_kept_too_and_who_makes_up_a_form_has_nothing_kept() {
    let system = TestSystem::start();
    let browser = Browser::new();
    let page = browser.sign_in(&system, ALICE, "/posts/new");
    let long = "word ".repeat(60_000);
    let form = page.form("Publish").with("title", "Long").with("content", &long);
    browser.submit(&page.form("Sign out"));
    let seal = form.action.query().expect("a seal").to_owned();
    for (query, content) in [
        (None, long.as_str()),
        (Some("form=bWFkZS11cA"), &long),
        (None, "word word"),
        (Some(&seal[..9]), "word"),
    ] {
        let mut forged = form.clone().with("content", content);
        forged.action.set_query(query);
        let refused = browser.submit(&forged);
        assert_eq!((refused.status, refused.error()), (403, "403"));
        let is_short = content.len() < 100;
        assert_eq!(
            refused.text().contains("word"),
            is_short,
            "a short text is shown all the same, a long one not read"
        );
    }
    let mut elsewhere = form.clone();
    elsewhere.action.set_path("/posts/7/edit");
    assert_eq!(browser.submit(&elsewhere).status, 403, "the seal of another form");
    let kept = |browser: &Browser| {
        let picker = browser.get(&system.web.url("/login?next=%2Fposts%2Fnew"));
        let back = browser.pick(&picker, ALICE);
        let content = back.form("Publish").value("content").to_owned();
        browser.submit(&back.form("Sign out"));
        content
    };
    assert_eq!(kept(&browser), "");
    let refused = browser.submit(&form);
    assert_eq!(refused.status, 401);
    assert!(refused.text().contains("Your text is kept until you sign in again."));
    assert!(kept(&browser) == long);
}

#[test]
fn one_users_old_forms_push_out_nobody_elses_drafts_and_end_with_signing_out_everywhere() {
    let system = TestSystem::start();
    let [alice, bob] = [(); 2].map(|()| Browser::new());
    let of_bob = bob.sign_in(&system, BOB, "/posts/new");
    bob.submit(&of_bob.form("Sign out"));
    assert_eq!(
        bob.submit(&of_bob.form("Publish").with("title", "t").with("content", "of Bob"))
            .status,
        401
    );

    let page = alice.sign_in(&system, ALICE, "/posts/new");
    let post = alice.publish(&system, "Post", "text");
    let edit = alice.get(&format!("{}/edit", post.url)).form("Save changes");
    alice.submit(&page.form("Sign out"));
    let long = "x".repeat(3_900_000);
    let stranger = Browser::new();
    for _ in 0..20 {
        for form in [page.form("Publish"), edit.clone()] {
            assert_eq!(
                stranger.submit(&form.with("title", "t").with("content", &long)).status,
                401
            );
        }
    }
    let back = bob.sign_in(&system, BOB, "/posts/new");
    assert_eq!(back.form("Publish").value("content"), "of Bob");

    let again = alice.sign_in(&system, ALICE, "/posts/new");
    let everywhere = alice
        .get(&system.web.url("/logout"))
        .form("everywhere")
        .with("everywhere", "1");
    assert_eq!(alice.submit_once(&everywhere).status, 303);
    for form in [page.form("Publish"), again.form("Publish"), edit] {
        let refused = stranger.submit(&form.with("title", "t").with("content", "planted"));
        assert_eq!((refused.status, refused.error()), (403, "403"), "its seal has ended");
    }
    let alice = Browser::new();
    let new = alice.sign_in(&system, ALICE, "/posts/new");
    assert_ne!(new.form("Publish").value("content"), "planted");
    // The promise holds for forms that were opened since.
    alice.submit(&new.form("Sign out"));
    assert_eq!(
        alice
            .submit(&new.form("Publish").with("title", "t").with("content", "kept"))
            .status,
        401
    );
    let back = Browser::new().sign_in(&system, ALICE, "/posts/new");
    assert_eq!(back.form("Publish").value("content"), "kept");
}

#[test]
fn an_answer_that_comes_late_neither_ends_the_next_sign_in_nor_loses_its_text() {
    let (opened, gate) = (Arc::new(AtomicBool::new(false)), Arc::new(Barrier::new(2)));
    let (seen_post, wait) = (Arc::clone(&opened), Arc::clone(&gate));
    let api = PlayedApi::start(move |seen| {
        if seen.method == "POST" {
            seen_post.store(true, Ordering::SeqCst);
            wait.wait();
            return HttpResponse::Unauthorized().finish();
        }
        HttpResponse::Ok().json(json!([]))
    });
    let url = api.url();
    let system = TestSystem::with(move |settings| settings.client.api_base_url = url);
    let browser = Browser::new();
    let form = browser.sign_in(&system, ALICE, "/posts/new").form("Publish");
    let form = form.with("title", "On its way").with("content", "for long");
    let tab = browser.clone_cookies();
    let late = thread::spawn(move || tab.submit_once(&form));
    wait_until("the post is on its way", || opened.load(Ordering::SeqCst));
    let picker = browser.get(&system.web.url("/login?prompt=login&next=/"));
    let again = browser.pick(&picker, ALICE);
    assert_eq!(again.status, 200);
    gate.wait();

    let late = late.join().expect("an answer");
    assert_eq!(late.status, 401, "{}", late.body);
    assert!(late.text().contains("Your text is kept"));
    assert!(
        late.set_cookies.is_empty(),
        "no cookie in place of the new session's: {:?}",
        late.set_cookies
    );
    let page = browser.get(&system.web.url("/posts/new"));
    assert_eq!(page.form("Publish").value("content"), "for long");
    let copied = browser.clone_cookies();
    browser.submit_once(&page.form("Sign out"));
    assert_eq!(
        copied.get_once(&system.web.url("/profile")).status,
        303,
        "and it ends by its own sign-out"
    );
}

#[test]
fn a_refresh_that_fails_or_is_refused_is_asked_for_once_however_many_wait() {
    const TABS: usize = 50;
    const TRANSIENT: u32 = 90_033;
    for (code, status) in [(TRANSIENT, 200), (700_082, 303)] {
        let system = TestSystem::with(|settings| settings.idp.access_token_seconds = 100);
        let browser = Browser::new();
        browser.sign_in(&system, ALICE, "/");
        control(
            &system,
            "PUT",
            "/fault",
            Some(&json!({ "fail_next": { "count": TABS, "code": code } })),
        );
        let barrier = Barrier::new(TABS);
        thread::scope(|scope| {
            for _ in 0..TABS {
                let (tab, barrier, url) = (browser.clone_cookies(), &barrier, system.web.url("/posts"));
                scope.spawn(move || {
                    barrier.wait();
                    let page = tab.get_once(&url);
                    // While one asks, the others go on with the token that is still good.
                    assert!(page.status == status || page.status == 200, "{code}: {}", page.status);
                });
            }
        });
        wait_until("the answer has come", || {
            browser.get_once(&system.web.url("/posts")).status == status
        });
        wait_until("one has asked", || grants(&system, "refresh_token") >= 1);
        assert_eq!(grants(&system, "refresh_token"), 1, "{code}");
        assert_eq!(browser.get_once(&system.web.url("/posts")).status, status, "{code}");
    }
}

#[test]
fn forms_whose_session_has_ended_lead_on() {
    let system = TestSystem::start();
    let browser = Browser::new();
    browser.sign_in(&system, ALICE, "/");
    let post = browser.publish(&system, "Kept", "text");
    let delete = browser.get(&format!("{}/delete", post.url)).form("Delete post");
    let sign_out = post.form("Sign out");
    browser.submit_once(&sign_out);
    let again = browser.submit_once(&sign_out);
    assert_eq!(
        (again.status, again.location().as_str()),
        (303, system.web.url("/").as_str())
    );
    let deleted = browser.submit_once(&delete);
    let next = format!("/login?next={}", delete.action.path().replace('/', "%2F"));
    assert_eq!(
        (deleted.status, deleted.location().as_str()),
        (303, system.web.url(&next).as_str())
    );
    assert_eq!(browser.post(&sign_out, &[]).status, 403, "not of who knows where from");
}

#[test]
fn a_draft_is_not_shown_to_the_next_user_of_the_browser() {
    let system = TestSystem::with(|settings| settings.idp.access_token_seconds = 100);
    let browser = Browser::new();
    let form = browser.sign_in(&system, ALICE, "/posts/new").form("Publish");
    refuse_a_refresh(&browser, &system);
    browser.submit(&form.with("title", "Private").with("content", "For Alice"));
    let picker = browser.get(&system.web.url("/login?switch=1&next=/posts/new"));
    let page = browser.pick(&picker, BOB);
    assert!(page.text().contains("Bob Brandt"));
    assert_eq!(page.form("Publish").value("content"), "");
}

#[test]
fn a_sign_out_at_the_provider_ends_the_session_here_without_a_cookie() {
    let system = TestSystem::with(|settings| {
        let url = format!("http://localhost:{}/front-channel-logout", settings.client.port);
        for app in settings.idp.apps.iter_mut().filter(|app| !app.redirect_uris.is_empty()) {
            app.front_channel_logout_uri = Some(url.clone());
        }
    });
    let (alice, bob) = (Browser::new(), Browser::new());
    alice.sign_in(&system, ALICE, "/");
    // Another session here of the same one at the provider, as of a second profile of the browser that shares it.
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
fn a_front_channel_sign_out_that_names_no_session_is_refused() {
    let system = TestSystem::start();
    for query in ["", "?sid=a", "?iss=b", "?sid=a&sid=b&iss=c"] {
        let page = Browser::new().get_once(&system.web.url(&format!("/front-channel-logout{query}")));
        assert_eq!(page.status, 400, "{query}");
    }
}

#[test]
fn signing_out_everywhere_ends_all_sessions_of_the_user_and_nobody_elses() {
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
