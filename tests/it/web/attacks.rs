//! Attacks on another user's session, text or browser. Each row records its real outcome; the attacks on forms, ID tokens
//! and host names are with their own tests.

use blogctl::config::IdpUser;

use crate::support::{
    attacks::record,
    system::TestSystem,
    web::{ALICE, BOB, Browser, Page, signed_out_session},
};

const COOKIE: &str = "blogctl";

/// Records the attack, and fails if it was not blocked.
fn assert_blocked(family: &str, attack: &str, is_blocked: bool, page: &Page) {
    record(family, attack, is_blocked);
    assert!(
        is_blocked,
        "{family}, {attack}: {} {:?} {}",
        page.status, page.headers, page.body
    );
}

fn login(system: &TestSystem, next: &str) -> String {
    let query = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("next", next)
        .finish();
    system.web.url(&format!("/login?{query}"))
}

fn is_signed_out(browser: &Browser, system: &TestSystem) -> bool {
    browser.get_once(&system.web.url("/profile")).status == 303
}

/// The callback URL to which the provider redirects `browser`, not opened yet.
fn callback(browser: &Browser, system: &TestSystem, oid: &str) -> url::Url {
    let picker = browser.get(&login(system, "/"));
    browser
        .submit_once(&picker.form(oid).with("oid", oid).without("email"))
        .location()
}

#[test]
fn no_spelling_of_next_leads_to_another_site() {
    let system = TestSystem::start();
    let browser = Browser::new();
    browser.sign_in(&system, ALICE, "/");
    let spellings = [
        "//evil.example",
        "///evil.example",
        "////evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "\\/evil.example",
        "/\\/evil.example",
        "//\\evil.example",
        "\\evil.example",
        "http://evil.example",
        "https://evil.example",
        "HTTPS://evil.example",
        "https:evil.example",
        "https:/evil.example",
        "https:///evil.example",
        "http:\\\\evil.example",
        "javascript:alert(1)",
        "JaVaScRiPt:alert(1)",
        "data:text/html,x",
        "vbscript:x",
        "mailto:a@evil.example",
        "ftp://evil.example",
        "//evil.example/%2f..",
        "/%2fevil.example",
        "%2f%2fevil.example",
        "/%2f%2fevil.example",
        "/%5cevil.example",
        "/%5c%5cevil.example",
        "/.//evil.example",
        "/..//evil.example",
        "/%2e%2e//evil.example",
        "\t//evil.example",
        "/\t/evil.example",
        "/\n/evil.example",
        "/\r/evil.example",
        "/\u{b}/evil.example",
        " //evil.example",
        "/ /evil.example",
        "/%09/evil.example",
        "/%0a/evil.example",
        "//user@evil.example",
        "//evil.example:443/",
        "//[::1]/",
        "//127.0.0.1",
        "/\u{2215}evil.example",
        "/\u{ff0f}evil.example",
        "@evil.example",
        "evil.example",
        "//evil。example",
        "/\u{2f}/evil.example",
        "http://localhost@evil.example",
        "//localhost.evil.example",
    ];
    assert!(spellings.len() >= 50, "{}", spellings.len());
    for next in spellings {
        let page = browser.get_once(&login(&system, next));
        let location = page.header("location").to_owned();
        // The target as a browser resolves it, relative to this site.
        let target = page.url.join(&location).expect("an address");
        let stays = page.status == 303 && target.origin() == page.url.origin() && target.path() == "/";
        assert_blocked("open redirect", &format!("{next:?}"), stays, &page);
    }
}

