//! A new version of the certificate in the vault, while the site runs.

use std::{fs, time::Duration};

use blogctl::config::{CredentialSettings, DEV_CLIENT_ID};

use super::{NAME, assert_signs_in, in_vault, put_new_version, signatures, use_credentials};
use crate::support::{
    azure::{AzureRequest, FakeAzure, registered},
    entra::wait_until,
    idp::IdpControl,
    system::TestSystem,
};

#[test]
fn a_new_version_is_found_when_entra_rejects_the_old_one() {
    let azure = FakeAzure::start();
    azure.put(NAME, registered(false, false));
    let system = TestSystem::with(|settings| {
        use_credentials(
            settings,
            &azure,
            vec![CredentialSettings::KeyVaultSign(in_vault(&azure))],
        );
    });
    let control = IdpControl::new(&system.idp);
    assert_signs_in(&system);
    let old = sent(&control).pop().expect("a request").0;
    let text = put_new_version(&azure);
    control.replace_certificates(DEV_CLIENT_ID, &[&text]);
    azure.forget_requests();
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
        "the old certificate was rejected, the new one accepted"
    );
}

#[test]
fn while_entra_rejects_a_new_version_the_previous_one_signs() {
    let azure = FakeAzure::start();
    azure.put(NAME, registered(false, false));
    let system = TestSystem::with(|settings| {
        // The folder of the file is watched.
        let of_file = CredentialSettings::File(settings.client.certificate.clone());
        use_credentials(
            settings,
            &azure,
            vec![CredentialSettings::KeyVaultSign(in_vault(&azure)), of_file],
        );
        settings.azure.vault_check = Duration::ZERO;
    });
    let control = IdpControl::new(&system.idp);
    let old = fs::read_to_string(system.folder.path().join("client-cert.pem")).expect("there");
    assert_signs_in(&system);
    let text = put_new_version(&azure);
    azure.forget_requests();
    // Any event on a watched file makes the site reload all its credentials.
    let path = system.folder.path().join("client.pem");
    fs::write(&path, fs::read(&path).expect("there")).expect("written");
    let rejected = || sent(&control).iter().any(|(_, status)| *status == 401);
    wait_until("the new one is found and tried", || {
        assert_signs_in(&system);
        rejected()
    });
    azure.forget_requests();
    control.forget_requests();
    assert_signs_in(&system);
    assert_eq!(sent(&control).len(), 1, "the accepted certificate is remembered");
    assert!(signed_by_versions(&azure).contains(&"v1".to_owned()));
    control.replace_certificates(DEV_CLIENT_ID, &[&old, &text]);
    assert_signs_in(&system);
    control.replace_certificates(DEV_CLIENT_ID, &[&text]);
    assert_signs_in(&system);
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

fn signed_by_versions(azure: &FakeAzure) -> Vec<String> {
    let version = |asked: &AzureRequest| asked.path.split('/').nth(3).expect("a version").to_owned();
    signatures(azure).iter().map(version).collect()
}
