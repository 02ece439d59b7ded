//! A certificate in Azure Key Vault: the vault signs, or gives the certificate with its key.

use std::fs;

use blogctl::{
    config::{AzureSettings, CredentialSettings, DEV_CLIENT_ID, Settings, VaultSettings},
    entra::CredentialSource,
};
use serde_json::json;

use super::{
    NAME, SUBJECT, assert_nothing_to_sign_with, assert_signs_in, failure, forbidden, in_vault, signatures,
    use_credentials,
};
use crate::support::{
    azure::{FakeAzure, IDENTITY, registered},
    certificates::file,
    entra::rsa_key,
    system::TestSystem,
};

#[test]
fn a_key_that_stays_in_the_vault_signs_in_on_a_virtual_machine() {
    let azure = FakeAzure::start();
    azure.put(NAME, registered(false, false));
    let system = TestSystem::with(|settings| {
        use_credentials(
            settings,
            &azure,
            vec![CredentialSettings::KeyVaultSign(in_vault(&azure))],
        );
    });
    assert_signs_in(&system);
    assert_signs_in(&system);
    assert_eq!(
        azure.requests_to("/certificates/").len(),
        2,
        "once without a token, for the challenge, and once with"
    );
    assert_eq!(azure.requests_to("/metadata/").len(), 1, "the token is cached");
    assert!(azure.requests_to("/secrets/").is_empty(), "the key is never requested");
    let signed = signatures(&azure);
    assert_eq!(
        signed.len(),
        3,
        "one at start, to see that it can, and one for each assertion: {signed:?}"
    );
    assert!(signed.iter().all(|request| request.body["alg"] == "PS256"));
    assert_ne!(signed[1].body["value"], signed[2].body["value"], "each its own");
}

#[test]
fn the_vault_signs_the_older_assertion_format() {
    let azure = FakeAzure::start();
    azure.put(NAME, registered(false, false));
    let system = TestSystem::with(|settings| {
        use_credentials(
            settings,
            &azure,
            vec![CredentialSettings::KeyVaultSign(in_vault(&azure))],
        );
        settings.client.assertion = blogctl::config::AssertionForm::Rs256Sha1;
        settings.idp.strict = false;
    });
    assert_signs_in(&system);
    let signed = signatures(&azure);
    assert_eq!(signed.len(), 2, "one at start, and one for the assertion");
    assert!(signed.iter().all(|request| request.body["alg"] == "RS256"));
}

#[test]
fn a_certificate_is_downloaded_from_the_vault_as_pfx_and_as_pem() {
    for as_pem in [false, true] {
        let azure = FakeAzure::start();
        azure.put(NAME, registered(true, as_pem));
        let system = TestSystem::with(|settings| {
            use_credentials(
                settings,
                &azure,
                vec![CredentialSettings::KeyVaultCertificate(in_vault(&azure))],
            );
        });
        assert_signs_in(&system);
        assert!(signatures(&azure).is_empty(), "it signs here");
    }
}

#[test]
fn a_key_that_the_vault_does_not_export_is_reported() {
    for as_pem in [false, true] {
        let azure = FakeAzure::start();
        azure.put(NAME, registered(false, as_pem));
        let (error, hint) = failure(
            &azure,
            CredentialSettings::KeyVaultCertificate(in_vault(&azure)),
            |_| {},
        );
        assert!(
            error.ends_with(&format!("/certificates/{NAME} holds no private key")),
            "{error}"
        );
        assert!(hint.contains("exportable") && hint.contains("key_vault_sign"), "{hint}");
    }
}

#[test]
fn a_workload_identity_opens_the_vault() {
    let azure = FakeAzure::start();
    azure.put(NAME, registered(false, false));
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(
        folder.path(),
        "token",
        &[azure.federated_token(SUBJECT, |_| {}).as_bytes()],
    );
    let mut settings = Settings::default();
    use_credentials(
        &mut settings,
        &azure,
        vec![CredentialSettings::KeyVaultSign(in_vault(&azure))],
    );
    settings.entra.tenant_id = blogctl::config::DEV_TENANT_ID.to_owned();
    settings.entra.authority_host = Some(azure.url());
    settings.client.client_id = DEV_CLIENT_ID.to_owned();
    settings.azure.federated_token_file = Some(path);
    let load = |settings: &Settings| {
        CredentialSource::from_settings(settings)
            .expect("sources")
            .remove(0)
            .load()
    };
    load(&settings).expect("a certificate");
    let used = azure
        .requests_to("/certificates/")
        .pop()
        .and_then(|request| request.token);
    assert_eq!(
        used,
        Some(format!("token-1-of-{DEV_CLIENT_ID}")),
        "the site's own, unless another is set"
    );
    settings.azure.client_id = Some(IDENTITY.to_owned());
    load(&settings).expect("a certificate");
    let used = azure
        .requests_to("/certificates/")
        .pop()
        .and_then(|request| request.token);
    assert_eq!(used, Some(format!("token-2-of-{IDENTITY}")));
    assert!(azure.requests_to("/metadata/").is_empty());
    // An identity of another tenant than the site's, as configured in the cluster.
    let other = "99999999-2222-4333-8444-555555555555";
    let elsewhere = Settings {
        azure: AzureSettings {
            tenant_id: Some(other.to_owned()),
            ..settings.azure.clone()
        },
        ..settings.clone()
    };
    load(&elsewhere).expect("a certificate");
    assert_eq!(azure.requests_to(&format!("/{other}/oauth2/v2.0/token")).len(), 1);

    let rejection =
        json!({ "error": "invalid_client", "error_description": "AADSTS700213: No matching …\r\nTrace ID: x" });
    azure.fail("/11111111-", 1, 401, rejection);
    let error = load(&settings).expect_err("rejected");
    let expected =
        "the token endpoint for workload identities answered 401 (invalid_client: AADSTS700213: No matching …)";
    assert_eq!(error.to_string(), expected);
    assert!(error.hint().contains("azure.client_id"), "{}", error.hint());
}

