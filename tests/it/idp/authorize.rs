//! The authorization endpoint and the account picker.

use super::provider::{Browser, CALLBACK, PUBLIC_CLIENT, Provider, SECOND_CALLBACK, SITE, between};

#[test]
fn picking_a_user_redirects_with_a_code_and_the_state() {
    let provider = Provider::start();
    let answer = Browser::new(&provider).sign_in("bob@contoso.example", &[]);
    assert!(answer.header("Location").starts_with(&format!("{CALLBACK}?code=")));
    assert_eq!(answer.parameter("state").as_deref(), Some("the state"));
    assert!(answer.parameter("error").is_none());
}

#[test]
fn a_redirect_uri_keeps_its_own_query() {
    let provider = Provider::start();
    let answer = Browser::new(&provider).sign_in("bob@contoso.example", &[("redirect_uri", SECOND_CALLBACK)]);
    assert!(
        answer
            .header("Location")
            .starts_with(&format!("{SECOND_CALLBACK}&code=")),
        "{}",
        answer.header("Location")
    );
}

#[test]
fn errors_that_must_not_redirect_are_shown_on_a_page() {
    let provider = Provider::start();
    for (name, changes, code) in [
        (
            "unknown client",
            &[("client_id", "c11e0000-0000-4000-8000-00000000dead")][..],
            "AADSTS700016",
        ),
        ("no client", &[("client_id", "")], "AADSTS900144"),
        (
            "script as client",
            &[("client_id", "<script>alert(1)</script>")],
            "AADSTS700016",
        ),
        (
            "unregistered redirect URI",
            &[("redirect_uri", "https://evil.example/callback")],
            "AADSTS50011",
        ),
        ("no redirect URI", &[("redirect_uri", "")], "AADSTS900971"),
        (
            "longer redirect URI",
            &[("redirect_uri", "http://localhost:5000/callback/../evil")],
            "AADSTS50011",
        ),
        (
            "slash at its end",
            &[("redirect_uri", "http://localhost:5000/callback/")],
            "AADSTS50011",
        ),
        (
            "with a query",
            &[("redirect_uri", "http://localhost:5000/callback?a=b")],
            "AADSTS50011",
        ),
        (
            "in capitals",
            &[("redirect_uri", "HTTP://LOCALHOST:5000/callback")],
            "AADSTS50011",
        ),
        (
            "redirect URI of another client",
            &[("redirect_uri", "http://localhost:6000/callback")],
            "AADSTS50011",
        ),
        (
            "redirect URI with markup",
            &[("redirect_uri", "\"><img src=x onerror=alert(1)>")],
            "AADSTS50011",
        ),
        (
            "doubled redirect URI",
            &[("redirect_uri", CALLBACK), ("redirect_uri", "https://evil.example/")],
            "AADSTS9000411",
        ),
    ] {
        let answer = Browser::new(&provider).authorize(changes);
        assert_eq!((answer.status, answer.header("Location")), (400, ""), "{name}");
        assert!(answer.text.contains(code), "{name}: {}", answer.text);
        for markup in ["<script>alert", "<img src=x"] {
            assert!(!answer.text.contains(markup), "{name}: {}", answer.text);
        }
        assert!(
            answer
                .header("Content-Security-Policy")
                .starts_with("default-src 'none'"),
            "{name}"
        );
    }
}

#[test]
fn an_unknown_tenant_is_rejected() {
    let provider = Provider::start();
    let url = provider
        .server
        .url("/fabrikam.example/oauth2/v2.0/authorize?client_id=x");
    let answer = Browser::new(&provider).get(&url);
    assert_eq!(answer.status, 400);
    assert!(answer.text.contains("AADSTS90002"), "{}", answer.text);
}

