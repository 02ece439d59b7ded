//! Sign-out and front-channel notifications.

use super::provider::{AFTER_SIGN_OUT, Browser, OTHER_SITE, Provider, Response, SITE, between};

fn is_signed_in(browser: &Browser<'_>) -> bool {
    browser.authorize(&[("prompt", "none")]).parameter("code").is_some()
}

#[test]
fn signing_out_ends_the_session_and_redirects_back() {
    let provider = Provider::start();
    let browser = Browser::new(&provider);
    browser.sign_in("alice@contoso.example", &[]).location();
    assert!(is_signed_in(&browser));
    let answer = browser.log_out(&[("post_logout_redirect_uri", AFTER_SIGN_OUT), ("state", "a&b")]);
    assert_eq!(answer.location().as_str(), format!("{AFTER_SIGN_OUT}?state=a%26b"));
    assert!(!is_signed_in(&browser));
}

#[test]
fn without_a_redirect_a_page_confirms_the_sign_out() {
    let provider = Provider::start();
    let browser = Browser::new(&provider);
    browser.sign_in("alice@contoso.example", &[]).location();
    let page = browser.log_out(&[]);
    assert_eq!(page.status, 200);
    assert!(
        page.text.contains("You signed out") && !page.text.contains("http-equiv"),
        "{}",
        page.text
    );
    assert!(!is_signed_in(&browser));
}

#[test]
fn signing_out_redirects_only_to_registered_uris() {
    let provider = Provider::start();
    let browser = Browser::new(&provider);
    let id_token = provider.redeem(&provider.code(), &[]).text_of("id_token");
    let forged = provider
        .control
        .token()
        .id_token()
        .client(OTHER_SITE)
        .resource_scope("openid")
        .sign_with("foreign")
        .mint();
    for (name, parameters, goes) in [
        ("registered", &[("post_logout_redirect_uri", AFTER_SIGN_OUT)][..], true),
        (
            "for the named client",
            &[("post_logout_redirect_uri", AFTER_SIGN_OUT), ("client_id", SITE)],
            true,
        ),
        (
            "for the hinted client",
            &[
                ("post_logout_redirect_uri", AFTER_SIGN_OUT),
                ("id_token_hint", &id_token),
            ],
            true,
        ),
        (
            "for another client",
            &[("post_logout_redirect_uri", AFTER_SIGN_OUT), ("client_id", OTHER_SITE)],
            false,
        ),
        (
            "for another client than hinted",
            &[
                ("post_logout_redirect_uri", "http://localhost:6000/"),
                ("id_token_hint", &id_token),
            ],
            false,
        ),
        (
            "for no client",
            &[("post_logout_redirect_uri", AFTER_SIGN_OUT), ("client_id", "unknown")],
            false,
        ),
        (
            "with a forged hint",
            &[
                ("post_logout_redirect_uri", "http://localhost:6000/"),
                ("id_token_hint", &forged),
            ],
            false,
        ),
        (
            "with a broken hint",
            &[("post_logout_redirect_uri", AFTER_SIGN_OUT), ("id_token_hint", "a.b.c")],
            false,
        ),
        (
            "elsewhere",
            &[("post_logout_redirect_uri", "https://evil.example/")],
            false,
        ),
        ("script", &[("post_logout_redirect_uri", "javascript:alert(1)")], false),
        (
            "longer",
            &[("post_logout_redirect_uri", "http://localhost:5000/elsewhere")],
            false,
        ),
        (
            "a redirect URI is not one",
            &[("post_logout_redirect_uri", "http://localhost:5000/callback")],
            false,
        ),
    ] {
        let answer = browser.log_out(parameters);
        assert_eq!(answer.status, if goes { 303 } else { 200 }, "{name}");
        assert!(goes || !answer.text.contains("http-equiv"), "{name}: {}", answer.text);
    }
}

#[test]
fn applications_of_the_session_are_notified_in_hidden_frames() {
    let provider = Provider::start();
    let browser = Browser::new(&provider);
    browser.sign_in("alice@contoso.example", &[]).location();
    let other = [
        ("client_id", OTHER_SITE),
        ("redirect_uri", "http://localhost:6000/callback"),
        ("scope", "openid"),
    ];
    let sid = browser
        .authorize(&other)
        .parameter("session_state")
        .expect("the session's id");
    let page = browser.log_out(&[("post_logout_redirect_uri", AFTER_SIGN_OUT), ("state", "\"><script>")]);
    assert_eq!(page.status, 200);
    let frame = between(&page.text, "<iframe src=\"", "\"");
    assert!(
        frame.contains("front-channel?a=b&amp;sid=") && frame.contains(&sid) && frame.contains("&amp;iss="),
        "{frame}"
    );
    assert_eq!(
        page.text.matches("<iframe").count(),
        1,
        "the site has registered no address: {}",
        page.text
    );
    let refresh = between(&page.text, "http-equiv=\"refresh\" content=\"1; url=", "\"");
    assert!(refresh.contains("localhost:5000"), "{refresh}");
    assert!(!page.text.contains("<script>"), "{}", page.text);
    let policy = page.header("Content-Security-Policy");
    assert!(
        policy.contains("frame-src http://localhost:6000") && policy.contains("default-src 'none'"),
        "{policy}"
    );
    // No application is left to notify.
    assert_eq!(
        browser.log_out(&[("post_logout_redirect_uri", AFTER_SIGN_OUT)]).status,
        303
    );
}

#[test]
fn a_logout_hint_for_another_user_ends_nothing() {
    let provider = Provider::start();
    let browser = Browser::new(&provider);
    browser.sign_in("alice@contoso.example", &[]).location();
    let hint_of = |email: &str| {
        let code = Browser::new(&provider)
            .sign_in(email, &[])
            .parameter("code")
            .expect("a code");
        let (_, claims) = provider.verified(&provider.redeem(&code, &[]).text_of("id_token"));
        claims["login_hint"].as_str().expect("text").to_owned()
    };
    browser.log_out(&[("logout_hint", &hint_of("bob@contoso.example"))]);
    assert!(is_signed_in(&browser));
    browser.log_out(&[("logout_hint", &hint_of("alice@contoso.example"))]);
    assert!(!is_signed_in(&browser));
}

#[test]
fn another_tenant_or_a_doubled_parameter_is_rejected() {
    let provider = Provider::start();
    let browser = Browser::new(&provider);
    let doubled: Response = browser.log_out(&[("state", "a"), ("state", "b")]);
    assert!(doubled.status == 400 && doubled.text.contains("AADSTS9000411"));
    let foreign = browser.get(&provider.server.url("/fabrikam.example/oauth2/v2.0/logout"));
    assert!(foreign.status == 400 && foreign.text.contains("AADSTS90002"));
}
