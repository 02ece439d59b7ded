//! Workload identity: the federated token of a Kubernetes cluster as the client assertion.

use std::{fs, path::PathBuf};

use blogctl::config::{CredentialSettings, WorkloadIdentitySettings};
use serde_json::json;

use super::{SUBJECT, assert_nothing_to_sign_with, assert_signs_in, failure, signs_in, trust, use_credentials};
use crate::support::{
    azure::{FakeAzure, signed_by},
    certificates::file,
    entra::{keys, rsa_key, wait_until},
    idp::IdpControl,
    system::TestSystem,
    web::{ALICE, Browser, grants},
};

/// A system whose site has the token file of a cluster.
fn in_a_cluster(azure: &FakeAzure) -> (TestSystem, PathBuf) {
    let mut path = PathBuf::new();
    let system = TestSystem::with(|settings| {
        let folder = settings.idp.state_dir.clone();
        path = file(
            &folder,
            "azure-identity-token",
            &[azure.federated_token(SUBJECT, |_| {}).as_bytes(), b"\n"],
        );
        settings.azure.federated_token_file = Some(path.clone());
        let entry = CredentialSettings::WorkloadIdentity(WorkloadIdentitySettings::default());
        use_credentials(settings, azure, vec![entry]);
        trust(settings, azure, SUBJECT);
        settings.idp.access_token_seconds = 1;
    });
    (system, path)
}

#[test]
fn the_federated_token_of_a_cluster_is_the_assertion_for_codes_and_refreshes() {
    let azure = FakeAzure::start();
    let (system, path) = in_a_cluster(&azure);
    let browser = Browser::new();
    assert_eq!(browser.sign_in(&system, ALICE, "/posts").status, 200);
    // The access token is valid for one second. While it is valid, no page waits for its refresh.
    wait_until("a refresh", || {
        assert_eq!(browser.get(&system.web.url("/posts")).status, 200);
        grants(&system, "refresh_token") > 0
    });
    // The site is not notified of the new file; it reads the file each time.
    fs::write(
        &path,
        azure.federated_token(SUBJECT, |claims| claims["jti"] = json!("the second")),
    )
    .expect("written");
    assert_signs_in(&system);
    fs::write(&path, azure.federated_token("system:serviceaccount:blog:other", |_| {})).expect("written");
    assert!(
        !signs_in(&system),
        "the file is the assertion, and not what was in it before"
    );
    fs::remove_file(&path).expect("removed");
    assert_nothing_to_sign_with(&system);
}

#[test]
fn the_emulator_accepts_only_the_right_federated_token() {
    let azure = FakeAzure::start();
    let (system, path) = in_a_cluster(&azure);
    let other = rsa_key(2048);
    let header = json!({ "typ": "JWT", "alg": "RS256", "kid": keys()[0].kid });
    let claims = |token: &str| {
        use base64::Engine as _;
        let payload = token.split('.').nth(1).expect("a payload");
        let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD
            .decode(payload)
            .expect("base64url");
        serde_json::from_slice::<serde_json::Value>(&bytes).expect("JSON")
    };
    let right = azure.federated_token(SUBJECT, |_| {});
    let now = chrono::Utc::now().timestamp();
    for (wrong, code) in [
        (
            azure.federated_token(SUBJECT, |claims| claims["iss"] = json!("https://evil.example")),
            700_211,
        ),
        (
            azure.federated_token("system:serviceaccount:blog:sites", |_| {}),
            700_213,
        ),
        (
            azure.federated_token("system:serviceaccount:blog:SITE", |_| {}),
            7_002_138,
        ),
        (
            azure.federated_token(SUBJECT, |claims| claims["aud"] = json!("api://other")),
            700_212,
        ),
        (
            azure.federated_token(SUBJECT, |claims| {
                claims["aud"] = json!(["api://AzureADTokenExchange", "b"]);
            }),
            700_212,
        ),
        (signed_by(&other, &header, &claims(&right)), 700_027),
        (
            signed_by(
                &keys()[0].key,
                &json!({ "alg": "RS256", "kid": "unknown" }),
                &claims(&right),
            ),
            700_027,
        ),
        (format!("{}.", right.rsplit_once('.').expect("a signature").0), 700_027),
        (
            azure.federated_token(SUBJECT, |claims| claims["nbf"] = json!(now + 3600)),
            700_024,
        ),
    ] {
        fs::write(&path, &wrong).expect("written");
        let control = IdpControl::new(&system.idp);
        control.forget_requests();
        let page = Browser::new().sign_in(&system, ALICE, "/posts");
        assert!(page.text().contains(&format!("AADSTS{code}")), "{code}: {}", page.body);
        assert_eq!(
            control.requests_to("/oauth2/v2.0/token").len(),
            1,
            "there is nothing else to try"
        );
    }
    fs::write(&path, right).expect("written");
    assert_signs_in(&system);
}

#[test]
fn an_unusable_token_file_is_reported_by_name() {
    let azure = FakeAzure::start();
    let folder = tempfile::tempdir().expect("a folder");
    let expired = azure.federated_token(SUBJECT, |claims| claims["exp"] = json!(1_700_000_000));
    for (name, content, expected_text) in [
        ("no-token", "not a token".to_owned(), "does not hold a JWT"),
        (
            "expired",
            expired,
            "holds an expired token: the cluster does not renew it",
        ),
        ("large", "x".repeat(70_000), "which is too long for a token"),
    ] {
        let path = file(folder.path(), name, &[content.as_bytes()]);
        let entry = WorkloadIdentitySettings {
            token_file: Some(path.clone()),
        };
        let (error, hint) = failure(&azure, CredentialSettings::WorkloadIdentity(entry), |_| {});
        assert!(
            error.contains(&path.display().to_string()) && error.contains(expected_text),
            "{error}"
        );
        assert!(hint.contains("azure.workload.identity/use"), "{hint}");
        assert!(!error.contains("eyJ"), "{error}");
    }
    let folder_itself = WorkloadIdentitySettings {
        token_file: Some(folder.path().to_owned()),
    };
    let (error, _) = failure(&azure, CredentialSettings::WorkloadIdentity(folder_itself), |_| {});
    assert!(error.ends_with("is not a file"), "{error}");
    let missing = WorkloadIdentitySettings {
        token_file: Some(folder.path().join("missing")),
    };
    let (error, _) = failure(&azure, CredentialSettings::WorkloadIdentity(missing), |_| {});
    assert!(error.contains("cannot be read"), "{error}");
    let unset = CredentialSettings::WorkloadIdentity(WorkloadIdentitySettings::default());
    let (error, _) = failure(&azure, unset, |_| {});
    assert_eq!(error, "azure.federated_token_file is not set");
}
