//! The control interface: what it does, and who may use it.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{
    client_assertion::{registered, unregistered},
    provider::{Provider, Response, SITE},
};
use crate::support::idp::agent;

#[test]
fn no_web_page_can_use_the_control_interface() {
    let provider = Provider::start();
    let url = provider.server.url("/_control/clock");
    let put = |header: (&str, &str)| {
        let request = agent()
            .put(&url)
            .header(header.0, header.1)
            .content_type("application/json");
        Response::new(request.send(r#"{"offset_seconds":0}"#)).status
    };
    assert_eq!(put(("Accept", "application/json")), 204);
    for header in [
        ("Origin", "https://evil.example"),
        ("Origin", "null"),
        ("Origin", provider.server.url("").as_str()),
        ("Sec-Fetch-Site", "cross-site"),
        ("Sec-Fetch-Site", "same-origin"),
        ("Host", "evil.example"),
        ("Host", "localhost.evil.example"),
    ] {
        assert_eq!(put(header), 403, "{header:?}");
    }
    let form = agent()
        .post(provider.server.url("/_control/tokens"))
        .send_form([("client_id", SITE)]);
    assert_eq!(Response::new(form).status, 400, "a form is not JSON");
}

#[test]
fn a_rotated_key_signs_and_the_old_one_stays_published_until_removed() {
    let provider = Provider::start();
    let old_token = provider.control.token().mint();
    let [old] = &provider.control.kids()[..] else {
        panic!("one key")
    };
    let new = provider.control.rotate_keys();
    assert_eq!(provider.control.kids(), [old.clone(), new.clone()]);
    assert_eq!(provider.verified(&old_token).0["kid"], json!(old));
    assert_eq!(provider.verified(&provider.control.token().mint()).0["kid"], json!(new));
    assert_eq!(
        provider
            .verified(&provider.control.token().sign_with("oldest").mint())
            .0["kid"],
        json!(old)
    );

    provider.control.remove_key(old);
    assert_eq!(provider.control.kids(), std::slice::from_ref(&new));
    provider.control.remove_key(&new);
    let [only] = &provider.control.kids()[..] else {
        panic!("there is always a key")
    };
    assert!(only != old && *only != new);
    let unknown = agent().delete(provider.server.url("/_control/keys/unknown")).call();
    assert_eq!(Response::new(unknown).status, 404);
}

#[test]
fn certificates_can_be_replaced_revoked_and_removed() {
    let provider = Provider::start();
    let signed_by = |identity| {
        let mut assertion = provider.assertion();
        assertion.use_certificate(identity);
        let answer = provider.token_for_app(&assertion.sign());
        (answer.status, answer.code())
    };
    assert_eq!(signed_by(registered()), (200, 0));

    provider.control.replace_certificates(SITE, &[&unregistered().pem()]);
    assert_eq!(
        [signed_by(registered()), signed_by(unregistered())],
        [(401, 700_027), (200, 0)]
    );
    provider
        .control
        .replace_certificates(SITE, &[&unregistered().pem(), &registered().pem()]);
    assert_eq!(
        [signed_by(registered()), signed_by(unregistered())],
        [(200, 0), (200, 0)],
        "as during a rotation"
    );
    provider.control.revoke_certificates(SITE, &[&registered().pem()]);
    assert_eq!(signed_by(registered()), (401, 7_000_214));
    provider.control.remove_certificates(SITE);
    assert_eq!(signed_by(registered()), (401, 700_027));
    let none = provider.token(&[("client_id", SITE), ("grant_type", "client_credentials")]);
    assert_eq!(
        none.code(),
        7_000_218,
        "without a certificate it is not a public client"
    );

    let bad = agent().put(provider.server.url(&format!("/_control/apps/{SITE}/certificates")));
    assert_eq!(
        Response::new(bad.send_json(json!({ "certificates": ["not PEM"] }))).status,
        400
    );
    let unknown = agent().put(provider.server.url("/_control/apps/unknown/certificates"));
    assert_eq!(
        Response::new(unknown.send_json(json!({ "certificates": [] }))).status,
        404
    );
}

#[test]
fn the_emulator_can_be_down_completely_or_in_part() {
    let provider = Provider::start();
    let status = |path: &str| provider.get(path).status;
    let (keys, configuration) = ("discovery/v2.0/keys", "v2.0/.well-known/openid-configuration");
    provider.control.down();
    assert_eq!([status(keys), status(configuration)], [503, 503]);
    provider.control.down_at(keys);
    assert_eq!([status(keys), status(configuration)], [503, 200]);
    provider.control.clear_faults();
    assert_eq!([status(keys), status(configuration)], [200, 200]);
}

#[test]
fn the_emulator_can_be_slow() {
    let provider = Provider::start();
    let delay = Duration::from_millis(200);
    provider.control.slow(delay);
    let started = Instant::now();
    assert_eq!(provider.get("discovery/v2.0/keys").status, 200);
    assert!(started.elapsed() >= delay);
}

#[test]
fn it_rejects_the_requested_number_of_token_requests() {
    let provider = Provider::start();
    let answer = || provider.token_for_app(&provider.assertion().sign());
    provider.control.fail_next(2, 700_024);
    for _ in 0..2 {
        let rejected = answer();
        assert_eq!((rejected.status, rejected.code()), (401, 700_024));
        assert_eq!(rejected.text_of("error"), "invalid_client");
    }
    assert_eq!(answer().status, 200);
    for (code, error) in [
        (54005, "invalid_grant"),
        (65001, "invalid_grant"),
        (700_016, "unauthorized_client"),
        (50076, "interaction_required"),
        (500_011, "invalid_resource"),
    ] {
        provider.control.fail_next(1, code);
        assert_eq!(answer().text_of("error"), error, "{code}");
    }
}

#[test]
fn requests_are_recorded_without_their_secrets() {
    let provider = Provider::start();
    let code = provider.code();
    let tokens = provider.redeem(&code, &[]);
    let requests = provider.control.requests_to("oauth2/v2.0/token");
    let [request] = &requests[..] else {
        panic!("one request: {requests:?}")
    };
    assert_eq!((&request["method"], &request["status"]), (&json!("POST"), &json!(200)));
    assert_eq!(
        (&request["grant_type"], &request["client_id"]),
        (&json!("authorization_code"), &json!(SITE))
    );
    assert_eq!(request["assertion_header"]["alg"], "PS256");
    assert!(request["assertion_claims"]["jti"].is_string());
    assert!(
        request["form_fields"]
            .as_array()
            .expect("names")
            .contains(&json!("code_verifier"))
    );
    let authorize = &provider.control.requests_to("oauth2/v2.0/authorize")[0];
    assert!(
        authorize["query_fields"]
            .as_array()
            .expect("names")
            .contains(&json!("nonce"))
    );

    let everything = json!(provider.control.requests()).to_string();
    for secret in [&code, &tokens.text_of("refresh_token"), &tokens.text_of("access_token")] {
        assert!(!everything.contains(secret.as_str()), "{everything}");
    }
    provider.control.forget_requests();
    assert_eq!(provider.control.requests(), Vec::<serde_json::Value>::new());
}

#[test]
fn signing_keys_outlive_restarts_rotated_or_not() {
    let folder = tempfile::tempdir().expect("a folder");
    let start = || Provider::with(|settings| settings.idp.signing_keys_file = Some(folder.path().join("keys.json")));
    let first = start();
    let (token, kids) = (first.control.token().mint(), first.control.kids());
    drop(first);
    let second = start();
    assert_eq!(second.control.kids(), kids);
    let rotated = second.control.rotate_keys();
    drop(second);
    let third = start();
    assert_eq!(third.control.kids(), [kids[0].clone(), rotated.clone()]);
    assert_eq!(
        third.verified(&token).0["kid"],
        json!(kids[0]),
        "a token from before two restarts"
    );
    assert_eq!(third.verified(&third.control.token().mint()).0["kid"], json!(rotated));
    third.control.remove_key(&kids[0]);
    drop(third);
    assert_eq!(start().control.kids(), [rotated]);
}
