//! Which credential of the list is used, and when the next one takes over.

use std::{fs, sync::Arc};

use blogctl::{
    config::{CertificateSettings, CredentialSettings, DEV_CLIENT_ID, Settings, WorkloadIdentitySettings},
    entra::{Provider, confidential_client::ConfidentialClient},
};
use serde_json::json;
use url::Url;

use super::{
    NAME, assert_nothing_to_sign_with, assert_signs_in, forbidden, in_vault, signatures, signs_in, use_credentials,
};
use crate::support::{
    azure::{FakeAzure, registered},
    certificates::{TestCertificate, file, key_pem, pem},
    entra::rsa_key,
    idp::IdpControl,
    logs,
    system::TestSystem,
};

#[test]
fn a_signature_that_the_vault_rejects_is_logged_and_the_next_credential_signs() {
    logs::capture();
    let azure = FakeAzure::start();
    azure.put(NAME, registered(false, false));
    let system = TestSystem::with(|settings| {
        let of_file = CredentialSettings::File(settings.client.certificate.clone());
        let entries = vec![CredentialSettings::KeyVaultSign(in_vault(&azure)), of_file];
        use_credentials(settings, &azure, entries);
        // Another certificate in the file, also registered.
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
    azure.forget_requests();
    azure.fail("/keys/", 100, 403, forbidden());
    assert_signs_in(&system);
    assert_eq!(
        signatures(&azure).len(),
        2,
        "tried once, and again after the vault was checked"
    );
    assert_signs_in(&system);
    assert_eq!(signatures(&azure).len(), 2, "the working credential is remembered");
    let reported = logs::containing(&azure.server.url(""));
    let why = reported
        .iter()
        .find(|line| line.contains("Entra ID was not asked"))
        .expect("why the first did not do");
    assert!(
        why.contains("answered 403") && why.contains("\"Key Vault Crypto User\""),
        "{why}"
    );
    assert!(why.contains("keys/sign"), "{why}");
}

#[test]
fn at_start_an_unusable_vault_key_is_skipped_and_the_log_names_the_permission() {
    logs::capture();
    let azure = FakeAzure::start();
    azure.put(NAME, registered(false, false));
    azure.fail("/keys/", 100, 403, forbidden());
    let system = TestSystem::with(|settings| {
        let of_file = CredentialSettings::File(settings.client.certificate.clone());
        use_credentials(
            settings,
            &azure,
            vec![CredentialSettings::KeyVaultSign(in_vault(&azure)), of_file],
        );
    });
    let before = signatures(&azure).len();
    assert_signs_in(&system);
    assert_eq!(signatures(&azure).len(), before, "the file signs");
    let reported = logs::containing(&azure.server.url(""));
    let line = reported
        .iter()
        .find(|line| line.contains("credential 1 key_vault_sign"))
        .expect("why it is not used");
    assert!(
        line.contains("keys/sign") && line.contains("Key Vault Crypto User"),
        "{line}"
    );
    let file = system.folder.path().join("client.pem").display().to_string();
    let used = logs::containing(&file);
    assert!(
        used.iter().any(|line| line.contains("the site authenticates with")),
        "{used:?}"
    );
}

#[test]
fn without_another_credential_the_log_says_what_the_vault_rejects() {
    logs::capture();
    let azure = FakeAzure::start();
    azure.put(NAME, registered(false, false));
    let system = TestSystem::with(|settings| {
        use_credentials(
            settings,
            &azure,
            vec![CredentialSettings::KeyVaultSign(in_vault(&azure))],
        );
    });
    azure.fail("/keys/", 100, 403, forbidden());
    assert_nothing_to_sign_with(&system);
    let reported = logs::containing(&azure.server.url(""));
    let failed = reported
        .iter()
        .find(|line| line.contains("sign-in failed"))
        .expect("a line about the sign-in");
    assert!(
        failed.contains("keys/sign") && failed.contains("Key Vault Crypto User"),
        "{failed}"
    );
}

#[test]
fn the_same_certificate_from_another_source_replaces_a_vault_that_does_not_sign() {
    type Another = fn(&FakeAzure, &Settings) -> CredentialSettings;
    let of_file: Another = |_, settings| CredentialSettings::File(settings.client.certificate.clone());
    let download: Another = |azure, _| CredentialSettings::KeyVaultCertificate(in_vault(azure));
    for another in [of_file, download] {
        let azure = FakeAzure::start();
        azure.put(NAME, registered(true, false));
        let system = TestSystem::with(|settings| {
            let entries = vec![
                CredentialSettings::KeyVaultSign(in_vault(&azure)),
                another(&azure, settings),
            ];
            use_credentials(settings, &azure, entries);
        });
        assert_signs_in(&system);
        azure.fail("/keys/", 100, 403, forbidden());
        assert_signs_in(&system);
    }
}

#[test]
fn a_certificate_that_entra_rejects_is_not_sent_again_from_another_source() {
    logs::capture();
    let azure = FakeAzure::start();
    azure.put(NAME, registered(true, false));
    let system = TestSystem::with(|settings| {
        let sign = CredentialSettings::KeyVaultSign(in_vault(&azure));
        use_credentials(
            settings,
            &azure,
            vec![sign, CredentialSettings::KeyVaultCertificate(in_vault(&azure))],
        );
    });
    let control = IdpControl::new(&system.idp);
    control.remove_certificates(DEV_CLIENT_ID);
    assert!(!signs_in(&system));
    assert_eq!(
        control.requests_to("/oauth2/v2.0/token").len(),
        1,
        "the other entry has the same certificate"
    );
    let reported = logs::containing(&azure.server.url(""));
    let rejected = reported
        .iter()
        .find(|line| line.contains("Entra ID rejected"))
        .expect("the rejection by Entra ID");
    assert!(
        rejected.contains("AADSTS700027") && rejected.contains("correlation_id="),
        "{rejected}"
    );
}

#[test]
fn one_transient_rejection_does_not_change_the_credential_in_use() {
    let azure = FakeAzure::start();
    let system = TestSystem::with(|settings| {
        let good = CredentialSettings::File(settings.client.certificate.clone());
        // A token that the registration does not trust; Entra ID's error does not mention certificates.
        let path = file(
            &settings.idp.state_dir,
            "token",
            &[azure.federated_token("unknown", |_| {}).as_bytes()],
        );
        let federated = CredentialSettings::WorkloadIdentity(WorkloadIdentitySettings { token_file: Some(path) });
        use_credentials(settings, &azure, vec![good, federated]);
    });
    let control = IdpControl::new(&system.idp);
    assert_signs_in(&system);
    crate::support::web::control(
        &system,
        "PUT",
        "/fault",
        Some(&json!({ "fail_next": { "count": 1, "code": 700_024 } })),
    );
    control.forget_requests();
    assert!(!signs_in(&system), "the other one is rejected, too");
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
fn the_credential_that_entra_accepts_is_remembered() {
    let azure = FakeAzure::start();
    let system = TestSystem::with(|settings| {
        let good = CredentialSettings::File(settings.client.certificate.clone());
        let key = rsa_key(2048);
        let stranger = [pem(&TestCertificate::new("not uploaded", &key).make()), key_pem(&key)].concat();
        let path = file(&settings.idp.state_dir, "stranger.pem", &[&stranger]);
        let stranger = CredentialSettings::File(CertificateSettings {
            path: Some(path),
            ..CertificateSettings::default()
        });
        use_credentials(settings, &azure, vec![stranger, good]);
    });
    let control = IdpControl::new(&system.idp);
    let sent = || control.requests_to("/oauth2/v2.0/token").len();
    assert_signs_in(&system);
    assert_eq!(sent(), 2, "the first is rejected, the second accepted");
    control.forget_requests();
    assert_signs_in(&system);
    assert_eq!(sent(), 1, "the accepted one is remembered");
}

#[test]
fn if_no_credential_is_usable_all_reasons_are_reported() {
    let azure = FakeAzure::start();
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
    use_credentials(&mut settings, &azure, entries);
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
        ("3. key_vault_sign (blog-site in ", "the vault has no blog-site"),
    ]) {
        let (reported, remedy) = line.split_once("; hint: ").expect("what to do about it");
        assert!(reported.contains(reason) && remedy.contains(hint), "{error}");
    }
}
