//! The contents of tokens, and invalid token requests.

use blogctl::config::{DEV_API_ID, DEV_TENANT_ID};
use serde_json::{Value, json};

use super::provider::{Browser, CALLBACK, OTHER_SITE, PUBLIC_CLIENT, Provider, SCOPE, SITE, VERIFIER};

fn tokens(provider: &Provider, email: &str, changes: &[(&str, &str)]) -> Value {
    let code = Browser::new(provider)
        .sign_in(email, changes)
        .parameter("code")
        .expect("a code");
    let answer = provider.redeem(&code, &[]);
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.json()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("no {name}: {value}"))
}

#[test]
fn an_id_token_says_who_signed_in() {
    let provider = Provider::start();
    let now = chrono::Utc::now().timestamp();
    let (header, claims) = provider.verified(text(&tokens(&provider, "alice@contoso.example", &[]), "id_token"));
    assert_eq!(header["typ"], "JWT");
    for (name, expected) in [
        ("aud", json!(SITE)),
        ("iss", json!(provider.issuer())),
        ("tid", json!(DEV_TENANT_ID)),
        ("oid", json!(provider.settings.idp.users[0].oid)),
        ("name", json!("Alice Archer")),
        ("preferred_username", json!("alice@contoso.example")),
        ("email", json!("alice@contoso.example")),
        ("nonce", json!("the nonce")),
        ("ver", json!("2.0")),
    ] {
        assert_eq!(claims[name], expected, "{name}");
    }
    for name in ["sub", "sid", "uti", "login_hint"] {
        assert!(claims[name].as_str().is_some_and(|value| !value.is_empty()), "{name}");
    }
    let time = |name: &str| claims[name].as_i64().expect("an integer");
    assert!((now..=now + 60).contains(&time("iat")) && time("nbf") == time("iat"));
    assert_eq!(time("exp") - time("iat"), 3600);
    assert!(!claims.contains_key("roles"), "the site defines no roles");
}

#[test]
fn a_subject_differs_between_applications_and_not_between_sign_ins() {
    let provider = Provider::start();
    let subjects = |email: &str| {
        let tokens = tokens(&provider, email, &[]);
        ["id_token", "access_token"].map(|name| provider.verified(text(&tokens, name)).1["sub"].clone())
    };
    let [site, api] = subjects("alice@contoso.example");
    assert_ne!(site, api);
    assert_eq!([site, api], subjects("alice@contoso.example"));
    assert_ne!(subjects("alice@contoso.example"), subjects("bob@contoso.example"));
}

#[test]
fn a_v2_access_token_has_the_claims_of_entra() {
    let provider = Provider::start();
    let tokens = tokens(&provider, "alice@contoso.example", &[]);
    let (header, claims) = provider.verified(text(&tokens, "access_token"));
    assert!(!header.contains_key("x5t"));
    for (name, expected) in [
        ("aud", json!(DEV_API_ID)),
        ("iss", json!(provider.issuer())),
        ("azp", json!(SITE)),
        ("azpacr", json!("2")),
        ("scp", json!("access_as_user")),
        ("roles", json!(["Blog.Writer"])),
        ("ver", json!("2.0")),
        ("preferred_username", json!("alice@contoso.example")),
    ] {
        assert_eq!(claims[name], expected, "{name}");
    }
    for name in ["appid", "upn", "unique_name", "nonce"] {
        assert!(!claims.contains_key(name), "{name}");
    }
    assert_eq!(
        (text(&tokens, "token_type"), tokens["expires_in"].as_i64()),
        ("Bearer", Some(3600))
    );
    assert_eq!(text(&tokens, "scope"), SCOPE);
}

