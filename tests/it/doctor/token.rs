//! `blogctl doctor --token`: why the API accepts or rejects an access token, claim by claim.

use std::{fs, process::Stdio};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use blogctl::config::{DEV_API_ID, DEV_TENANT_ID};
use serde_json::Value;

use super::DoctorSetup;
use crate::support::{
    binary::{CommandOutput, blogctl},
    idp::TokenBuilder,
};

/// Passes a token to doctor on standard input.
fn explain(setup: &DoctorSetup, token: &str) -> CommandOutput {
    let path = setup.folder.path().join("stdin.txt");
    fs::write(&path, token).expect("written");
    let mut command = blogctl(setup.folder.path());
    command
        .args(["doctor", "--token", "-"])
        .stdin(Stdio::from(fs::File::open(&path).expect("written")));
    let output = CommandOutput::from_command(&mut command);
    let signature = token.rsplit('.').next().filter(|part| part.len() > 100);
    for text in [&output.stdout, &output.stderr] {
        assert!(signature.is_none_or(|signature| !text.contains(signature)), "{text}");
        for secret in ["eyJ", "alice@contoso.example", "Alice Archer"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
    output
}

#[test]
fn a_valid_token_is_accepted_in_every_pasted_form() {
    let setup = DoctorSetup::new();
    let token = setup.control().token().mint();
    let (first, rest) = token.split_at(80);
    for pasted in [
        token.clone(),
        format!("Bearer {token}\n"),
        format!("Authorization: bearer {token}"),
        format!("\"{token}\""),
        format!("{first}\n{rest}\n"),
        format!("\u{feff}{token}"),
        format!("{{\"accessToken\":\"{token}\",\"expiresOn\":\"2026-01-01\"}}"),
    ] {
        let output = explain(&setup, &pasted);
        assert_eq!(output.code, Some(0), "{output:?}");
        assert!(output.stdout.contains("✓ the API accepts this token"), "{output:?}");
    }
    for bytes_of in [u16::to_le_bytes, u16::to_be_bytes] {
        let of_powershell: Vec<u8> = format!("\u{feff}{token}\r\n")
            .encode_utf16()
            .flat_map(bytes_of)
            .collect();
        fs::write(setup.folder.path().join("token.txt"), of_powershell).expect("written");
        let output = CommandOutput::run(setup.folder.path(), &["doctor", "--token", "token.txt"]);
        assert_eq!(output.code, Some(0), "{output:?}");
    }
    let output = CommandOutput::run(setup.folder.path(), &["doctor", "--token", "missing.txt"]);
    assert_eq!(output.code, Some(1), "{output:?}");
}

#[test]
fn the_claims_behind_the_outcome_are_shown() {
    let setup = DoctorSetup::new();
    let nested = setup.control().token().header("cty", "JWT".into()).mint();
    let output = explain(&setup, &nested);
    assert!(
        output.code == Some(1)
            && output
                .stdout
                .lines()
                .any(|line| line.contains("cty") && line.contains("JWT")),
        "{output:?}"
    );
    let typed = setup.control().token().header("typ", "dpop+jwt".into()).mint();
    let output = explain(&setup, &typed);
    assert!(
        output.code == Some(1) && output.stdout.contains("dpop+jwt"),
        "{output:?}"
    );
    // A complete response of a token endpoint, as users paste it.
    let good = setup.control().token().mint();
    let answer = serde_json::json!({ "token_type": "Bearer", "access_token": good, "expires_in": 3600 });
    assert_eq!(explain(&setup, &answer.to_string()).code, Some(0));
}

#[test]
fn each_rejected_token_gets_an_explanation_and_a_hint() {
    let setup = DoctorSetup::new();
    let control = setup.control();
    let token = |change: fn(TokenBuilder<'_>) -> TokenBuilder<'_>| change(control.token()).mint();
    let scope = format!("api://{DEV_API_ID}/access_as_user");
    for (token, expected_text, remedy) in [
        (control.token().expired().mint(), "has expired", "get a new token"),
        (control.token().not_yet_valid().mint(), "not valid yet", "clock"),
        (
            control.token().app_only().mint(),
            "without a user",
            "let a user sign in",
        ),
        (
            control.token().id_token().mint(),
            "this is an ID token",
            "access_token in the response of the token endpoint",
        ),
        (
            token(|token| token.claim("aud", "00000003-0000-0000-c000-000000000000".into())),
            "Microsoft Graph",
            &scope,
        ),
        (
            token(|token| token.claim("aud", "api://other".into())),
            "aud is not this API",
            "api.app_id_uri",
        ),
        (
            token(|token| token.scope("other")),
            "lacks the scope access_as_user",
            "API permissions",
        ),
        (
            token(|token| token.claim("tid", "99999999-2222-4333-8444-555555555555".into())),
            "tid",
            "entra.tenant_id",
        ),
        (
            token(|token| token.sign_with("foreign")),
            "signature is not valid",
            "whole and unchanged",
        ),
        (
            token(|token| token.sign_with("none").header("alg", "none".into())),
            "is not signed, so anyone",
            &scope,
        ),
        (token(|token| token.without_claim("oid")), "no oid claim", &scope),
        ("a.b.c.d.e".to_owned(), "encrypted (JWE)", &scope),
        ("0.AXoAq1w2e3".replace('.', ""), "this is not a JWT", &scope),
        ("{\"access_token\":\"x.y\"}".to_owned(), "not a signed JWT", "not JSON"),
    ] {
        let output = explain(&setup, &token);
        assert_eq!(output.code, Some(1), "{expected_text}: {output:?}");
        assert!(
            output.stdout.contains(expected_text) && output.stdout.contains(remedy),
            "{expected_text}: {}",
            output.stdout
        );
    }
    let two = format!("{0}\n{0}\n", control.token().mint());
    let error = "{\"error\":\"invalid_grant\",\"error_description\":\"AADSTS70008: …\"}";
    for (nothing, expected_text) in [
        ("", "contains no token"),
        (" \n", "contains no token"),
        ("Bearer ", "contains no token"),
        (&two, "contains several tokens"),
        (error, "an error of the token endpoint, invalid_grant"),
    ] {
        let output = explain(&setup, nothing);
        assert!(
            output.code == Some(2) && output.stderr.contains(expected_text),
            "{output:?}"
        );
    }
}

#[test]
fn every_wrong_claim_is_marked_and_the_first_one_explained() {
    let setup = DoctorSetup::new();
    let token = setup
        .control()
        .token()
        .expired()
        .scope("other")
        .claim("aud", "api://other".into())
        .mint();
    let output = explain(&setup, &token);
    let marked: Vec<_> = output.stdout.lines().filter(|line| line.starts_with('✗')).collect();
    let names: Vec<_> = marked
        .iter()
        .map(|line| line.split_whitespace().nth(1).expect("a name"))
        .collect();
    assert_eq!(names, ["aud", "scp", "exp", "access"], "{}", output.stdout);
    assert!(marked[3].contains("aud is not this API"), "{}", output.stdout);
}

#[test]
fn json_is_printed_even_without_a_token() {
    let setup = DoctorSetup::new();
    let path = setup.folder.path().join("input");
    for (input, code, expected_text) in [
        (&b""[..], 2, "contains no token"),
        (b"\x80\xff\x00binary", 1, "is not text"),
        (b"{\"error\":\"invalid_grant\"}", 2, "an error of the token endpoint"),
        (b"{\"value\":\"x.y.z\"}", 2, "contains JSON without access_token"),
    ] {
        fs::write(&path, input).expect("written");
        let output = CommandOutput::run(setup.folder.path(), &["doctor", "--token", "input", "--json"]);
        assert_eq!(output.code, Some(code), "{output:?}");
        let report: Value = serde_json::from_str(&output.stdout).expect("JSON");
        let outcome = &report["verdict"];
        assert_eq!(
            (&outcome["accepted"], &outcome["code"]),
            (&false.into(), &"no_token".into()),
            "{report:#}"
        );
        assert!(
            outcome["sentence"].as_str().expect("text").contains(expected_text),
            "{report:#}"
        );
        assert_eq!(report["claims"], serde_json::json!([]));
    }
}

#[test]
fn the_unreadable_claim_is_named() {
    let setup = DoctorSetup::new();
    let control = setup.control();
    let printed = |output: &CommandOutput| output.stdout.clone();
    for (claim, value, fault, is_shown) in [
        (
            "exp",
            Value::from("tomorrow"),
            "exp is not a whole number of seconds",
            true,
        ),
        ("scp", serde_json::json!(["access_as_user"]), "scp is not text", true),
        ("roles", "Blog.Admin".into(), "roles is not an array of texts", true),
        ("acrs", 1.into(), "acrs is neither text nor an array of texts", true),
        (
            "email",
            serde_json::json!(["alice@contoso.example"]),
            "email is not text",
            false,
        ),
    ] {
        let output = explain(&setup, &control.token().claim(claim, value).mint());
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(
            printed(&output).contains(&format!("the claim {fault}")),
            "{}",
            printed(&output)
        );
        let is_marked = printed(&output)
            .lines()
            .any(|line| line.starts_with(&format!("✗ {claim} ")));
        assert_eq!(is_marked, is_shown, "{}", printed(&output));
    }
    // Without keys, no signature is checked.
    let token = control.token().mint();
    let mut parts: Vec<_> = token.split('.').map(str::to_owned).collect();
    let payload = String::from_utf8(URL_SAFE_NO_PAD.decode(&parts[1]).expect("base64url")).expect("text");
    parts[1] = URL_SAFE_NO_PAD.encode(payload.replacen('{', "{\"aud\":\"api://other\",", 1));
    control.down();
    let output = explain(&setup, &parts.join("."));
    control.clear_faults();
    assert!(
        printed(&output).contains("the claim aud occurs more than once"),
        "{}",
        printed(&output)
    );

    // An array with one audience counts as one.
    let one = control
        .token()
        .claim("aud", serde_json::json!([format!("api://{DEV_API_ID}")]))
        .expired()
        .mint();
    let output = explain(&setup, &one);
    assert!(
        !printed(&output).lines().any(|line| line.starts_with("✗ aud")),
        "{}",
        printed(&output)
    );
}

#[test]
fn a_token_for_graph_is_explained_claim_by_claim() {
    let setup = DoctorSetup::new();
    let fixed = [
        ("iat", 1_900_000_000_i64),
        ("nbf", 1_900_000_000),
        ("exp", 1_900_003_600),
    ];
    let control = setup.control();
    let token = control
        .token()
        .claim("aud", "00000003-0000-0000-c000-000000000000".into());
    let token = fixed
        .iter()
        .fold(token, |token, (name, time)| token.claim(name, (*time).into()));
    let kid = setup.control().kids().pop().expect("a key");
    let shown = setup.shown(&explain(&setup, &token.mint())).replace(&kid, "KID");
    assert!(shown.contains(" not valid for another "), "{shown}");
    let shown: Vec<_> = shown
        .lines()
        .filter(|line| !line.trim_start().starts_with("in ") && !line.contains("only in "))
        // Each day it is one less.
        .filter(|line| !line.contains("not valid for another"))
        .collect();
    insta::assert_snapshot!("doctor_token_for_graph", shown.join("\n"));
}

#[test]
fn without_keys_the_claims_are_checked_but_not_the_signature() {
    let setup = DoctorSetup::new();
    let token = setup.control().token().expired().mint();
    setup.control().down();
    let output = explain(&setup, &token);
    setup.control().clear_faults();
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(
        output.stdout.contains(
            "signing keys of Entra ID cannot be fetched; apart from its signature: access token rejected: the token has expired"
        ),
        "{output:?}"
    );
}

#[test]
fn a_hostile_token_can_neither_steer_the_terminal_nor_forge_a_line() {
    let setup = DoctorSetup::new();
    let evil = "\u{1b}[2Jhttps://evil\n✓ the API accepts this token\r";
    let token = setup.control().token().claim("iss", evil.into()).mint();
    let output = explain(&setup, &token);
    assert!(
        !output.stdout.contains(['\u{1b}', '\r']) && output.stdout.contains("https://evil"),
        "{output:?}"
    );
    assert!(!output.stdout.lines().any(|line| line.starts_with('✓')), "{output:?}");
}

#[test]
fn the_expectations_of_the_api_are_shown() {
    let api = crate::support::api::TestApi::start();
    let answer = api.anonymous().get("/.well-known/oauth-protected-resource");
    let issuer = format!("{}/{DEV_TENANT_ID}/v2.0", api.idp.url(""));
    let resource = format!("api://{DEV_API_ID}");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(
        answer.json(),
        serde_json::json!({
            "resource": resource,
            "authorization_servers": [issuer],
            "scopes_supported": [format!("{resource}/access_as_user"), format!("{DEV_API_ID}/access_as_user")],
            "bearer_methods_supported": ["header"],
        })
    );
    let rejected = api
        .anonymous()
        .call("POST", "/.well-known/oauth-protected-resource")
        .send();
    rejected.problem(405, "method_not_allowed");
}

#[test]
fn without_settings_of_an_api_no_token_can_be_checked() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("token.txt"), "a.b.c").expect("written");
    let output = CommandOutput::run(folder.path(), &["doctor", "--token", "token.txt"]);
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(
        output.stderr.contains("entra.tenant_id is not set") && output.stderr.contains("api.app_id_uri"),
        "{output:?}"
    );
}
