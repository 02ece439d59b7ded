//! The list of credentials: every source signs in, each failure is reported, and the next credential takes over.

mod fallback;
mod key_vault;
mod managed_identity;
mod new_version;
mod outages;
mod workload_identity;

use blogctl::{
    config::{
        CertificateSettings, CredentialSettings, DEV_CLIENT_ID, Environment, FederatedIdentity, Settings, VaultSettings,
    },
    entra::CredentialSource,
};
use serde_json::json;

use crate::support::{
    azure::{AzureRequest, FakeAzure, VaultCertificate},
    certificates::{TestCertificate, pem},
    entra::rsa_key,
    idp::IdpControl,
    system::TestSystem,
    web::{ALICE, Browser},
};

const NAME: &str = "blog-site";
const SUBJECT: &str = "system:serviceaccount:blog:site";

fn in_vault(azure: &FakeAzure) -> VaultSettings {
    VaultSettings {
        vault_url: azure.url(),
        certificate: NAME.to_owned(),
    }
}

/// Settings of a virtual machine with these credentials.
fn use_credentials(settings: &mut Settings, azure: &FakeAzure, entries: Vec<CredentialSettings>) {
    settings.server.environment = Environment::Production;
    settings.azure.imds_url = azure.url();
    settings.client.certificate = CertificateSettings::default();
    settings.client.credential = entries;
}

fn trust(settings: &mut Settings, azure: &FakeAzure, subject: &str) {
    let issuer = azure.server.url("");
    for app in settings
        .idp
        .apps
        .iter_mut()
        .filter(|app| app.client_id == DEV_CLIENT_ID)
    {
        // Without a certificate, only the token can be accepted.
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

/// Nothing was sent to Entra ID, and the page addresses the operator.
fn assert_nothing_to_sign_with(system: &TestSystem) {
    let control = IdpControl::new(&system.idp);
    control.forget_requests();
    let page = Browser::new().sign_in(system, ALICE, "/posts");
    assert_eq!((page.status, page.error()), (500, "sign-in"), "{}", page.body);
    assert!(page.text().contains("blogctl cert check"), "{}", page.body);
    assert!(control.requests_to("/oauth2/v2.0/token").is_empty());
}

/// Error and hint of the only source of these settings.
fn failure(azure: &FakeAzure, entry: CredentialSettings, change: impl FnOnce(&mut Settings)) -> (String, String) {
    let mut settings = Settings::default();
    use_credentials(&mut settings, azure, vec![entry]);
    change(&mut settings);
    let source = CredentialSource::from_settings(&settings).expect("sources").remove(0);
    let error = source.load().expect_err("it fails");
    (error.to_string(), error.hint())
}

fn signatures(azure: &FakeAzure) -> Vec<AzureRequest> {
    azure.requests_to("/keys/")
}

fn forbidden() -> serde_json::Value {
    json!({ "error": { "code": "Forbidden", "message": "The user, group or application does not have …" }})
}

/// Puts a new version into the vault, and returns its certificate.
fn put_new_version(azure: &FakeAzure) -> String {
    let key = rsa_key(2048);
    let certificate = TestCertificate::new("renewed", &key).make();
    let text = String::from_utf8(pem(&certificate)).expect("PEM");
    azure.put(
        NAME,
        VaultCertificate {
            certificate,
            key,
            exportable: false,
            as_pem: false,
        },
    );
    text
}