/// A program `az` that records its arguments, and prints a token for the vault.
fn azure_cli(folder: &std::path::Path, azure: &FakeAzure, script: &str) -> std::process::Command {
    use std::os::unix::fs::PermissionsExt as _;
    let token = format!("{}metadata/identity/oauth2/token", azure.url());
    let mut answer = crate::support::idp::agent()
        .get(token)
        .query("api-version", "2018-02-01")
        .query("resource", azure.server.url(""))
        .header("Metadata", "true")
        .call()
        .expect("a token");
    let token: serde_json::Value = answer.body_mut().read_json().expect("JSON");
    let script = script.replace("TOKEN", token["access_token"].as_str().expect("text"));
    let az = file(folder, "az", &[b"#!/bin/sh\n", script.as_bytes()]);
    fs::set_permissions(&az, fs::Permissions::from_mode(0o755)).expect("a mode");
    let entry = json!([{ "source": "key_vault_sign", "vault_url": azure.server.url(""), "certificate": NAME }]);
    let mut command = crate::support::binary::blogctl(folder);
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").expect("set"));
    command
        .env("PATH", path)
        .env("BLOG_CLIENT__CREDENTIAL", entry.to_string());
    command
        .env("BLOG_SERVER__ENVIRONMENT", "development")
        .args(["cert", "check"]);
    command
}

#[test]
fn in_development_the_azure_cli_login_opens_the_vault() {
    let azure = FakeAzure::start();
    azure.put(NAME, registered(false, false));
    let folder = tempfile::tempdir().expect("a folder");
    let script = r#"echo "$@" > asked; echo '{"accessToken":"TOKEN","expires_on":4102444800}'"#;
    let ended = azure_cli(folder.path(), &azure, script).output().expect("it runs");
    let text = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(ended.status.success() && text.contains("can be used"), "{text}");
    let arguments = fs::read_to_string(folder.path().join("asked")).expect("az was called");
    let resource = azure.server.url("");
    let tenant = "11111111-2222-4333-8444-555555555555";
    let expected = format!("account get-access-token --output json --resource {resource} --tenant {tenant}");
    assert_eq!(arguments.trim(), expected, "the tenant is the vault's");

    let failing = "echo \"ERROR: Please run 'az login' to setup account.\" >&2; exit 1";
    let ended = azure_cli(folder.path(), &azure, failing).output().expect("it runs");
    let text = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(
        !ended.status.success() && text.contains("Please run 'az login' to setup account."),
        "{text}"
    );
    assert!(text.contains("azure.identity"), "{text}");
}

#[test]
fn the_thumbprint_is_read_from_the_first_usable_source() {
    let azure = FakeAzure::start();
    azure.put(NAME, registered(false, false));
    let folder = tempfile::tempdir().expect("a folder");
    let entries = json!([
        { "source": "file", "cert_path": "missing.pem" },
        { "source": "key_vault_certificate", "vault_url": azure.server.url(""), "certificate": NAME },
        { "source": "workload_identity" },
    ]);
    let mut command = crate::support::binary::blogctl(folder.path());
    command
        .env("BLOG_CLIENT__CREDENTIAL", entries.to_string())
        .env("BLOG_AZURE__IMDS_URL", azure.server.url(""));
    let ended = command
        .args(["cert", "thumbprint", "--format", "sha256-hex"])
        .output()
        .expect("it runs");
    let expected = registered(false, false)
        .certificate
        .digest(openssl::hash::MessageDigest::sha256())
        .expect("a digest");
    let printed = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert_eq!(printed.trim(), hex::encode_upper(expected), "{ended:?}");
    let reported = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(reported.contains("missing.pem cannot be read"), "{reported}");
    assert!(
        azure.requests_to("/secrets/").is_empty(),
        "the key is not needed for that"
    );
}