#[test]
fn a_v1_access_token_has_the_claims_of_entra() {
    let provider = Provider::start();
    let tokens = tokens(&provider, "bob@contoso.example", &[("scope", "openid api://older/use")]);
    let (header, claims) = provider.verified(text(&tokens, "access_token"));
    assert_eq!(header["x5t"], header["kid"]);
    for (name, expected) in [
        ("aud", json!("api://older")),
        ("iss", json!(provider.url(""))),
        ("appid", json!(SITE)),
        ("appidacr", json!("2")),
        ("scp", json!("use")),
        ("ver", json!("1.0")),
        ("upn", json!("bob@contoso.example")),
        ("unique_name", json!("bob@contoso.example")),
    ] {
        assert_eq!(claims[name], expected, "{name}");
    }
    for name in ["azp", "azpacr", "preferred_username", "roles"] {
        assert!(!claims.contains_key(name), "{name}");
    }
    let (_, id_claims) = provider.verified(text(&tokens, "id_token"));
    assert_eq!(
        id_claims["ver"], "2.0",
        "the version follows the API, and the ID token is not for it"
    );
}

#[test]
fn an_id_token_needs_openid_and_a_refresh_token_needs_offline_access() {
    let provider = Provider::start();
    let api = format!("api://{DEV_API_ID}/access_as_user");
    for (scope, id_token, refresh_token) in [
        (api.clone(), false, false),
        (format!("openid {api}"), true, false),
        (format!("offline_access {api}"), false, true),
    ] {
        let tokens = tokens(&provider, "alice@contoso.example", &[("scope", &scope)]);
        assert_eq!(
            (tokens["id_token"].is_string(), tokens["refresh_token"].is_string()),
            (id_token, refresh_token)
        );
    }
}

#[test]
fn without_an_api_the_access_token_is_for_graph() {
    let provider = Provider::start();
    let tokens = tokens(&provider, "alice@contoso.example", &[("scope", "openid profile")]);
    let (_, claims) = provider.verified(text(&tokens, "access_token"));
    assert_eq!(claims["aud"], "00000003-0000-0000-c000-000000000000");
}

#[test]
fn the_default_scope_stands_for_all_that_the_api_exposes() {
    let provider = Provider::start();
    for scope in [format!("api://{DEV_API_ID}/.default"), format!("{DEV_API_ID}/.default")] {
        let tokens = tokens(&provider, "alice@contoso.example", &[("scope", &scope)]);
        let (_, claims) = provider.verified(text(&tokens, "access_token"));
        assert_eq!(
            (&claims["scp"], &claims["aud"]),
            (&json!("access_as_user posts.read"), &json!(DEV_API_ID))
        );
    }
}

#[test]
fn an_app_only_token_has_granted_roles_and_neither_scopes_nor_a_user() {
    let provider = Provider::start();
    let answer = provider.token_for_app(&provider.assertion().sign());
    let (_, claims) = provider.verified(&answer.text_of("access_token"));
    assert_eq!(
        (&claims["roles"], &claims["azp"]),
        (&json!(["Posts.Read.All"]), &json!(SITE))
    );
    assert_eq!(claims["sub"], claims["oid"], "the service principal");
    for name in ["scp", "name", "preferred_username", "email", "sid"] {
        assert!(!claims.contains_key(name), "{name}");
    }
    for field in ["refresh_token", "id_token", "scope"] {
        assert!(answer.json()[field].is_null(), "{field}");
    }
    assert_eq!(answer.header("Cache-Control"), "no-store");
}