#[test]
fn no_attacker_can_fix_a_session_or_plant_an_account() {
    let system = TestSystem::with(|settings| settings.idp.access_token_seconds = 100);
    // Session fixation: the attacker plants the cookie before the victim signs in.
    let attacker = Browser::new();
    let planted = signed_out_session(&attacker, &system, BOB);
    let victim = Browser::new();
    victim.set_cookie(COOKIE, &planted);
    let page = victim.sign_in(&system, ALICE, "/profile");
    assert_eq!(page.status, 200);
    assert_blocked(
        "session",
        "a planted session id is signed in by its victim",
        is_signed_out(&attacker, &system),
        &page,
    );

    // Login CSRF: the victim would write into the attacker's account.
    let attacker = Browser::new();
    let callback_of_attacker = callback(&attacker, &system, BOB);
    let victim = Browser::new();
    victim.get_once(&login(&system, "/"));
    let page = victim.get(callback_of_attacker.as_str());
    assert_blocked(
        "session",
        "a callback of the attacker's sign-in",
        page.status == 400 && is_signed_out(&victim, &system),
        &page,
    );
    let page = Browser::new().get(callback_of_attacker.as_str());
    assert_blocked("session", "the same without any session", page.status == 400, &page);

    // Code injection: the attacker's code with the victim's state; PKCE and nonce belong to another sign-in.
    let (attacker, victim) = (Browser::new(), Browser::new());
    let foreign = callback(&attacker, &system, BOB);
    let mut own = callback(&victim, &system, ALICE);
    let code = foreign
        .query_pairs()
        .find(|(name, _)| name == "code")
        .map(|(_, code)| code.into_owned())
        .expect("a code");
    let state = own
        .query_pairs()
        .find(|(name, _)| name == "state")
        .map(|(_, state)| state.into_owned())
        .expect("a state");
    own.query_pairs_mut()
        .clear()
        .append_pair("code", &code)
        .append_pair("state", &state);
    let page = victim.get(own.as_str());
    assert_blocked(
        "session",
        "another user's code with the own state",
        page.status == 403 && page.text().contains("AADSTS501481") && is_signed_out(&victim, &system),
        &page,
    );

    // Replay of a callback and of a cookie.
    let browser = Browser::new();
    let url = callback(&browser, &system, ALICE);
    assert_eq!(browser.get_once(url.as_str()).status, 303);
    let page = browser.get_once(url.as_str());
    assert_blocked("session", "a callback opened twice", page.status == 400, &page);
    let copied = browser.clone_cookies();
    let form = browser.get(&system.web.url("/posts")).form("Sign out");
    browser.submit_once(&form);
    let page = copied.get_once(&system.web.url("/profile"));
    assert_blocked(
        "session",
        "a copied cookie after the sign-out",
        page.status == 303,
        &page,
    );
}

