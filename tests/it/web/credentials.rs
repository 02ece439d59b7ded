//! The list of credentials: every source signs in, each one's failures are told, and the next of the list steps in.

mod outages;

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use blogctl::{
    config::{
        AzureSettings, CertificateSettings, CredentialSettings, DEV_CLIENT_ID, Environment, FederatedIdentity,
        ManagedIdentitySettings, Settings, VaultSettings, WorkloadIdentitySettings,
    },
    entra::{CredentialSource, Provider, confidential_client::ConfidentialClient},
};
use secrecy::SecretString;
use serde_json::json;
use url::Url;

use crate::support::{
    azure::{Asked, IDENTITY, IDENTITY_HEADER, InVault, PlayedAzure, registered, signed_by},
    certificates::{TestCertificate, file, key_pem, pem},
    entra::{keys, rsa_key, wait_until},
    idp::IdpControl,
    logs,
    system::{TestSystem, client_certificate},
    web::{ALICE, Browser, grants},
};

const NAME: &str = "blog-site";
const SUBJECT: &str = "system:serviceaccount:blog:site";

fn in_vault(azure: &PlayedAzure) -> VaultSettings {
    VaultSettings {
        vault_url: azure.url(),
        certificate: NAME.to_owned(),
    }
}

/// Settings of a virtual machine whose only credential is `entry`.
fn on_a_machine(settings: &mut Settings, azure: &PlayedAzure, entries: Vec<CredentialSettings>) {
    settings.server.environment = Environment::Production;
    settings.azure.imds_url = azure.url();
    settings.client.certificate = CertificateSettings::default();
    settings.client.credential = entries;
}

fn trust(settings: &mut Settings, azure: &PlayedAzure, subject: &str) {
    let issuer = azure.server.url("");
    for app in settings
        .idp
        .apps
        .iter_mut()
        .filter(|app| app.client_id == DEV_CLIENT_ID)
    {
        // Without a certificate: only the token can be what is taken.
        app.certificates.clear();
        app.federated_credentials = vec![FederatedIdentity {
            issuer: issuer.clone(),
            subject: subject.to_owned(),
            audience: "api://AzureADTokenExchange".to_owned(),
        }];
    }
}

fn signs_in(system: &TestSystem) -> bool {
    Browser::new().sign_in(system, ALICE, "/posts").status == 200
}

fn assert_signs_in(system: &TestSystem) {
    let page = Browser::new().sign_in(system, ALICE, "/posts");
    assert_eq!((page.status, page.url.path()), (200, "/posts"), "{}", page.body);
}

/// Nothing was sent to Entra; the page says whose business it is.
fn assert_nothing_to_sign_with(system: &TestSystem) {
    let control = IdpControl::of(&system.idp);
    control.forget_requests();
    let page = Browser::new().sign_in(system, ALICE, "/posts");
    assert_eq!((page.status, page.error()), (500, "sign-in"), "{}", page.body);
    assert!(page.text().contains("blogctl cert check"), "{}", page.body);
    assert!(control.requests_to("/oauth2/v2.0/token").is_empty());
}

/// What the one source of these settings says.
fn failure(azure: &PlayedAzure, entry: CredentialSettings, change: impl FnOnce(&mut Settings)) -> (String, String) {
    let mut settings = Settings::default();
    on_a_machine(&mut settings, azure, vec![entry]);
    change(&mut settings);
    let source = CredentialSource::all(&settings).expect("sources").remove(0);
    let error = source.load().expect_err("it fails");
    (error.to_string(), error.hint())
}

fn signatures(azure: &PlayedAzure) -> Vec<Asked> {
    azure.asked("/keys/")
}