#[test]
fn other_errors_are_sent_to_the_application() {
    let provider = Provider::start();
    let api = "api://a9100000-0000-4000-8000-000000008000";
    let scopes = [
        format!("{api}/not_there"),
        format!("{api}/access_as_user api://older/use"),
    ];
    for (name, changes, error, code) in [
        (
            "implicit flow",
            &[("response_type", "id_token")][..],
            "unsupported_response_type",
            "AADSTS70005",
        ),
        (
            "hybrid flow",
            &[("response_type", "code id_token")],
            "unsupported_response_type",
            "AADSTS70005",
        ),
        (
            "no response type",
            &[("response_type", "")],
            "invalid_request",
            "AADSTS900144",
        ),
        (
            "form post",
            &[("response_mode", "form_post")],
            "invalid_request",
            "AADSTS70007",
        ),
        ("no scope", &[("scope", "")], "invalid_request", "AADSTS900144"),
        (
            "unknown scope",
            &[("scope", "openid everything")],
            "invalid_scope",
            "AADSTS70011",
        ),
        (
            "unknown API",
            &[("scope", "openid api://unknown/use")],
            "invalid_resource",
            "AADSTS500011",
        ),
        (
            "scope not exposed",
            &[("scope", &scopes[0])],
            "invalid_grant",
            "AADSTS65001",
        ),
        ("two APIs", &[("scope", &scopes[1])], "invalid_scope", "AADSTS700022"),
        (
            "plain challenge",
            &[("code_challenge_method", "plain")],
            "invalid_request",
            "AADSTS501482",
        ),
        (
            "challenge without method",
            &[("code_challenge_method", "")],
            "invalid_request",
            "AADSTS501482",
        ),
        (
            "method without challenge",
            &[("code_challenge", "")],
            "invalid_request",
            "AADSTS900144",
        ),
        (
            "short challenge",
            &[("code_challenge", "abc")],
            "invalid_request",
            "AADSTS50147",
        ),
        (
            "unknown prompt",
            &[("prompt", "create")],
            "invalid_request",
            "AADSTS90023",
        ),
        (
            "no user signed in",
            &[("prompt", "none")],
            "login_required",
            "AADSTS50058",
        ),
    ] {
        let answer = Browser::new(&provider).authorize(changes);
        assert!(
            answer.header("Location").starts_with(&format!("{CALLBACK}?error=")),
            "{name}: {answer:?}"
        );
        assert_eq!(answer.parameter("error").as_deref(), Some(error), "{name}");
        let description = answer.parameter("error_description").expect("a description");
        assert!(description.starts_with(&format!("{code}: ")), "{name}: {description}");
        assert_eq!(answer.parameter("state").as_deref(), Some("the state"), "{name}");
        assert!(answer.parameter("code").is_none(), "{name}");
    }
}

#[test]
fn pkce_can_be_required_and_always_is_for_public_clients() {
    let without = [("code_challenge", ""), ("code_challenge_method", "")];
    let demanding = Provider::with(|settings| settings.idp.require_pkce = true);
    let answer = Browser::new(&demanding).authorize(&without);
    assert!(
        answer
            .parameter("error_description")
            .expect("a description")
            .starts_with("AADSTS9002325")
    );

    let provider = Provider::start();
    assert_eq!(Browser::new(&provider).authorize(&without).status, 200);
    let public = [
        &without[..],
        &[("client_id", PUBLIC_CLIENT), ("redirect_uri", "http://localhost:7000/")],
    ]
    .concat();
    let answer = Browser::new(&provider).authorize(&public);
    assert!(
        answer
            .parameter("error_description")
            .expect("a description")
            .starts_with("AADSTS9002325")
    );
}

#[test]
fn declining_is_sent_to_the_application() {
    let provider = Provider::start();
    let browser = Browser::new(&provider);
    let answer = browser.submit(&browser.authorize(&[]), "cancel", "1");
    assert_eq!(answer.parameter("error").as_deref(), Some("access_denied"));
    assert!(
        answer
            .parameter("error_description")
            .expect("a description")
            .starts_with("AADSTS65004")
    );
    assert_eq!(answer.parameter("state").as_deref(), Some("the state"));
}

#[test]
fn another_account_signs_in_by_its_address_if_the_tenant_knows_it() {
    let provider = Provider::start();
    let browser = Browser::new(&provider);
    let page = browser.submit(&browser.authorize(&[]), "email", "<b>mallory</b>@evil.example");
    assert_eq!(page.status, 400);
    assert!(
        page.text.contains("AADSTS50034") && !page.text.contains("<b>mallory"),
        "{}",
        page.text
    );
    let answer = browser.submit(&page, "email", " Chiara@Contoso.example ");
    assert!(answer.parameter("code").is_some());
}

#[test]
fn a_signed_in_user_is_not_asked_again_unless_the_request_says_so() {
    let provider = Provider::start();
    let browser = Browser::new(&provider);
    browser.sign_in("alice@contoso.example", &[]).location();
    for silent in [
        &[][..],
        &[("prompt", "none")],
        &[("login_hint", "Alice@contoso.example")],
    ] {
        assert!(browser.authorize(silent).parameter("code").is_some(), "{silent:?}");
    }
    for asked in ["login", "select_account", "consent"] {
        assert_eq!(browser.authorize(&[("prompt", asked)]).status, 200, "{asked}");
    }
    // The hint names another user.
    assert_eq!(browser.authorize(&[("login_hint", "bob@contoso.example")]).status, 200);
    let nobody = browser.authorize(&[("login_hint", "bob@contoso.example"), ("prompt", "none")]);
    assert_eq!(nobody.parameter("error").as_deref(), Some("login_required"));
    assert!(
        Browser::new(&provider)
            .authorize(&[("prompt", "none")])
            .parameter("code")
            .is_none(),
        "another browser"
    );
}

#[test]
fn a_login_hint_marks_the_account_or_fills_in_the_address() {
    let provider = Provider::start();
    let browser = Browser::new(&provider);
    let known = browser.authorize(&[("login_hint", "bob@contoso.example")]);
    assert!(
        known
            .text
            .contains("data-user=\"bob@contoso.example\" class=\"hinted\" autofocus"),
        "{}",
        known.text
    );
    let unknown = browser.authorize(&[("login_hint", "\"dora@contoso.example")]);
    assert!(
        unknown.text.contains("value=\"&quot;dora@contoso.example\""),
        "{}",
        unknown.text
    );
}