#[test]
fn only_the_sites_own_cookie_is_accepted() {
    let system = TestSystem::with(|settings| {
        settings.client.public_url = Some(url::Url::parse("https://blog.example.com").expect("a URL"));
        for app in &mut settings.idp.apps {
            app.redirect_uris = vec!["https://blog.example.com/callback".to_owned()];
        }
    });
    // The site as if behind a proxy that terminates TLS.
    let ask = |path: &str, cookie: &str| {
        let url = system.web.url(path).parse().expect("a URL");
        let headers = [("Host", "blog.example.com"), ("Cookie", cookie)];
        Browser::new().request(
            "GET",
            &url,
            None,
            if cookie.is_empty() { &headers[..1] } else { &headers },
        )
    };
    let login = ask("/login?next=/profile", "");
    let pending = login.set_cookies[0].split(';').next().expect("a cookie").to_owned();
    let at_provider = Browser::new();
    let picker = at_provider.get(login.location().as_str());
    let back = at_provider
        .submit_once(&picker.form(ALICE).with("oid", ALICE).without("email"))
        .location();
    let signed_in = ask(&format!("/callback?{}", back.query().expect("a query")), &pending);
    assert_eq!(signed_in.status, 303, "{}", signed_in.body);
    let own = signed_in.set_cookies[0].split(';').next().expect("a cookie").to_owned();
    assert_eq!(ask("/profile", &own).status, 200);

    let (name, value) = own.split_once('=').expect("a cookie");
    assert_eq!(name, "__Host-blogctl");
    for (attack, cookie) in [
        (
            "without the prefix that binds it to the host",
            format!("blogctl={value}"),
        ),
        ("with the weaker prefix", format!("__Secure-blogctl={value}")),
        ("in another case", format!("__host-blogctl={value}")),
        ("cut short", format!("{name}={}", &value[..value.len() - 2])),
        ("with something behind", format!("{name}={value}AA")),
        ("one bit changed", format!("{name}={}", flipped(value))),
        ("empty", format!("{name}=")),
        ("invented", format!("{name}=bWFkZS11cA==")),
    ] {
        let page = ask("/profile", &cookie);
        assert_blocked("cookie", attack, page.status == 303, &page);
    }
    let large = format!("{name}={}", "a".repeat(60_000));
    let page = ask("/profile", &large);
    assert_blocked("cookie", "60 KB of it", page.status == 303, &page);
    let others: Vec<String> = (0..500).map(|n| format!("c{n}=x")).collect();
    let many = format!("{}; {own}", others.join("; "));
    let page = ask("/profile", &many);
    assert_blocked("cookie", "behind 500 others", page.status == 200, &page);
    for (attack, line) in [
        ("a planted one before the own one", format!("{name}=planted; {own}")),
        ("a planted one after the own one", format!("{own}; {name}=planted")),
        ("forms that do not parse", format!("x; =; ;; %zz=%zz; {own}")),
    ] {
        let page = ask("/profile", &line);
        assert_blocked(
            "cookie",
            attack,
            page.status == 200 && page.text().contains("Alice Archer"),
            &page,
        );
    }
    // A pending sign-in with a planted cookie of the same name, and with a changed one.
    let login = ask("/login?next=/profile", "");
    let pending = login.set_cookies[0].split(';').next().expect("a cookie").to_owned();
    let (pending_name, pending_value) = pending.split_once('=').expect("a cookie");
    let at_provider = Browser::new();
    let picker = at_provider.get(login.location().as_str());
    let back = at_provider
        .submit_once(&picker.form(ALICE).with("oid", ALICE).without("email"))
        .location();
    let callback = format!("/callback?{}", back.query().expect("a query"));
    let page = ask(&callback, &format!("{pending_name}={}", flipped(pending_value)));
    assert_blocked("cookie", "a changed sign-in under way", page.status == 400, &page);
    let page = ask(&callback, &format!("{pending_name}=planted; {pending}"));
    assert_blocked(
        "cookie",
        "a planted sign-in next to the own one",
        page.status == 303,
        &page,
    );
}

/// Replaces the first character.
fn flipped(value: &str) -> String {
    let first = if value.starts_with('A') { 'B' } else { 'A' };
    format!("{first}{}", &value[1..])
}

#[test]
fn names_and_texts_are_shown_and_never_executed() {
    const PAYLOADS: [&str; 10] = [
        "<script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "'><svg/onload=alert(1)>",
        "</textarea><script>alert(1)</script>",
        "</title><script>alert(1)</script>",
        "<iframe srcdoc='<script>alert(1)</script>'>",
        "{{ 7919 * 7927 }}{% raw %}<b>x</b>",
        "javascript:alert(1)//<a href=\"javascript:alert(1)\">x</a>",
        "&lt;script&gt;alert(1)&lt;/script&gt;<b>",
        "\u{202e}<b onmouseover=alert(1)>x</b>",
    ];
    for (n, payload) in PAYLOADS.iter().enumerate() {
        let system = TestSystem::with(|settings| {
            settings.idp.users = vec![IdpUser {
                oid: ALICE.to_owned(),
                name: payload.to_string(),
                email: format!("{}@contoso.example", payload.replace(char::is_whitespace, "")),
                roles: vec![payload.to_string()],
            }];
        });
        let browser = Browser::new();
        browser.sign_in(&system, ALICE, "/");
        let post = browser.publish(&system, payload, payload);
        assert_eq!(post.status, 200, "{}", post.body);
        let id = post.url.path().to_owned();
        for path in [
            "/",
            "/posts",
            &id,
            &format!("{id}/edit"),
            &format!("{id}/delete"),
            "/profile",
            "/logout",
        ] {
            let page = browser.get(&system.web.url(path));
            assert_eq!((page.status, page.url.path()), (200, path), "{payload}");
            let executed = [
                "<script>alert",
                "<img src=x",
                "<svg/onload",
                "<iframe srcdoc",
                "<b onmouseover",
                "<a href=\"javascript",
                "<b>x",
                "62773913",
            ]
            .iter()
            .any(|mark| page.body.contains(mark));
            assert_blocked(
                "stored script",
                &format!("payload {n} on {}", path.replace(&id, "/posts/ID")),
                !executed,
                &page,
            );
        }
        let page = browser.get(&system.web.url("/posts"));
        assert!(
            page.text().contains(payload.trim()),
            "it is shown as it was written: {}",
            page.body
        );
    }
}