#[test]
fn a_key_that_stays_in_the_vault_signs_in_on_a_virtual_machine() {
    let azure = PlayedAzure::start();
    azure.put(NAME, registered(false, false));
    let system = TestSystem::with(|settings| {
        on_a_machine(
            settings,
            &azure,
            vec![CredentialSettings::KeyVaultSign(in_vault(&azure))],
        );
    });
    assert_signs_in(&system);
    assert_signs_in(&system);
    assert_eq!(
        azure.asked("/certificates/").len(),
        2,
        "once without a token, for the challenge, and once with"
    );
    assert_eq!(azure.asked("/metadata/").len(), 1, "the token is kept");
    assert!(azure.asked("/secrets/").is_empty(), "the key is never asked for");
    let signed = signatures(&azure);
    assert_eq!(
        signed.len(),
        3,
        "one at start, to see that it can, and one for each assertion: {signed:?}"
    );
    assert!(signed.iter().all(|asked| asked.body["alg"] == "PS256"));
    assert_ne!(signed[1].body["value"], signed[2].body["value"], "each its own");
}

#[test]
fn the_older_form_is_signed_in_the_vault_too() {
    let azure = PlayedAzure::start();
    azure.put(NAME, registered(false, false));
    let system = TestSystem::with(|settings| {
        on_a_machine(
            settings,
            &azure,
            vec![CredentialSettings::KeyVaultSign(in_vault(&azure))],
        );
        settings.client.assertion = blogctl::config::AssertionForm::Rs256Sha1;
        settings.idp.strict = false;
    });
    assert_signs_in(&system);
    assert!(signatures(&azure).iter().all(|asked| asked.body["alg"] == "RS256"));
}

