//! Discovery document and key set.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use blogctl::config::DEV_TENANT_ID;
use openssl::{hash::MessageDigest, x509::X509};
use url::Url;

use super::provider::{Provider, Response};
use crate::support::idp::agent;

fn configuration(provider: &Provider, tenant: &str) -> Response {
    let url = provider
        .server
        .url(&format!("/{tenant}/v2.0/.well-known/openid-configuration"));
    Response::new(agent().get(url).call())
}

#[test]
fn discovery_names_the_tenant_and_its_endpoints() {
    let provider = Provider::start();
    for tenant in [DEV_TENANT_ID, "contoso.example"] {
        let found = configuration(&provider, tenant);
        for (name, path) in [
            ("issuer", "v2.0"),
            ("authorization_endpoint", "oauth2/v2.0/authorize"),
            ("token_endpoint", "oauth2/v2.0/token"),
            ("end_session_endpoint", "oauth2/v2.0/logout"),
            ("jwks_uri", "discovery/v2.0/keys"),
        ] {
            assert_eq!(found.text_of(name), provider.url(path), "{tenant} {name}");
        }
    }
}

#[test]
fn servers_and_browsers_may_reach_it_at_different_addresses() {
    let provider = Provider::with(|settings| {
        settings.idp.server_url = Some(Url::parse("http://idp:9000").expect("a URL"));
    });
    let found = configuration(&provider, DEV_TENANT_ID);
    let for_servers = |path: &str| format!("http://idp:9000/{DEV_TENANT_ID}/{path}");
    for (name, expected) in [
        ("issuer", for_servers("v2.0")),
        ("token_endpoint", for_servers("oauth2/v2.0/token")),
        ("jwks_uri", for_servers("discovery/v2.0/keys")),
        ("authorization_endpoint", provider.url("oauth2/v2.0/authorize")),
        ("end_session_endpoint", provider.url("oauth2/v2.0/logout")),
    ] {
        assert_eq!(found.text_of(name), expected, "{name}");
    }
    let (_token, claims) = provider.control.token().mint_with_claims();
    assert_eq!(claims["iss"], for_servers("v2.0"));
}

#[test]
fn discovery_for_many_tenants_has_a_template_for_issuer() {
    let provider = Provider::start();
    for tenant in ["common", "organizations"] {
        let found = configuration(&provider, tenant);
        assert_eq!(found.text_of("issuer"), provider.server.url("/{tenantid}/v2.0"));
        assert_eq!(
            found.text_of("token_endpoint"),
            provider.server.url(&format!("/{tenant}/oauth2/v2.0/token"))
        );
    }
}

#[test]
fn another_tenant_is_not_found() {
    let provider = Provider::start();
    for path in ["v2.0/.well-known/openid-configuration", "discovery/v2.0/keys"] {
        let url = provider.server.url(&format!("/fabrikam.example/{path}"));
        let answer = Response::new(agent().get(url).call());
        assert_eq!((answer.status, answer.code()), (400, 90002), "{}", answer.text);
    }
}

#[test]
fn the_host_header_does_not_change_any_url() {
    let provider = Provider::start();
    let url = provider.url("v2.0/.well-known/openid-configuration");
    let answer = Response::new(
        agent()
            .get(url)
            .header("Host", "evil.example")
            .header("X-Forwarded-Host", "evil.example")
            .call(),
    );
    assert_eq!(answer.text_of("issuer"), provider.issuer());
    assert!(!answer.text.contains("evil"), "{}", answer.text);
}

#[test]
fn keys_are_published_as_entra_does() {
    let provider = Provider::start();
    let keys = provider.get("discovery/v2.0/keys").json();
    let key = &keys["keys"][0];
    for (name, expected) in [("kty", "RSA"), ("use", "sig"), ("e", "AQAB")] {
        assert_eq!(key[name], expected, "{name}");
    }
    assert_eq!(
        (&key["kid"], key["issuer"].as_str()),
        (&key["x5t"], Some(provider.issuer().as_str()))
    );
    assert!(
        key.get("alg").is_none(),
        "Entra names no algorithm: a client must pin it"
    );
    assert!(key.get("d").is_none(), "the private half stays here");

    let der = STANDARD.decode(key["x5c"][0].as_str().expect("text")).expect("base64");
    let certificate = X509::from_der(&der).expect("a certificate");
    let thumbprint = certificate.digest(MessageDigest::sha1()).expect("a digest");
    assert_eq!(key["x5t"], URL_SAFE_NO_PAD.encode(thumbprint));
    let modulus = certificate
        .public_key()
        .and_then(|key| key.rsa())
        .expect("RSA")
        .n()
        .to_vec();
    assert_eq!(key["n"], URL_SAFE_NO_PAD.encode(modulus));
}

#[test]
fn its_pages_say_that_it_is_an_emulator() {
    let provider = Provider::start();
    let home = Response::new(agent().get(provider.server.url("/")).call());
    assert!(
        home.text.contains("Alice Archer") && home.text.contains("The &lt;Site&gt;"),
        "{}",
        home.text
    );
    let error = Response::new(agent().get(provider.server.url("/error?code=700027")).call());
    assert!(error.text.contains("AADSTS700027"), "{}", error.text);
    for (path, content_type) in [
        ("/_assets/idp.css", "text/css; charset=utf-8"),
        ("/_assets/icon.svg", "image/svg+xml"),
    ] {
        let asset = Response::new(agent().get(provider.server.url(path)).call());
        assert_eq!((asset.status, asset.header("Content-Type")), (200, content_type));
    }
}
