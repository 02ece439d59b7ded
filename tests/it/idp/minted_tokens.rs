//! Minted tokens: valid except for what the test requests.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use blogctl::config::DEV_API_ID;
use serde_json::{Map, Value, json};

use super::provider::{OTHER_SITE, Provider, Response, SITE, verify};
use crate::support::idp::agent;

fn parts(token: &str) -> (Map<String, Value>, Map<String, Value>, String) {
    let parts: Vec<&str> = token.split('.').collect();
    let [header, claims, signature] = parts[..] else {
        panic!("three parts: {token}")
    };
    let decode = |part: &str| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).expect("base64url")).expect("JSON");
    (decode(header), decode(claims), signature.to_owned())
}

#[test]
fn a_minted_token_is_valid_by_default() {
    let provider = Provider::start();
    let (token, claims) = provider.control.token().mint_with_claims();
    let (_, verified) = provider.verified(&token);
    assert_eq!(verified, claims);
    assert_eq!(
        (&claims["aud"], &claims["scp"]),
        (&json!(DEV_API_ID), &json!("access_as_user"))
    );
    assert_eq!(
        (&claims["azp"], &claims["name"]),
        (&json!(SITE), &json!("Alice Archer"))
    );
}

#[test]
fn claims_and_header_are_as_requested() {
    let provider = Provider::start();
    let bob = provider.settings.idp.users[1].oid.clone();
    let (_, claims) = provider.verified(
        &provider
            .control
            .token()
            .user(&bob)
            .client(OTHER_SITE)
            .scope("a b")
            .mint(),
    );
    assert_eq!(
        [&claims["oid"], &claims["azp"], &claims["scp"]],
        [&json!(bob), &json!(OTHER_SITE), &json!("a b")]
    );
    let (_, claims) = provider.verified(
        &provider
            .control
            .token()
            .oid("x")
            .without_claim("tid")
            .claim("iss", json!(7))
            .mint(),
    );
    assert_eq!(
        (&claims["oid"], claims.get("tid"), &claims["iss"]),
        (&json!("x"), None, &json!(7))
    );
    let (header, ..) = parts(
        &provider
            .control
            .token()
            .header("kid", json!("unknown"))
            .without_header("typ")
            .mint(),
    );
    assert_eq!((&header["kid"], header.get("typ")), (&json!("unknown"), None));

    let now = chrono::Utc::now().timestamp();
    let (_, expired) = provider.verified(&provider.control.token().expired().mint());
    assert!(expired["exp"].as_i64().expect("an integer") < now);
    let (_, early) = provider.verified(&provider.control.token().not_yet_valid().mint());
    assert!(early["nbf"].as_i64().expect("an integer") > now);
}

#[test]
fn every_kind_and_version_can_be_minted() {
    let provider = Provider::start();
    let (_, v1) = provider.verified(&provider.control.token().v1().mint());
    assert_eq!(
        (&v1["ver"], &v1["aud"]),
        (&json!("1.0"), &json!(format!("api://{DEV_API_ID}")))
    );
    let (_, app) = provider.verified(&provider.control.token().app_only().mint());
    assert_eq!((app.get("scp"), &app["roles"]), (None, &json!(["Posts.Read.All"])));
    let (_, id) = provider.verified(&provider.control.token().id_token().mint());
    assert_eq!(id["aud"], SITE);
}

#[test]
fn signatures_are_as_requested() {
    let provider = Provider::start();
    let keys = provider.get("discovery/v2.0/keys").json();
    let kid = &keys["keys"][0]["kid"];
    for (how, alg) in [
        ("none", "none"),
        ("hmac_with_public_key", "HS256"),
        ("ps256", "PS256"),
        ("rs384", "RS384"),
    ] {
        let (header, _, signature) = parts(&provider.control.token().sign_with(how).mint());
        assert_eq!((&header["alg"], &header["kid"]), (&json!(alg), kid), "{how}");
        assert_eq!(signature.is_empty(), how == "none");
    }
    let foreign = provider.control.token().sign_with("foreign").mint();
    let (header, ..) = parts(&foreign);
    assert_eq!((&header["alg"], &header["kid"]), (&json!("RS256"), kid));
    let outcome = std::panic::catch_unwind(|| verify(&foreign, &keys));
    assert!(outcome.is_err(), "no published key made it");
}

#[test]
fn an_invalid_request_for_a_token_is_rejected() {
    let provider = Provider::start();
    for order in [
        json!({ "client_id": "unknown", "scope": "openid" }),
        json!({ "client_id": SITE, "scope": "api://unknown/use" }),
        json!({ "client_id": SITE, "scope": "openid", "oid": "unknown" }),
        json!({ "client_id": SITE, "scope": "openid", "misspelt": true }),
        json!({ "client_id": SITE }),
    ] {
        let answer = agent().post(provider.server.url("/_control/tokens")).send_json(&order);
        assert_eq!(Response::new(answer).status, 400, "{order}");
    }
}