#[test]
fn a_rejection_by_the_vault_names_the_missing_permission() {
    let azure = FakeAzure::start();
    azure.put(NAME, registered(true, false));
    let error_body = |code: &str, message: &str| json!({ "error": { "code": "Forbidden", "message": message, "innererror": { "code": code } }});
    let firewall = error_body("ForbiddenByFirewall", "Client address is not authorized");
    let disabled = error_body("KeyDisabled", "Operation sign is not allowed on a disabled key.");
    let message = "Caller is not authorized.\r\nCaller: appid=1;oid=2\r\nAction: 'Microsoft.KeyVault/x'\r\nVault: blog";
    let by_role = error_body("ForbiddenByRbac", message);
    let unauthorized = json!({ "error": { "code": "Unauthorized", "message": "AKV10032: Invalid issuer." }});
    let sign = || CredentialSettings::KeyVaultSign(in_vault(&azure));
    let download = || CredentialSettings::KeyVaultCertificate(in_vault(&azure));
    for (path, status, body, entry, seen, hint) in [
        (
            "/certificates/",
            403,
            forbidden(),
            sign(),
            "(Forbidden",
            "certificates/read, such as \"Key Vault Reader\"",
        ),
        (
            "/certificates/",
            403,
            forbidden(),
            sign(),
            "(Forbidden",
            "or the permission certificates/get",
        ),
        (
            "/keys/",
            403,
            forbidden(),
            sign(),
            "(Forbidden",
            "keys/sign/action, such as \"Key Vault Crypto User\"",
        ),
        (
            "/keys/",
            403,
            forbidden(),
            sign(),
            "(Forbidden",
            "or the permission keys/sign",
        ),
        (
            "/secrets/",
            403,
            forbidden(),
            download(),
            "(Forbidden",
            "secrets/getSecret/action, such as \"Key Vault Cert",
        ),
        (
            "/secrets/",
            403,
            forbidden(),
            download(),
            "(Forbidden",
            "or the permission secrets/get",
        ),
        (
            "/secrets/",
            403,
            firewall,
            download(),
            "ForbiddenByFirewall",
            "the vault's firewall",
        ),
        (
            "/keys/",
            403,
            disabled,
            sign(),
            "a disabled key",
            "enable it in the portal",
        ),
        (
            "/keys/",
            403,
            by_role,
            sign(),
            "oid=2; Action: 'Microsoft.KeyVault/x'",
            "keys/sign",
        ),
        (
            "/certificates/",
            401,
            unauthorized,
            sign(),
            "AKV10032",
            "tenant, 11111111-2222-4333-8444-555555555555",
        ),
    ] {
        azure.clear_failures();
        azure.fail(path, 2, status, body);
        let (error, reported) = failure(&azure, entry, |_| {});
        assert!(
            error.contains(&format!("answered {status}")) && error.contains(seen),
            "{error}"
        );
        assert!(reported.contains(hint), "{error}: {reported}");
    }
    azure.clear_failures();
    let nothing = VaultSettings {
        certificate: "nothing".to_owned(),
        ..in_vault(&azure)
    };
    let (error, hint) = failure(&azure, CredentialSettings::KeyVaultSign(nothing), |_| {});
    assert!(
        error.contains("answered 404 (CertificateNotFound") && hint.contains("the vault has no nothing"),
        "{error}: {hint}"
    );
}

#[test]
fn no_token_for_another_resource_is_requested() {
    let azure = FakeAzure::start();
    azure.put(NAME, registered(false, false));
    for foreign in [
        "https://graph.microsoft.com",
        "https://vault.azure.net",
        "http://localhost:1",
    ] {
        azure.demand_tokens_for(foreign);
        azure.forget_requests();
        let (error, hint) = failure(&azure, CredentialSettings::KeyVaultSign(in_vault(&azure)), |_| {});
        assert!(
            error.contains(foreign) && error.contains("no token was sent"),
            "{error}"
        );
        assert!(hint.contains("vault_url"), "{hint}");
        assert!(azure.requests_to("/metadata/").is_empty(), "no token was requested");
        assert!(azure.requests_to("/").iter().all(|request| request.token.is_none()));
    }
}

#[test]
fn a_key_outside_the_vault_is_rejected() {
    let azure = FakeAzure::start();
    azure.put(NAME, registered(false, false));
    let mut settings = Settings::default();
    use_credentials(
        &mut settings,
        &azure,
        vec![CredentialSettings::KeyVaultSign(in_vault(&azure))],
    );
    let source = CredentialSource::from_settings(&settings).expect("sources").remove(0);
    source.load().expect("a certificate");
    let own = azure.server.url("/secrets/a/1");
    azure.fail(
        "/certificates/",
        1,
        200,
        json!({ "cer": "AA==", "kid": "https://evil.example/keys/a/1", "sid": own }),
    );
    let error = source.load().expect_err("rejected").to_string();
    assert!(error.contains("its key is not in this vault"), "{error}");
}

#[test]
fn a_signature_by_another_key_is_not_sent() {
    let azure = FakeAzure::start();
    azure.put(NAME, registered(false, false));
    let system = TestSystem::with(|settings| {
        use_credentials(
            settings,
            &azure,
            vec![CredentialSettings::KeyVaultSign(in_vault(&azure))],
        );
    });
    azure.swap_key(NAME, rsa_key(2048));
    assert_nothing_to_sign_with(&system);
}
