//! Unmodified MSAL for Python against the emulator over HTTPS: the emulator accepts what a real client sends, and rejects
//! what it cannot prove.

use std::{
    io::Write,
    process::{Command, Stdio},
};

use blogctl::config::{DEV_API_ID, DEV_TENANT_ID};
use serde_json::{Value, json};

use crate::{
    idp::{
        client_assertion::{Identity, registered, unregistered},
        provider::{CALLBACK, Provider, SITE},
    },
    support::needs,
};

#[test]
fn msal_signs_in_with_a_registered_certificate_and_not_with_another() {
    let Some(python) = needs("BLOGCTL_TEST_PYTHON") else {
        return;
    };
    let provider = Provider::with(|settings| {
        settings.idp.tls = true;
        settings.idp.strict = false;
    });
    let results = sign_in(
        &python,
        &provider,
        &[sha256(registered()), sha1(registered()), sha256(unregistered())],
    );
    let [with_sha256, with_sha1, rejected] = &results[..] else {
        panic!("three results: {results:?}")
    };

    for (name, result) in [("SHA-256", with_sha256), ("SHA-1", with_sha1)] {
        assert_eq!(result["pkce"], true, "{name}");
        for grant in ["code", "refresh", "app"] {
            assert_eq!(result[grant]["has_access_token"], true, "{name} {grant}: {result}");
        }
        assert_eq!(
            result["refresh"]["token_source"], "identity_provider",
            "{name}: not from MSAL's cache"
        );
        assert_eq!(result["code"]["id_token_claims"]["name"], "Alice Archer", "{name}");
        assert_eq!(result["accounts"], json!(["alice@contoso.example"]), "{name}");
    }
    for grant in ["code", "app"] {
        assert_eq!(rejected[grant]["error"], "invalid_client", "{grant}: {rejected}");
        assert_eq!(rejected[grant]["error_codes"], json!([700_027]), "{grant}: {rejected}");
    }
    assert_eq!(rejected["code"]["has_access_token"], false);

    let headers = provider.control.requests_to("oauth2/v2.0/token");
    let sent = |name: &str| {
        headers
            .iter()
            .any(|request| request["assertion_header"].get(name).is_some())
    };
    assert!(
        sent("x5t#S256") && sent("x5t"),
        "both thumbprints were really used: {headers:?}"
    );
}

/// MSAL computes the SHA-256 thumbprint itself, and sends the certificate in `x5c` as well.
fn sha256(identity: &Identity) -> Value {
    json!({ "private_key": key(identity), "public_certificate": identity.pem() })
}

fn sha1(identity: &Identity) -> Value {
    json!({ "private_key": key(identity), "thumbprint": hex::encode_upper(identity.sha1()) })
}

fn key(identity: &Identity) -> String {
    String::from_utf8(identity.key.private_key_to_pem_pkcs8().expect("PEM")).expect("text")
}

fn sign_in(python: &str, provider: &Provider, credentials: &[Value]) -> Vec<Value> {
    let order = json!({
        "authority": format!("https://localhost:{}/{DEV_TENANT_ID}", provider.server.port),
        "ca_file": provider.folder().join("idp-ca.pem"),
        "client_id": SITE,
        "redirect_uri": CALLBACK,
        "user": "alice@contoso.example",
        "scope": format!("api://{DEV_API_ID}/access_as_user"),
        "app_scope": format!("api://{DEV_API_ID}/.default"),
        "credentials": credentials,
    });
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/msal/sign_in.py");
    let mut python = Command::new(python)
        .arg(script)
        .env("NO_PROXY", "localhost")
        // `requests` prefers these variables to the CA file that it gets.
        .env_remove("REQUESTS_CA_BUNDLE")
        .env_remove("CURL_CA_BUNDLE")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python starts");
    let mut input = python.stdin.take().expect("a pipe");
    input.write_all(order.to_string().as_bytes()).expect("python reads");
    drop(input);
    let output = python.wait_with_output().expect("python ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {}", text(&output.stdout)))
}