#[test]
fn consent_names_what_is_asked_for() {
    let provider = Provider::start();
    let page = Browser::new(&provider).authorize(&[("prompt", "consent")]);
    for scope in ["openid", "offline_access", "access_as_user"] {
        assert!(
            between(&page.text, "Permissions requested", "</ul>").contains(scope),
            "{scope}: {}",
            page.text
        );
    }
}

#[test]
fn signing_in_renews_the_session_cookie() {
    let provider = Provider::start();
    let browser = Browser::new(&provider);
    let session = |answer: &super::provider::Response| {
        let cookies = answer
            .headers
            .get_all("Set-Cookie")
            .iter()
            .map(|value| value.to_str().expect("text").to_owned());
        cookies
            .into_iter()
            .find(|cookie| cookie.starts_with("blogctl_idp_session="))
            .expect("a session cookie")
    };
    let first = session(&browser.sign_in("alice@contoso.example", &[]));
    let second = session(&browser.sign_in("alice@contoso.example", &[("prompt", "login")]));
    assert_ne!(first.split(';').next(), second.split(';').next());
    assert!(first.contains("HttpOnly") && first.contains("SameSite=Lax"), "{first}");
}

#[test]
fn a_form_from_another_page_signs_nobody_in() {
    let provider = Provider::start();
    let browser = Browser::new(&provider);
    let page = browser.authorize(&[]);
    let query = between(&page.text, "/login?", "\"").replace("&amp;", "&");
    let action = provider.url(&format!("login?{query}"));
    let own = between(&page.text, "name=\"form_token\" value=\"", "\"");
    let alice = provider.settings.idp.users[0].oid.as_str();
    let stranger = Browser::new(&provider);
    for (name, browser, token, origin) in [
        ("no token", &browser, "", None),
        ("made-up token", &browser, "made-up", None),
        ("token of another browser", &stranger, own, None),
        ("another origin", &browser, own, Some("https://evil.example")),
        ("origin that hides itself", &browser, own, Some("null")),
    ] {
        let origin: Vec<_> = origin.iter().map(|origin| ("Origin", *origin)).collect();
        let answer = browser.post(&action, &origin, &[("form_token", token), ("oid", alice)]);
        assert_eq!((answer.status, answer.header("Location")), (400, ""), "{name}");
        assert!(answer.headers.get("Set-Cookie").is_none(), "{name}");
    }
    let origin = provider.server.url("");
    let answer = browser.post(&action, &[("Origin", &origin)], &[("form_token", own), ("oid", alice)]);
    assert_eq!(answer.status, 303, "the same from the own page");
}

#[test]
fn the_form_cannot_be_changed_to_skip_a_check() {
    let provider = Provider::start();
    let browser = Browser::new(&provider);
    let page = browser.authorize(&[]);
    let token = between(&page.text, "name=\"form_token\" value=\"", "\"");
    let alice = provider.settings.idp.users[0].oid.as_str();
    for (changes, code) in [
        (&[("redirect_uri", "https://evil.example/")][..], "AADSTS50011"),
        (&[("client_id", "c11e0000-0000-4000-8000-000000006000")], "AADSTS50011"),
        (&[("client_id", "unknown")], "AADSTS700016"),
    ] {
        let url = browser
            .authorize_url(changes)
            .replace("/oauth2/v2.0/authorize?", "/login?");
        let answer = browser.post(&url, &[], &[("form_token", token), ("oid", alice)]);
        assert_eq!((answer.status, answer.header("Location")), (400, ""));
        assert!(answer.text.contains(code), "{}", answer.text);
    }
}

#[test]
fn the_content_security_policy_allows_the_form_to_reach_only_the_application() {
    let provider = Provider::start();
    let page = Browser::new(&provider).authorize(&[]);
    let policy = page.header("Content-Security-Policy");
    assert!(policy.contains("form-action 'self' http://localhost:5000;"), "{policy}");
    assert!(
        policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"),
        "{policy}"
    );
    assert!(!policy.contains("unsafe"), "{policy}");
    assert!(
        page.text.contains("The &lt;Site&gt;"),
        "the application's name is escaped: {}",
        page.text
    );
    assert_eq!(
        page.header("Referrer-Policy"),
        "same-origin",
        "or else browsers send Origin: null with the form"
    );
    assert!(page.text.contains("Development only"), "it says what it is");
    assert!(!page.text.contains("<script"), "it works without JavaScript");
}

#[test]
fn the_tenant_can_be_named_by_its_aliases() {
    let provider = Provider::start();
    let tenant = provider.settings.idp.tenant_id.clone();
    for name in ["contoso.example", "common", "organizations"] {
        let browser = Browser::new(&provider);
        let page = browser.get(&browser.authorize_url(&[]).replace(&tenant, name));
        let answer = browser.submit(&page, "email", "alice@contoso.example");
        assert!(answer.parameter("code").is_some(), "{name}");
    }
    assert_eq!(SITE, provider.settings.idp.apps[0].client_id);
}