#[test]
fn a_certificate_is_downloaded_from_the_vault_as_pfx_and_as_pem() {
    for as_pem in [false, true] {
        let azure = PlayedAzure::start();
        azure.put(NAME, registered(true, as_pem));
        let system = TestSystem::with(|settings| {
            on_a_machine(
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
fn a_key_that_the_vault_does_not_give_away_is_told() {
    for as_pem in [false, true] {
        let azure = PlayedAzure::start();
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
fn app_service_gives_the_token_for_the_vault() {
    let azure = PlayedAzure::start();
    azure.put(NAME, registered(false, false));
    let app_service = |settings: &mut Settings, header: &str| {
        settings.azure.identity_endpoint = Some(Url::parse(&azure.server.url("/msi/token")).expect("a URL"));
        settings.azure.identity_header = Some(SecretString::from(header));
        settings.azure.client_id = Some(IDENTITY.to_owned());
    };
    let system = TestSystem::with(|settings| {
        on_a_machine(
            settings,
            &azure,
            vec![CredentialSettings::KeyVaultSign(in_vault(&azure))],
        );
        app_service(settings, IDENTITY_HEADER);
    });
    assert_signs_in(&system);
    assert!(azure.asked("/metadata/").is_empty());
    let asked = azure.asked("/msi/token").remove(0);
    assert_eq!(asked.query["client_id"], IDENTITY);
    let entry = CredentialSettings::KeyVaultSign(in_vault(&azure));
    let (error, hint) = failure(&azure, entry, |settings| app_service(settings, "another"));
    assert!(error.contains("IDENTITY_ENDPOINT) answered 401"), "{error}");
    assert!(hint.contains("IDENTITY_HEADER") && !error.contains("another"), "{hint}");
}

#[test]
fn app_service_gives_the_token_that_is_the_assertion() {
    let azure = PlayedAzure::start();
    let system = TestSystem::with(|settings| {
        let entry = ManagedIdentitySettings {
            client_id: Some(IDENTITY.to_owned()),
        };
        on_a_machine(settings, &azure, vec![CredentialSettings::ManagedIdentity(entry)]);
        trust(settings, &azure, IDENTITY);
        settings.azure.identity_endpoint = Some(Url::parse(&azure.server.url("/msi/token")).expect("a URL"));
        settings.azure.identity_header = Some(SecretString::from(IDENTITY_HEADER));
    });
    assert_signs_in(&system);
    let asked = azure.asked("/msi/token").remove(0);
    assert_eq!(
        (&*asked.query["resource"], &*asked.query["client_id"]),
        ("api://AzureADTokenExchange", IDENTITY)
    );
    assert!(azure.asked("/metadata/").is_empty());
}

#[test]
fn a_managed_identitys_token_that_entra_refuses_is_replaced_once_by_another() {
    let azure = PlayedAzure::start();
    let system = TestSystem::with(|settings| {
        let entry = ManagedIdentitySettings {
            client_id: Some(IDENTITY.to_owned()),
        };
        on_a_machine(settings, &azure, vec![CredentialSettings::ManagedIdentity(entry)]);
        trust(settings, &azure, IDENTITY);
    });
    let control = IdpControl::of(&system.idp);
    control.fail_next(1, 700_024);
    assert_signs_in(&system);
    assert_eq!(
        (
            control.requests_to("/oauth2/v2.0/token").len(),
            azure.asked("/metadata/").len()
        ),
        (2, 2)
    );
    control.forget_requests();
    control.fail_next(9, 700_024);
    assert!(!signs_in(&system));
    assert_eq!(
        control.requests_to("/oauth2/v2.0/token").len(),
        2,
        "once more, and no third time"
    );
}

#[test]
fn a_managed_identity_signs_in_by_its_token() {
    let azure = PlayedAzure::start();
    let system = TestSystem::with(|settings| {
        let entry = ManagedIdentitySettings {
            client_id: Some(IDENTITY.to_owned()),
        };
        on_a_machine(settings, &azure, vec![CredentialSettings::ManagedIdentity(entry)]);
        trust(settings, &azure, IDENTITY);
    });
    assert_signs_in(&system);
    assert_signs_in(&system);
    let asked = azure.asked("/metadata/");
    assert_eq!(asked.len(), 1, "the token is kept");
    assert_eq!(asked[0].query["resource"], "api://AzureADTokenExchange");
    assert_eq!(asked[0].query["client_id"], IDENTITY);
    let page = Browser::new().sign_in(&system, ALICE, "/profile");
    assert!(
        page.text().contains("By a token that the platform issued"),
        "{}",
        page.body
    );
    let health = Browser::new().get(&system.web.url("/health/ready"));
    assert!(health.body.contains("not_needed"), "{}", health.body);
}

/// A system whose site has the token file of a cluster.
fn in_a_cluster(azure: &PlayedAzure) -> (TestSystem, PathBuf) {
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
        on_a_machine(settings, azure, vec![entry]);
        trust(settings, azure, SUBJECT);
        settings.idp.access_token_seconds = 1;
    });
    (system, path)
}

#[test]
fn the_federated_token_of_a_cluster_is_the_assertion_for_codes_and_refreshes() {
    let azure = PlayedAzure::start();
    let (system, path) = in_a_cluster(&azure);
    let browser = Browser::new();
    assert_eq!(browser.sign_in(&system, ALICE, "/posts").status, 200);
    assert_eq!(browser.get(&system.web.url("/posts")).status, 200);
    assert_ne!(grants(&system, "refresh_token"), 0, "the token lives for a second");
    // Nobody has told the site; it reads the file each time.
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
fn the_look_alike_takes_no_federated_token_but_the_right_one() {
    let azure = PlayedAzure::start();
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
                claims["aud"] = json!(["api://AzureADTokenExchange", "b"])
            }),
            700_212,
        ),
        (signed_by(&other, &header, &claims(&right)), 700_027),
        (
            signed_by(
                &keys()[0].key,
                &json!({ "alg": "RS256", "kid": "nobody's" }),
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
        let control = IdpControl::of(&system.idp);
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
fn a_token_file_that_will_not_do_is_told_with_its_name() {
    let azure = PlayedAzure::start();
    let folder = tempfile::tempdir().expect("a folder");
    let expired = azure.federated_token(SUBJECT, |claims| claims["exp"] = json!(1_700_000_000));
    for (name, content, said) in [
        ("no-token", "not a token".to_owned(), "does not hold a JWT"),
        ("expired", expired, "holds a token that has expired; nobody renews it"),
        ("large", "x".repeat(70_000), "more than a token can have"),
    ] {
        let path = file(folder.path(), name, &[content.as_bytes()]);
        let entry = WorkloadIdentitySettings {
            token_file: Some(path.clone()),
        };
        let (error, hint) = failure(&azure, CredentialSettings::WorkloadIdentity(entry), |_| {});
        assert!(
            error.contains(&path.display().to_string()) && error.contains(said),
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

#[test]
fn a_workload_identity_opens_the_vault() {
    let azure = PlayedAzure::start();
    azure.put(NAME, registered(false, false));
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(
        folder.path(),
        "token",
        &[azure.federated_token(SUBJECT, |_| {}).as_bytes()],
    );
    let mut settings = Settings::default();
    on_a_machine(
        &mut settings,
        &azure,
        vec![CredentialSettings::KeyVaultSign(in_vault(&azure))],
    );
    settings.entra.tenant_id = blogctl::config::DEV_TENANT_ID.to_owned();
    settings.entra.authority_host = Some(azure.url());
    settings.client.client_id = DEV_CLIENT_ID.to_owned();
    settings.azure.federated_token_file = Some(path);
    let load = |settings: &Settings| CredentialSource::all(settings).expect("sources").remove(0).load();
    load(&settings).expect("a certificate");
    let used = azure.asked("/certificates/").pop().and_then(|asked| asked.token);
    assert_eq!(
        used,
        Some(format!("token-1-of-{DEV_CLIENT_ID}")),
        "the site's own, unless another is set"
    );
    settings.azure.client_id = Some(IDENTITY.to_owned());
    load(&settings).expect("a certificate");
    let used = azure.asked("/certificates/").pop().and_then(|asked| asked.token);
    assert_eq!(used, Some(format!("token-2-of-{IDENTITY}")));
    assert!(azure.asked("/metadata/").is_empty());
    // An identity of another tenant than the site's, as the cluster says.
    let other = "99999999-2222-4333-8444-555555555555";
    let elsewhere = Settings {
        azure: AzureSettings {
            tenant_id: Some(other.to_owned()),
            ..settings.azure.clone()
        },
        ..settings.clone()
    };
    load(&elsewhere).expect("a certificate");
    assert_eq!(azure.asked(&format!("/{other}/oauth2/v2.0/token")).len(), 1);

    let refusal =
        json!({ "error": "invalid_client", "error_description": "AADSTS700213: No matching …\r\nTrace ID: x" });
    azure.fail("/11111111-", 1, 401, refusal);
    let error = load(&settings).expect_err("refused");
    let expected =
        "the token endpoint for workload identities answered 401 (invalid_client: AADSTS700213: No matching …)";
    assert_eq!(error.to_string(), expected);
    assert!(error.hint().contains("azure.client_id"), "{}", error.hint());
}

/// A program `az` that writes down what it was asked, and answers with a token that opens the vault.
fn azure_cli(folder: &std::path::Path, azure: &PlayedAzure, script: &str) -> std::process::Command {
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
fn in_development_whoever_ran_az_login_opens_the_vault() {
    let azure = PlayedAzure::start();
    azure.put(NAME, registered(false, false));
    let folder = tempfile::tempdir().expect("a folder");
    let script = r#"echo "$@" > asked; echo '{"accessToken":"TOKEN","expires_on":4102444800}'"#;
    let ended = azure_cli(folder.path(), &azure, script).output().expect("it runs");
    let text = String::from_utf8_lossy(&ended.stdout).into_owned();
    assert!(ended.status.success() && text.contains("can be used"), "{text}");
    let asked = fs::read_to_string(folder.path().join("asked")).expect("it was asked");
    let resource = azure.server.url("");
    let tenant = "11111111-2222-4333-8444-555555555555";
    let expected = format!("account get-access-token --output json --resource {resource} --tenant {tenant}");
    assert_eq!(asked.trim(), expected, "the tenant is the vault's");

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
fn a_thumbprint_is_read_from_wherever_the_certificate_is() {
    let azure = PlayedAzure::start();
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
    let told = String::from_utf8_lossy(&ended.stderr).into_owned();
    assert!(told.contains("missing.pem cannot be read"), "{told}");
    assert!(azure.asked("/secrets/").is_empty(), "the key is not needed for that");
}

#[test]
fn what_the_vault_refuses_names_the_permission_that_is_missing() {
    let azure = PlayedAzure::start();
    azure.put(NAME, registered(true, false));
    let said = |code: &str, message: &str| json!({ "error": { "code": "Forbidden", "message": message, "innererror": { "code": code } }});
    let firewall = said("ForbiddenByFirewall", "Client address is not authorized");
    let disabled = said("KeyDisabled", "Operation sign is not allowed on a disabled key.");
    let message = "Caller is not authorized.\r\nCaller: appid=1;oid=2\r\nAction: 'Microsoft.KeyVault/x'\r\nVault: blog";
    let by_role = said("ForbiddenByRbac", message);
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
        azure.heal();
        azure.fail(path, 2, status, body);
        let (error, told) = failure(&azure, entry, |_| {});
        assert!(
            error.contains(&format!("answered {status}")) && error.contains(seen),
            "{error}"
        );
        assert!(told.contains(hint), "{error}: {told}");
    }
    azure.heal();
    let nothing = VaultSettings {
        certificate: "nothing".to_owned(),
        ..in_vault(&azure)
    };
    let (error, hint) = failure(&azure, CredentialSettings::KeyVaultSign(nothing), |_| {});
    assert!(
        error.contains("answered 404 (CertificateNotFound") && hint.contains("there is no nothing"),
        "{error}: {hint}"
    );
}

#[test]
fn a_signature_that_the_vault_refuses_is_told_and_the_next_credential_signs() {
    logs::keep();
    let azure = PlayedAzure::start();
    azure.put(NAME, registered(false, false));
    let system = TestSystem::with(|settings| {
        let of_file = CredentialSettings::File(settings.client.certificate.clone());
        let entries = vec![CredentialSettings::KeyVaultSign(in_vault(&azure)), of_file];
        on_a_machine(settings, &azure, entries);
        // Another certificate in the file, registered, too.
        let key = rsa_key(2048);
        let certificate = TestCertificate::new("second", &key).make();
        let folder = settings.idp.state_dir.clone();
        fs::write(folder.join("client.pem"), [pem(&certificate), key_pem(&key)].concat()).expect("written");
        let public = file(&folder, "second.pem", &[&pem(&certificate)]);
        for app in settings
            .idp
            .apps
            .iter_mut()
            .filter(|app| app.client_id == DEV_CLIENT_ID)
        {
            app.certificates.push(public.clone());
        }
    });
    assert_signs_in(&system);
    azure.forget();
    azure.fail("/keys/", 100, 403, forbidden());
    assert_signs_in(&system);
    assert_eq!(
        signatures(&azure).len(),
        2,
        "tried once, and once more when the vault was asked again"
    );
    assert_signs_in(&system);
    assert_eq!(signatures(&azure).len(), 2, "what works is remembered");
    let told = logs::with(&azure.server.url(""));
    let why = told
        .iter()
        .find(|line| line.contains("Entra ID was not asked"))
        .expect("why the first did not do");
    assert!(
        why.contains("answered 403") && why.contains("\"Key Vault Crypto User\""),
        "{why}"
    );
    assert!(why.contains("keys/sign"), "{why}");
}

fn forbidden() -> serde_json::Value {
    json!({ "error": { "code": "Forbidden", "message": "The user, group or application does not have …" }})
}

#[test]
fn a_certificate_whose_key_may_not_be_used_gives_way_at_start_and_the_log_names_the_permission() {
    logs::keep();
    let azure = PlayedAzure::start();
    azure.put(NAME, registered(false, false));
    azure.fail("/keys/", 100, 403, forbidden());
    let system = TestSystem::with(|settings| {
        let of_file = CredentialSettings::File(settings.client.certificate.clone());
        on_a_machine(
            settings,
            &azure,
            vec![CredentialSettings::KeyVaultSign(in_vault(&azure)), of_file],
        );
    });
    let asked = signatures(&azure).len();
    assert_signs_in(&system);
    assert_eq!(signatures(&azure).len(), asked, "the file signs");
    let told = logs::with(&azure.server.url(""));
    let line = told
        .iter()
        .find(|line| line.contains("credential 1 key_vault_sign"))
        .expect("why it is not used");
    assert!(
        line.contains("keys/sign") && line.contains("Key Vault Crypto User"),
        "{line}"
    );
    let file = system.folder.path().join("client.pem").display().to_string();
    let used = logs::with(&file);
    assert!(
        used.iter().any(|line| line.contains("the site authenticates with")),
        "{used:?}"
    );
}

#[test]
fn where_nothing_else_is_in_the_list_the_log_says_what_the_vault_refuses() {
    logs::keep();
    let azure = PlayedAzure::start();
    azure.put(NAME, registered(false, false));
    let system = TestSystem::with(|settings| {
        on_a_machine(
            settings,
            &azure,
            vec![CredentialSettings::KeyVaultSign(in_vault(&azure))],
        );
    });
    azure.fail("/keys/", 100, 403, forbidden());
    assert_nothing_to_sign_with(&system);
    let told = logs::with(&azure.server.url(""));
    let failed = told
        .iter()
        .find(|line| line.contains("sign-in failed"))
        .expect("a line about the sign-in");
    assert!(
        failed.contains("keys/sign") && failed.contains("Key Vault Crypto User"),
        "{failed}"
    );
}

#[test]
fn the_same_certificate_by_another_way_steps_in_where_the_vault_does_not_sign() {
    type Another = fn(&PlayedAzure, &Settings) -> CredentialSettings;
    let of_file: Another = |_, settings| CredentialSettings::File(settings.client.certificate.clone());
    let download: Another = |azure, _| CredentialSettings::KeyVaultCertificate(in_vault(azure));
    for another in [of_file, download] {
        let azure = PlayedAzure::start();
        azure.put(NAME, registered(true, false));
        let system = TestSystem::with(|settings| {
            let entries = vec![
                CredentialSettings::KeyVaultSign(in_vault(&azure)),
                another(&azure, settings),
            ];
            on_a_machine(settings, &azure, entries);
        });
        assert_signs_in(&system);
        azure.fail("/keys/", 100, 403, forbidden());
        assert_signs_in(&system);
    }
}

#[test]
fn what_entra_refuses_is_not_sent_again_by_another_way() {
    logs::keep();
    let azure = PlayedAzure::start();
    azure.put(NAME, registered(true, false));
    let system = TestSystem::with(|settings| {
        let sign = CredentialSettings::KeyVaultSign(in_vault(&azure));
        on_a_machine(
            settings,
            &azure,
            vec![sign, CredentialSettings::KeyVaultCertificate(in_vault(&azure))],
        );
    });
    let control = IdpControl::of(&system.idp);
    control.remove_certificates(DEV_CLIENT_ID);
    assert!(!signs_in(&system));
    assert_eq!(
        control.requests_to("/oauth2/v2.0/token").len(),
        1,
        "the other entry has the same certificate"
    );
    let told = logs::with(&azure.server.url(""));
    let refused = told
        .iter()
        .find(|line| line.contains("was refused by Entra ID"))
        .expect("that Entra refused");
    assert!(
        refused.contains("AADSTS700027") && refused.contains("correlation_id="),
        "{refused}"
    );
}

#[test]
fn one_refusal_that_passes_makes_no_other_credential_the_one_in_use() {
    let azure = PlayedAzure::start();
    let system = TestSystem::with(|settings| {
        let good = CredentialSettings::File(settings.client.certificate.clone());
        // A token that the registration does not trust, which Entra says in a way that is not about certificates.
        let path = file(
            &settings.idp.state_dir,
            "token",
            &[azure.federated_token("nobody", |_| {}).as_bytes()],
        );
        let federated = CredentialSettings::WorkloadIdentity(WorkloadIdentitySettings { token_file: Some(path) });
        on_a_machine(settings, &azure, vec![good, federated]);
    });
    let control = IdpControl::of(&system.idp);
    assert_signs_in(&system);
    crate::support::web::control(
        &system,
        "PUT",
        "/fault",
        Some(&json!({ "fail_next": { "count": 1, "code": 700_024 } })),
    );
    control.forget_requests();
    assert!(!signs_in(&system), "the other one is refused, too");
    assert_eq!(control.requests_to("/oauth2/v2.0/token").len(), 2);
    control.forget_requests();
    assert_signs_in(&system);
    assert_eq!(
        control.requests_to("/oauth2/v2.0/token").len(),
        1,
        "by the one that has always been good"
    );
}

#[test]
fn entra_decides_between_two_credentials_and_the_one_it_takes_is_remembered() {
    let azure = PlayedAzure::start();
    let system = TestSystem::with(|settings| {
        let good = CredentialSettings::File(settings.client.certificate.clone());
        let key = rsa_key(2048);
        let stranger = [pem(&TestCertificate::new("not uploaded", &key).make()), key_pem(&key)].concat();
        let path = file(&settings.idp.state_dir, "stranger.pem", &[&stranger]);
        let stranger = CredentialSettings::File(CertificateSettings {
            path: Some(path),
            ..CertificateSettings::default()
        });
        on_a_machine(settings, &azure, vec![stranger, good]);
    });
    let control = IdpControl::of(&system.idp);
    let sent = || control.requests_to("/oauth2/v2.0/token").len();
    assert_signs_in(&system);
    assert_eq!(sent(), 2, "the first is refused, the second taken");
    control.forget_requests();
    assert_signs_in(&system);
    assert_eq!(sent(), 1, "and remembered");
}

#[test]
fn no_token_is_sent_to_who_asks_for_one_of_somebody_else() {
    let azure = PlayedAzure::start();
    azure.put(NAME, registered(false, false));
    for foreign in [
        "https://graph.microsoft.com",
        "https://vault.azure.net",
        "http://localhost:1",
    ] {
        azure.demand_tokens_for(foreign);
        azure.forget();
        let (error, hint) = failure(&azure, CredentialSettings::KeyVaultSign(in_vault(&azure)), |_| {});
        assert!(error.contains(foreign) && error.contains("none was sent"), "{error}");
        assert!(hint.contains("vault_url"), "{hint}");
        assert!(azure.asked("/metadata/").is_empty(), "no token was even asked for");
        assert!(azure.asked("/").iter().all(|asked| asked.token.is_none()));
    }
}

#[test]
fn a_key_beyond_the_vault_is_not_taken() {
    let azure = PlayedAzure::start();
    azure.put(NAME, registered(false, false));
    let mut settings = Settings::default();
    on_a_machine(
        &mut settings,
        &azure,
        vec![CredentialSettings::KeyVaultSign(in_vault(&azure))],
    );
    let source = CredentialSource::all(&settings).expect("sources").remove(0);
    source.load().expect("a certificate");
    let own = azure.server.url("/secrets/a/1");
    azure.fail(
        "/certificates/",
        1,
        200,
        json!({ "cer": "AA==", "kid": "https://evil.example/keys/a/1", "sid": own }),
    );
    let error = source.load().expect_err("refused").to_string();
    assert!(error.contains("its key is not in this vault"), "{error}");
}

#[test]
fn a_signature_by_another_key_does_not_leave_this_machine() {
    let azure = PlayedAzure::start();
    azure.put(NAME, registered(false, false));
    let system = TestSystem::with(|settings| {
        on_a_machine(
            settings,
            &azure,
            vec![CredentialSettings::KeyVaultSign(in_vault(&azure))],
        );
    });
    azure.swap_key(NAME, rsa_key(2048));
    assert_nothing_to_sign_with(&system);
}

#[test]
fn a_new_version_in_the_vault_is_found_when_entra_refuses_the_old_one() {
    let azure = PlayedAzure::start();
    azure.put(NAME, registered(false, false));
    let system = TestSystem::with(|settings| {
        on_a_machine(
            settings,
            &azure,
            vec![CredentialSettings::KeyVaultSign(in_vault(&azure))],
        );
    });
    let control = IdpControl::of(&system.idp);
    assert_signs_in(&system);
    let old = sent(&control).pop().expect("a request").0;
    let text = put_new_version(&azure);
    control.replace_certificates(DEV_CLIENT_ID, &[&text]);
    azure.forget();
    control.forget_requests();
    assert_signs_in(&system);
    assert_eq!(
        signed_by_versions(&azure),
        ["v1", "v2", "v2"],
        "the old one, then the new one on trial, then for good"
    );
    let requests = sent(&control);
    assert_eq!(
        requests.iter().map(|(_, status)| *status).collect::<Vec<_>>(),
        [401, 200]
    );
    assert!(
        requests[0].0 == old && requests[1].0 != old,
        "the old certificate was refused, the new one taken"
    );
}

#[test]
fn a_new_version_that_entra_does_not_take_yet_gives_way_to_the_one_before_which_still_signs() {
    let azure = PlayedAzure::start();
    azure.put(NAME, registered(false, false));
    let system = TestSystem::with(|settings| {
        // The file's folder is watched.
        let of_file = CredentialSettings::File(settings.client.certificate.clone());
        on_a_machine(
            settings,
            &azure,
            vec![CredentialSettings::KeyVaultSign(in_vault(&azure)), of_file],
        );
        settings.azure.vault_check = Duration::ZERO;
    });
    let control = IdpControl::of(&system.idp);
    let old = fs::read_to_string(system.folder.path().join("client-cert.pem")).expect("there");
    assert_signs_in(&system);
    let text = put_new_version(&azure);
    azure.forget();
    // Whatever happens to a file that is watched makes the site look at all that it has.
    let path = system.folder.path().join("client.pem");
    fs::write(&path, fs::read(&path).expect("there")).expect("written");
    let refused = || sent(&control).iter().any(|(_, status)| *status == 401);
    wait_until("the new one is found without anybody's asking, and tried", || {
        assert_signs_in(&system);
        refused()
    });
    azure.forget();
    control.forget_requests();
    assert_signs_in(&system);
    assert_eq!(sent(&control).len(), 1, "what Entra takes is remembered");
    assert!(signed_by_versions(&azure).contains(&"v1".to_owned()));
    control.replace_certificates(DEV_CLIENT_ID, &[&old, &text]);
    assert_signs_in(&system);
    control.replace_certificates(DEV_CLIENT_ID, &[&text]);
    assert_signs_in(&system);
}

/// Into the vault; gives the certificate.
fn put_new_version(azure: &PlayedAzure) -> String {
    let key = rsa_key(2048);
    let certificate = TestCertificate::new("renewed", &key).make();
    let text = String::from_utf8(pem(&certificate)).expect("PEM");
    azure.put(
        NAME,
        InVault {
            certificate,
            key,
            exportable: false,
            as_pem: false,
        },
    );
    text
}

/// Thumbprint and status of each token request.
fn sent(control: &IdpControl) -> Vec<(serde_json::Value, u64)> {
    let requests = control.requests_to("/oauth2/v2.0/token");
    let parts = |request: &serde_json::Value| {
        (
            request["assertion_header"]["x5t#S256"].clone(),
            request["status"].as_u64().expect("a status"),
        )
    };
    requests.iter().map(parts).collect()
}

fn signed_by_versions(azure: &PlayedAzure) -> Vec<String> {
    let version = |asked: &Asked| asked.path.split('/').nth(3).expect("a version").to_owned();
    signatures(azure).iter().map(version).collect()
}

#[test]
fn where_no_entry_can_be_used_all_reasons_are_told() {
    let azure = PlayedAzure::start();
    let mut settings = Settings::default();
    settings.entra.tenant_id = blogctl::config::DEV_TENANT_ID.to_owned();
    let missing = CertificateSettings {
        path: Some("missing.pem".into()),
        ..CertificateSettings::default()
    };
    let workload = CredentialSettings::WorkloadIdentity(WorkloadIdentitySettings::default());
    let entries = vec![
        CredentialSettings::File(missing),
        workload,
        CredentialSettings::KeyVaultSign(in_vault(&azure)),
    ];
    on_a_machine(&mut settings, &azure, entries);
    let provider = Arc::new(Provider::new(&settings.entra).expect("a provider"));
    let redirect_uri = Url::parse("http://localhost:5000/callback").expect("a URL");
    let error = ConfidentialClient::new(provider, &settings, redirect_uri)
        .err()
        .expect("none")
        .to_string();
    let lines: Vec<&str> = error.lines().collect();
    assert_eq!(lines.len(), 4, "{error}");
    for (line, (reason, hint)) in lines[1..].iter().zip([
        (
            "1. file (missing.pem): missing.pem cannot be read",
            "check that the file exists",
        ),
        (
            "2. workload_identity (no file): azure.federated_token_file is not set",
            "azure.workload.identity/use",
        ),
        ("3. key_vault_sign (blog-site in ", "there is no blog-site in the vault"),
    ]) {
        let (told, remedy) = line.split_once("; hint: ").expect("what to do about it");
        assert!(told.contains(reason) && remedy.contains(hint), "{error}");
    }
}