#[test]
fn a_token_request_that_breaks_a_rule_is_rejected() {
    let provider = Provider::start();
    let grant = [("grant_type", "client_credentials"), ("scope", "api://older/.default")];
    let jwt_bearer = (
        "client_assertion_type",
        "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
    );
    let client = ("client_id", SITE);
    let assertion = || provider.assertion().sign();
    let (first, second, third, fourth) = (assertion(), assertion(), assertion(), assertion());
    for (name, fields, status, code) in [
        ("no credential", vec![client], 401, 7_000_218),
        ("a secret", vec![client, ("client_secret", "s3cret")], 401, 7_000_215),
        (
            "a secret and an assertion",
            vec![client, jwt_bearer, ("client_assertion", &first), ("client_secret", "x")],
            401,
            7_000_215,
        ),
        (
            "no assertion type",
            vec![client, ("client_assertion", &second)],
            400,
            900_144,
        ),
        (
            "another assertion type",
            vec![
                client,
                ("client_assertion", &third),
                (
                    "client_assertion_type",
                    "urn:ietf:params:oauth:client-assertion-type:saml2-bearer",
                ),
            ],
            401,
            70002,
        ),
        (
            "unknown client",
            vec![("client_id", "unknown"), jwt_bearer, ("client_assertion", &fourth)],
            400,
            700_016,
        ),
        ("no client", vec![jwt_bearer], 400, 900_144),
        ("client twice", vec![client, ("client_id", OTHER_SITE)], 400, 9_000_411),
        (
            "public client with a secret",
            vec![("client_id", PUBLIC_CLIENT), ("client_secret", "x")],
            400,
            700_025,
        ),
        (
            "public client for itself",
            vec![("client_id", PUBLIC_CLIENT)],
            401,
            7_000_218,
        ),
        (
            "API without certificate",
            vec![("client_id", DEV_API_ID)],
            401,
            7_000_218,
        ),
    ] {
        let answer = provider.token(&[&grant[..], &fields].concat());
        assert_eq!(
            (answer.status, answer.code()),
            (status, code),
            "{name}: {}",
            answer.text
        );
    }
    for (name, fields, error, code) in [
        (
            "no grant type",
            &[("scope", "api://older/.default")][..],
            "invalid_request",
            900_144,
        ),
        (
            "password grant",
            &[("grant_type", "password")],
            "unsupported_grant_type",
            70003,
        ),
        (
            "no scope",
            &[("grant_type", "client_credentials")],
            "invalid_request",
            900_144,
        ),
        (
            "a user's scope",
            &[("grant_type", "client_credentials"), ("scope", "api://older/use")],
            "invalid_scope",
            1_002_012,
        ),
        (
            "two scopes",
            &[
                ("grant_type", "client_credentials"),
                ("scope", "openid api://older/.default"),
            ],
            "invalid_scope",
            1_002_012,
        ),
        (
            "unknown API",
            &[
                ("grant_type", "client_credentials"),
                ("scope", "api://unknown/.default"),
            ],
            "invalid_resource",
            500_011,
        ),
    ] {
        let answer = provider.token_as_site(fields);
        assert_eq!(
            (answer.status, answer.text_of("error").as_str(), answer.code()),
            (400, error, code),
            "{name}"
        );
    }
}

#[test]
fn only_a_form_without_an_authorization_header_is_a_token_request() {
    let provider = Provider::start();
    let url = provider.url("oauth2/v2.0/token");
    let agent = crate::support::idp::agent();
    let basic = agent
        .post(&url)
        .header("Authorization", "Basic YTpi")
        .send_form([("grant_type", "client_credentials")]);
    assert_eq!(super::provider::Response::new(basic).code(), 7_000_215);
    let json = agent
        .post(&url)
        .content_type("application/json")
        .send(r#"{"grant_type":"client_credentials"}"#);
    assert_eq!(super::provider::Response::new(json).code(), 900_561);
    assert_eq!(super::provider::Response::new(agent.get(&url).call()).status, 404);
}

#[test]
fn a_correlation_id_is_echoed() {
    let provider = Provider::start();
    let url = provider.url("oauth2/v2.0/token");
    let id = "12345678-1234-4234-8234-123456789abc";
    let post = |id: &str| {
        let request = crate::support::idp::agent().post(&url).header("client-request-id", id);
        super::provider::Response::new(request.send_form([("client_id", SITE)])).text_of("correlation_id")
    };
    assert_eq!(post(id), id);
    assert_ne!(post("<not a guid>"), "<not a guid>");
}

#[test]
fn client_info_is_returned_on_request() {
    let provider = Provider::start();
    let answer = provider.redeem(&provider.code(), &[("client_info", "1")]);
    assert!(!answer.text_of("client_info").is_empty());
    let without = provider.redeem(
        &provider.code(),
        &[("redirect_uri", CALLBACK), ("code_verifier", VERIFIER)],
    );
    assert!(without.json()["client_info"].is_null());
}
