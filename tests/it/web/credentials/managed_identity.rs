//! Managed identities of virtual machines and of App Service: their tokens open the vault, or are the client assertion.

use blogctl::config::{CredentialSettings, ManagedIdentitySettings, Settings};
use secrecy::SecretString;
use url::Url;

use super::{NAME, assert_signs_in, failure, in_vault, signs_in, trust, use_credentials};
use crate::support::{
    azure::{FakeAzure, IDENTITY, IDENTITY_HEADER, registered},
    idp::IdpControl,
    system::TestSystem,
    web::{ALICE, Browser},
};

#[test]
fn app_service_issues_the_token_for_the_vault() {
    let azure = FakeAzure::start();
    azure.put(NAME, registered(false, false));
    let app_service = |settings: &mut Settings, header: &str| {
        settings.azure.identity_endpoint = Some(Url::parse(&azure.server.url("/msi/token")).expect("a URL"));
        settings.azure.identity_header = Some(SecretString::from(header));
        settings.azure.client_id = Some(IDENTITY.to_owned());
    };
    let system = TestSystem::with(|settings| {
        use_credentials(
            settings,
            &azure,
            vec![CredentialSettings::KeyVaultSign(in_vault(&azure))],
        );
        app_service(settings, IDENTITY_HEADER);
    });
    assert_signs_in(&system);
    assert!(azure.requests_to("/metadata/").is_empty());
    let request = azure.requests_to("/msi/token").remove(0);
    assert_eq!(request.query["client_id"], IDENTITY);
    let entry = CredentialSettings::KeyVaultSign(in_vault(&azure));
    let (error, hint) = failure(&azure, entry, |settings| app_service(settings, "another"));
    assert!(error.contains("IDENTITY_ENDPOINT) answered 401"), "{error}");
    assert!(hint.contains("IDENTITY_HEADER") && !error.contains("another"), "{hint}");
}

#[test]
fn app_service_issues_the_client_assertion() {
    let azure = FakeAzure::start();
    let system = TestSystem::with(|settings| {
        let entry = ManagedIdentitySettings {
            client_id: Some(IDENTITY.to_owned()),
        };
        use_credentials(settings, &azure, vec![CredentialSettings::ManagedIdentity(entry)]);
        trust(settings, &azure, IDENTITY);
        settings.azure.identity_endpoint = Some(Url::parse(&azure.server.url("/msi/token")).expect("a URL"));
        settings.azure.identity_header = Some(SecretString::from(IDENTITY_HEADER));
    });
    assert_signs_in(&system);
    let request = azure.requests_to("/msi/token").remove(0);
    assert_eq!(
        (&*request.query["resource"], &*request.query["client_id"]),
        ("api://AzureADTokenExchange", IDENTITY)
    );
    assert!(azure.requests_to("/metadata/").is_empty());
}

#[test]
fn a_managed_identity_token_that_entra_rejects_is_replaced_once() {
    let azure = FakeAzure::start();
    let system = TestSystem::with(|settings| {
        let entry = ManagedIdentitySettings {
            client_id: Some(IDENTITY.to_owned()),
        };
        use_credentials(settings, &azure, vec![CredentialSettings::ManagedIdentity(entry)]);
        trust(settings, &azure, IDENTITY);
    });
    let control = IdpControl::new(&system.idp);
    control.fail_next(1, 700_024);
    assert_signs_in(&system);
    assert_eq!(
        (
            control.requests_to("/oauth2/v2.0/token").len(),
            azure.requests_to("/metadata/").len()
        ),
        (2, 2)
    );
    control.forget_requests();
    control.fail_next(9, 700_024);
    assert!(!signs_in(&system));
    assert_eq!(control.requests_to("/oauth2/v2.0/token").len(), 2, "retried once");
}

#[test]
fn a_managed_identity_signs_in_with_its_token() {
    let azure = FakeAzure::start();
    let system = TestSystem::with(|settings| {
        let entry = ManagedIdentitySettings {
            client_id: Some(IDENTITY.to_owned()),
        };
        use_credentials(settings, &azure, vec![CredentialSettings::ManagedIdentity(entry)]);
        trust(settings, &azure, IDENTITY);
    });
    assert_signs_in(&system);
    assert_signs_in(&system);
    let requests = azure.requests_to("/metadata/");
    assert_eq!(requests.len(), 1, "the token is cached");
    assert_eq!(requests[0].query["resource"], "api://AzureADTokenExchange");
    assert_eq!(requests[0].query["client_id"], IDENTITY);
    let page = Browser::new().sign_in(&system, ALICE, "/profile");
    assert!(
        page.text().contains("With a token that the platform issues"),
        "{}",
        page.body
    );
    let health = Browser::new().get(&system.web.url("/health/ready"));
    assert!(health.body.contains("not_needed"), "{}", health.body);
}