#[test]
fn no_input_becomes_a_header() {
    let system = TestSystem::start();
    let signed_in = Browser::new();
    signed_in.sign_in(&system, ALICE, "/");
    let injected = "x%0d%0aSet-Cookie:%20planted=1%0d%0aX-Planted:%201".to_owned();
    // The status for a signed-in user, and for a visitor without a session.
    for (path, statuses) in [
        (format!("/login?next=/posts{injected}"), [303, 303]),
        (format!("/login?next={injected}"), [303, 303]),
        (format!("/login?login_hint={injected}"), [303, 303]),
        (format!("/login?domain_hint={injected}"), [303, 303]),
        (format!("/login?prompt={injected}"), [303, 303]),
        (format!("/posts?after={injected}"), [400, 303]),
        (format!("/posts?by={injected}"), [200, 303]),
        (format!("/posts/{injected}"), [404, 303]),
        (format!("/callback?state={injected}&code={injected}"), [400, 400]),
        (
            format!("/callback?state=x&error={injected}&error_description={injected}"),
            [400, 400],
        ),
        (
            format!("/front-channel-logout?iss={injected}&sid={injected}"),
            [200, 200],
        ),
        (format!("/{injected}"), [404, 404]),
    ] {
        for (browser, status) in [&signed_in, &Browser::new()].into_iter().zip(statuses) {
            let page = browser.get_once(&system.web.url(&path));
            // An injected header would appear as a separate one.
            let planted =
                page.headers.contains_key("x-planted") || page.set_cookies.iter().any(|one| one.contains("planted=1"));
            let is_blocked = !planted && page.status == status;
            let attack = path.split(&injected).next().unwrap_or_default();
            assert_blocked("header injection", &format!("{attack}…"), is_blocked, &page);
        }
    }
    let form = signed_in.get(&system.web.url("/posts/new")).form("Publish");
    let page = signed_in.submit_once(
        &form
            .with("title", "a\r\nSet-Cookie: planted=1")
            .with("content", "b\r\n\r\nX: y"),
    );
    let planted = page.set_cookies.iter().any(|one| one.contains("planted"));
    assert_blocked(
        "header injection",
        "the title of a post",
        !planted && page.status == 303,
        &page,
    );
}

#[test]
fn no_page_can_be_framed() {
    let system = TestSystem::start();
    let browser = Browser::new();
    browser.sign_in(&system, ALICE, "/");
    let post = browser.publish(&system, "Framed", "text").url.path().to_owned();
    for (path, status) in [
        ("/", 200),
        ("/posts", 200),
        ("/posts/new", 200),
        (&*post, 200),
        (&*format!("{post}/delete"), 200),
        ("/profile", 200),
        ("/logout", 200),
        ("/nothing", 404),
        ("/callback", 400),
    ] {
        let page = browser.get_once(&system.web.url(path));
        assert_eq!(page.status, status, "{path}");
        let denied = page.header("x-frame-options") == "DENY"
            && page
                .header("content-security-policy")
                .contains("frame-ancestors 'none'");
        assert_blocked("clickjacking", &path.replace(&post, "/posts/ID"), denied, &page);
    }
}
