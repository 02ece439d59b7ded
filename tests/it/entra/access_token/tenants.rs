//! Several tenants: issuer, `tid` and signing key must belong to the same one.

use blogctl::config::DEV_TENANT_ID;
use serde_json::{Value, json};

use super::{Fixture, OTHER_TENANT};
use crate::support::entra::{TestKey, keys};

#[test]
fn a_listed_tenant_is_accepted_if_issuer_and_tid_agree() {
    let fixture = Fixture::with(|settings| settings.tenants = vec![OTHER_TENANT.to_owned()]);
    let base = fixture.provider.url.as_str().trim_end_matches('/').to_owned();
    let third = "88888888-2222-4333-8444-555555555555";
    let issuer = |tenant: &str| json!(format!("{base}/{tenant}/v2.0"));
    let of = |issuer_tenant: &str, tid: &str| {
        fixture.token(|claims| {
            claims["iss"] = issuer(issuer_tenant);
            claims["tid"] = json!(tid);
        })
    };
    let principal = fixture
        .validator
        .validate(&of(OTHER_TENANT, OTHER_TENANT))
        .expect("a listed tenant");
    assert_eq!(principal.tenant_id().to_string(), OTHER_TENANT);
    assert_eq!(fixture.outcome(&of(DEV_TENANT_ID, DEV_TENANT_ID)), "ok");
    fixture.attack(
        "listed issuer, own tid",
        &of(OTHER_TENANT, DEV_TENANT_ID),
        "wrong_tenant",
    );
    fixture.attack(
        "own issuer, listed tid",
        &of(DEV_TENANT_ID, OTHER_TENANT),
        "wrong_tenant",
    );
    fixture.attack("unlisted tenant", &of(third, third), "wrong_issuer");
}

/// A published key with this `issuer`.
fn jwk_of(key: &TestKey, issuer: &str) -> Value {
    let mut jwk = key.jwk();
    jwk["issuer"] = json!(issuer);
    jwk
}

#[test]
fn a_key_whose_issuer_is_another_tenant_verifies_no_token_of_ours() {
    let fixture = Fixture::new();
    let base = fixture.provider.url.as_str().trim_end_matches('/').to_owned();
    let (plain, foreign) = (&keys()[0], &keys()[1]);
    for (name, issuer, expected) in [
        ("a key of this tenant", fixture.provider.issuer_v2(), "ok"),
        ("a key of this tenant, v1", fixture.provider.issuer_v1(), "ok"),
        ("a key of every tenant", format!("{base}/{{tenantid}}/v2.0"), "ok"),
        (
            "a key of another tenant",
            format!("{base}/{OTHER_TENANT}/v2.0"),
            "unknown_key",
        ),
        (
            "a key of another tenant, v1",
            format!("{base}/{OTHER_TENANT}/"),
            "unknown_key",
        ),
        (
            "a key of another cloud",
            format!("https://login.microsoftonline.us/{DEV_TENANT_ID}/v2.0"),
            "unknown_key",
        ),
        (
            "a key with a template for the host",
            format!("{{tenantid}}/{DEV_TENANT_ID}/v2.0"),
            "unknown_key",
        ),
        ("a key with an empty issuer", String::new(), "unknown_key"),
    ] {
        fixture.provider.publish(&[plain.jwk(), jwk_of(foreign, &issuer)]);
        fixture.entra.refresh_keys().expect("keys");
        for version in [fixture.provider.issuer_v2(), fixture.provider.issuer_v1()] {
            let mut claims = fixture.provider.access_claims();
            claims["iss"] = json!(version);
            let token = foreign.sign(&claims);
            if expected == "ok" {
                assert_eq!(fixture.outcome(&token), "ok", "{name}");
            } else {
                fixture.attack(name, &token, expected);
            }
        }
        assert_eq!(
            fixture.outcome(&fixture.token(|_| {})),
            "ok",
            "{name}: the other key goes on"
        );
    }
}

#[test]
fn each_tenant_has_its_own_keys() {
    let fixture = Fixture::with(|settings| settings.tenants = vec![OTHER_TENANT.to_owned()]);
    let base = fixture.provider.url.as_str().trim_end_matches('/').to_owned();
    let [ours, theirs] = keys();
    let issuer = |tenant: &str| format!("{base}/{tenant}/v2.0");
    fixture.provider.publish(&[
        jwk_of(ours, &issuer(DEV_TENANT_ID)),
        jwk_of(theirs, &issuer(OTHER_TENANT)),
    ]);
    fixture.entra.refresh_keys().expect("keys");
    let token = |key: &TestKey, iss: &str, tid: &str| {
        let mut claims = fixture.provider.access_claims();
        claims["iss"] = json!(issuer(iss));
        claims["tid"] = json!(tid);
        key.sign(&claims)
    };
    assert_eq!(fixture.outcome(&token(ours, DEV_TENANT_ID, DEV_TENANT_ID)), "ok");
    assert_eq!(fixture.outcome(&token(theirs, OTHER_TENANT, OTHER_TENANT)), "ok");
    fixture.attack(
        "our token by their key",
        &token(theirs, DEV_TENANT_ID, DEV_TENANT_ID),
        "unknown_key",
    );
    fixture.attack(
        "their token by our key",
        &token(ours, OTHER_TENANT, OTHER_TENANT),
        "unknown_key",
    );
    fixture.attack(
        "their key, their issuer, our tid",
        &token(theirs, OTHER_TENANT, DEV_TENANT_ID),
        "wrong_tenant",
    );
    fixture.attack(
        "their key, our issuer, their tid",
        &token(theirs, DEV_TENANT_ID, OTHER_TENANT),
        "unknown_key",
    );
}

#[test]
fn tokens_are_rejected_when_their_key_moves_to_another_tenant() {
    let fixture = Fixture::new();
    let token = keys()[1].sign(&fixture.provider.access_claims());
    fixture.provider.publish(&[keys()[0].jwk(), keys()[1].jwk()]);
    fixture.entra.refresh_keys().expect("keys");
    assert_eq!(fixture.outcome(&token), "ok");
    let elsewhere = format!("{}{OTHER_TENANT}/v2.0", fixture.provider.url);
    fixture
        .provider
        .publish(&[keys()[0].jwk(), jwk_of(&keys()[1], &elsewhere)]);
    fixture.entra.refresh_keys().expect("keys");
    fixture.attack(
        "a token verified before its key became another tenant's",
        &token,
        "unknown_key",
    );
}
