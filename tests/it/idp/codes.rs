//! Authorization codes and refresh tokens: used once, by their client, in time.

use std::time::Duration;

use super::{
    client_assertion::{Assertion, of_other_client},
    provider::{Browser, CALLBACK, OTHER_SITE, PUBLIC_CLIENT, Provider, SECOND_CALLBACK, VERIFIER, changed},
};

const REFRESH: &[(&str, &str)] = &[("grant_type", "refresh_token")];

#[test]
fn a_code_works_once_and_a_second_use_revokes_its_tokens() {
    let provider = Provider::start();
    let code = provider.code();
    let first = provider.redeem(&code, &[]);
    assert_eq!(first.status, 200, "{}", first.text);
    let refresh_token = first.text_of("refresh_token");
    let refresh = [REFRESH, &[("refresh_token", &refresh_token)]].concat();
    assert_eq!(provider.token_as_site(&refresh).status, 200);

    let second = provider.redeem(&code, &[]);
    assert_eq!(
        (second.status, second.text_of("error").as_str(), second.code()),
        (400, "invalid_grant", 54005)
    );
    assert_eq!(
        provider.token_as_site(&refresh).code(),
        70000,
        "the refresh token is gone"
    );
}

#[test]
fn a_code_is_bound_to_redirect_uri_and_challenge() {
    let provider = Provider::start();
    for (name, changes, code) in [
        (
            "another redirect URI",
            &[("redirect_uri", SECOND_CALLBACK)][..],
            500_112,
        ),
        ("no redirect URI", &[("redirect_uri", "")], 900_144),
        (
            "another verifier",
            &[("code_verifier", "another-code-verifier-0123456789-0123456789-01")],
            501_481,
        ),
        ("no verifier", &[("code_verifier", "")], 501_481),
        ("no code", &[("code", "")], 900_144),
        ("another code", &[("code", "0123456789abcdef")], 70000),
        (
            "scope beyond the granted one",
            &[("scope", "openid api://older/use")],
            70011,
        ),
    ] {
        let answer = provider.redeem(&provider.code(), changes);
        assert_eq!((answer.status, answer.code()), (400, code), "{name}: {}", answer.text);
    }
}

#[test]
fn a_verifier_for_a_code_without_challenge_is_rejected() {
    let provider = Provider::start();
    let without = [("code_challenge", ""), ("code_challenge_method", "")];
    assert_eq!(provider.redeem(&provider.code_for(&without), &[]).code(), 501_481);
    assert_eq!(
        provider
            .redeem(&provider.code_for(&without), &[("code_verifier", "")])
            .status,
        200
    );
}

#[test]
fn a_code_works_only_for_its_client() {
    let provider = Provider::start();
    let code = provider.code();
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    let mut assertion = Assertion::good(OTHER_SITE, &provider.url("oauth2/v2.0/token"));
    assertion.use_certificate(of_other_client());
    let answer = provider.token_of(OTHER_SITE, &assertion.sign(), &fields);
    assert_eq!((answer.status, answer.code()), (400, 70000), "{}", answer.text);
    let public = provider.token(&[&fields[..], &[("client_id", PUBLIC_CLIENT)]].concat());
    assert_eq!((public.status, public.code()), (400, 70000), "{}", public.text);
    assert_eq!(
        provider.redeem(&code, &[]).status,
        200,
        "the attempts of others spend nothing"
    );
}

#[test]
fn a_code_lives_ten_minutes() {
    let provider = Provider::lenient();
    let [early, late] = [provider.code(), provider.code()];
    provider.control.advance_clock(Duration::from_secs(290));
    assert_eq!(provider.redeem(&early, &[]).status, 200);
    provider.control.advance_clock(Duration::from_secs(601));
    // The machine's clock makes the assertion, so its times are moved to the provider's clock.
    let mut assertion = provider.assertion();
    for claim in ["iat", "nbf", "exp"] {
        assertion.claims[claim] = (assertion.claims[claim].as_i64().expect("an integer") + 601).into();
    }
    let fields = [
        ("grant_type", "authorization_code"),
        ("code", &late),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    let answer = provider.token_with(&assertion.sign(), &fields);
    assert_eq!(
        (answer.status, answer.text_of("error").as_str(), answer.code()),
        (400, "invalid_grant", 70008)
    );
}

#[test]
fn a_refresh_token_is_replaced_on_each_use() {
    let provider = Provider::start();
    let first = provider.redeem(&provider.code(), &[]);
    let second = provider.token_as_site(&[REFRESH, &[("refresh_token", &first.text_of("refresh_token"))]].concat());
    assert_eq!(second.status, 200, "{}", second.text);
    for token in ["refresh_token", "access_token", "id_token"] {
        assert_ne!(first.text_of(token), second.text_of(token), "{token}");
    }
    let third = provider.token_as_site(&[REFRESH, &[("refresh_token", &second.text_of("refresh_token"))]].concat());
    assert_eq!(third.status, 200, "{}", third.text);
}

#[test]
fn a_refresh_token_works_only_for_its_client_and_expires_after_90_days() {
    let provider = Provider::lenient();
    let refresh_token = provider.redeem(&provider.code(), &[]).text_of("refresh_token");
    let fields = [REFRESH, &[("refresh_token", refresh_token.as_str())]].concat();
    let mut assertion = Assertion::good(OTHER_SITE, &provider.url("oauth2/v2.0/token"));
    assertion.use_certificate(of_other_client());
    assert_eq!(provider.token_of(OTHER_SITE, &assertion.sign(), &fields).code(), 70000);
    assert_eq!(
        provider
            .token_as_site(&changed(&fields, &[("refresh_token", "made-up")]))
            .code(),
        70000
    );

    let public = public_tokens(&provider);
    let days = Duration::from_secs(90 * 86400 + 1);
    provider.control.advance_clock(days);
    let answer = provider.token(&[REFRESH, &[("refresh_token", &public), ("client_id", PUBLIC_CLIENT)]].concat());
    assert_eq!((answer.status, answer.code()), (400, 700_082), "{}", answer.text);
}

#[test]
fn a_refresh_token_works_for_another_api() {
    let provider = Provider::start();
    let refresh_token = provider.redeem(&provider.code(), &[]).text_of("refresh_token");
    let fields = [
        REFRESH,
        &[("refresh_token", &refresh_token), ("scope", "api://older/use")],
    ]
    .concat();
    let answer = provider.token_as_site(&fields);
    let (_, claims) = provider.verified(&answer.text_of("access_token"));
    assert_eq!((&claims["aud"], &claims["scp"]), (&"api://older".into(), &"use".into()));
    assert!(answer.json()["id_token"].is_null(), "openid was not asked for");
}

/// The refresh token of a sign-in to the public client.
fn public_tokens(provider: &Provider) -> String {
    let redirect_uri = "http://localhost:7000/";
    let changes = [("client_id", PUBLIC_CLIENT), ("redirect_uri", redirect_uri)];
    let answer = Browser::new(provider).sign_in("alice@contoso.example", &changes);
    let code = answer.parameter("code").expect("a code");
    let tokens = provider.token(&[
        ("grant_type", "authorization_code"),
        ("client_id", PUBLIC_CLIENT),
        ("code", &code),
        ("redirect_uri", redirect_uri),
        ("code_verifier", VERIFIER),
    ]);
    let (_, claims) = provider.verified(&tokens.text_of("access_token"));
    assert_eq!(claims["azpacr"], "0", "a public client proves nothing");
    tokens.text_of("refresh_token")
}
