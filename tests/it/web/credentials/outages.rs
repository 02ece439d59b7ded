//! Transient failures are retried and others are not; no sign-in waits long, or waits for something that another one waits
//! for already.

use std::{sync::Arc, time::Duration};

use blogctl::{
    config::{CertificateSettings, CredentialSettings, DEV_CLIENT_ID, Settings},
    entra::{CredentialSource, Provider, confidential_client::ConfidentialClient},
};
use serde_json::json;
use url::Url;

use super::{
    NAME, assert_nothing_to_sign_with, assert_signs_in, forbidden, in_vault, put_new_version, signatures, signs_in,
    use_credentials,
};
use crate::support::{
    azure::{FakeAzure, registered},
    certificates::{TestCertificate, file, key_pem, pem},
    entra::{rsa_key, wait_until},
    idp::IdpControl,
    system::{TestSystem, client_certificate},
};

fn busy() -> serde_json::Value {
    json!({ "error": { "code": "Throttled", "message": "try again" }})
}

fn with_the_vault_alone(azure: &FakeAzure) -> TestSystem {
    TestSystem::with(|settings| {
        use_credentials(settings, azure, vec![CredentialSettings::KeyVaultSign(in_vault(azure))]);
    })
}

fn source(azure: &FakeAzure) -> CredentialSource {
    let mut settings = Settings::default();
    use_credentials(
        &mut settings,
        azure,
        vec![CredentialSettings::KeyVaultSign(in_vault(azure))],
    );
    CredentialSource::from_settings(&settings).expect("sources").remove(0)
}

/// Signs in this many users at the same time; returns how many succeeded.
fn at_once(people: usize, system: &TestSystem) -> usize {
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..people).map(|_| scope.spawn(|| signs_in(system))).collect();
        all.into_iter()
            .map(|one| usize::from(one.join().expect("it ends")))
            .sum()
    })
}

#[test]
fn busy_services_are_retried_and_a_rejected_token_is_replaced_once() {
    let azure = FakeAzure::start();
    azure.put(NAME, registered(false, false));
    azure.fail("/metadata/", 2, 429, busy());
    azure.fail("/certificates/", 1, 503, busy());
    let system = TestSystem::with(|settings| {
        use_credentials(
            settings,
            &azure,
            vec![CredentialSettings::KeyVaultSign(in_vault(&azure))],
        );
    });
    assert_eq!(azure.requests_to("/metadata/").len(), 3);
    assert_eq!(azure.requests_to("/certificates/").len(), 3);
    azure.forget_requests();
    azure.fail("/keys/", 2, 500, busy());
    assert_signs_in(&system);
    assert_eq!(signatures(&azure).len(), 3);

    azure.forget_requests();
    azure.revoke_tokens();
    assert_signs_in(&system);
    assert_eq!(
        (signatures(&azure).len(), azure.requests_to("/metadata/").len()),
        (2, 1),
        "a fresh token, once"
    );

    azure.forget_requests();
    azure.fail("/keys/", 100, 500, busy());
    assert_nothing_to_sign_with(&system);
    assert_eq!(signatures(&azure).len(), 4, "and no more");
}

#[test]
fn a_token_is_renewed_before_it_expires() {
    let azure = FakeAzure::start();
    azure.put(NAME, registered(false, false));
    azure.tokens_live(4);
    let system = TestSystem::with(|settings| {
        use_credentials(
            settings,
            &azure,
            vec![CredentialSettings::KeyVaultSign(in_vault(&azure))],
        );
    });
    wait_until("half of its life is over, again and again", || {
        assert_signs_in(&system);
        azure.requests_to("/metadata/").len() > 3
    });
    assert_eq!(azure.rejected(), 0, "the vault has never seen one that had ended");
}

#[test]
fn sign_ins_do_not_queue_behind_an_unavailable_vault() {
    const PEOPLE: usize = 20;
    let azure = FakeAzure::start();
    azure.put(NAME, registered(false, false));
    let system = with_the_vault_alone(&azure);
    azure.forget_requests();
    azure.fail("/", 10_000, 503, busy());
    assert_eq!(at_once(PEOPLE, &system), 0);
    let looked = azure.requests_to("/certificates/").len();
    assert!(
        (1..PEOPLE).contains(&looked),
        "one looks whether there is a new version, not each: {looked}"
    );
    azure.clear_failures();
    wait_until("people sign in again", || signs_in(&system));
}

#[test]
fn concurrent_rejections_share_a_check_of_the_vault() {
    const PEOPLE: usize = 20;
    let azure = FakeAzure::start();
    azure.put(NAME, registered(false, false));
    let system = with_the_vault_alone(&azure);
    IdpControl::new(&system.idp).replace_certificates(DEV_CLIENT_ID, &[&put_new_version(&azure)]);
    azure.forget_requests();
    azure.delay_responses(Duration::from_millis(200));
    assert_eq!(at_once(PEOPLE, &system), PEOPLE, "by the new version");
    let looked = azure.requests_to("/certificates/").len();
    assert!((1..PEOPLE / 2).contains(&looked), "{looked}");

    IdpControl::new(&system.idp).remove_certificates(DEV_CLIENT_ID);
    azure.forget_requests();
    assert_eq!(at_once(PEOPLE, &system), 0);
    let looked = azure.requests_to("/certificates/").len();
    assert!(
        (1..PEOPLE / 2).contains(&looked),
        "who waited for the answer that nothing is new had it, too: {looked}"
    );
}

#[test]
fn an_unavailable_fallback_is_retried_when_nothing_else_works() {
    let azure = FakeAzure::start();
    azure.put(NAME, registered(false, false));
    let system = TestSystem::with(|settings| {
        let key = rsa_key(2048);
        let stranger = [pem(&TestCertificate::new("not uploaded", &key).make()), key_pem(&key)].concat();
        let path = file(&settings.idp.state_dir, "stranger.pem", &[&stranger]);
        let stranger = CertificateSettings {
            path: Some(path),
            ..CertificateSettings::default()
        };
        let entries = vec![
            CredentialSettings::File(stranger),
            CredentialSettings::KeyVaultSign(in_vault(&azure)),
        ];
        use_credentials(settings, &azure, entries);
    });
    azure.fail("/keys/", 1000, 403, forbidden());
    assert!(!signs_in(&system));
    azure.clear_failures();
    wait_until(
        "the vault has its luck again, long before it is asked by the clock",
        || signs_in(&system),
    );
}

#[test]
fn concurrent_sign_ins_share_a_new_token() {
    let azure = FakeAzure::start();
    azure.put(NAME, registered(false, false));
    let system = with_the_vault_alone(&azure);
    azure.forget_requests();
    azure.revoke_tokens();
    assert_eq!(at_once(20, &system), 20);
    assert_eq!(azure.requests_to("/metadata/").len(), 1);
}

#[test]
fn retry_after_is_respected_and_an_excessive_one_ends_the_attempt() {
    let azure = FakeAzure::start();
    azure.put(NAME, registered(false, false));
    let system = with_the_vault_alone(&azure);
    azure.forget_requests();
    azure.fail_with("/keys/", 1, 429, ("Retry-After", "1"), busy());
    assert_signs_in(&system);
    assert_eq!(signatures(&azure).len(), 2);
    for wish in ["60", "18446744073709551615", "Fri, 31 Dec 9999 23:59:59 GMT"] {
        let azure = FakeAzure::start();
        azure.put(NAME, registered(false, false));
        azure.fail_with("/keys/", 100, 429, ("Retry-After", wish), busy());
        let error = source(&azure).load().expect_err("busy");
        assert_eq!(signatures(&azure).len(), 1, "the pause is too long: {error}");
    }
}

#[test]
fn the_metadata_service_is_retried_while_it_starts_but_not_when_it_rejects() {
    let azure = FakeAzure::start();
    azure.put(NAME, registered(false, false));
    for status in [404, 408, 410, 429, 500, 503] {
        azure.forget_requests();
        azure.fail("/metadata/", 1, status, json!({ "error": "busy" }));
        source(&azure).load().expect("it passes");
        assert_eq!(azure.requests_to("/metadata/").len(), 2, "{status}");
    }
    for (status, code, hint) in [
        (400, "invalid_request", "system-assigned identity"),
        (400, "invalid_resource", "vault_url"),
        (401, "unknown_source", "azure.imds_url"),
        (403, "forbidden", "azure.imds_url"),
    ] {
        azure.forget_requests();
        azure.clear_failures();
        azure.fail("/metadata/", 100, status, json!({ "error": code }));
        let error = source(&azure).load().expect_err("rejected");
        assert_eq!(azure.requests_to("/metadata/").len(), 1, "{status}");
        assert!(
            error.to_string().contains(code) && error.hint().contains(hint),
            "{error}: {}",
            error.hint()
        );
    }
}

#[test]
fn a_redirect_is_not_followed_with_a_token() {
    let (azure, elsewhere) = (FakeAzure::start(), FakeAzure::start());
    azure.put(NAME, registered(false, false));
    for path in ["/metadata/", "/certificates/", "/keys/"] {
        azure.clear_failures();
        azure.fail_with(
            path,
            1,
            302,
            ("Location", &elsewhere.server.url("/elsewhere")),
            json!({}),
        );
        let error = source(&azure).load().expect_err("rejected").to_string();
        assert!(error.contains("answered 302"), "{error}");
    }
    assert!(elsewhere.requests_to("/").is_empty());
}

#[test]
fn a_vault_is_checked_regularly_for_a_new_version_even_if_it_fails() {
    let azure = FakeAzure::start();
    azure.put(NAME, registered(false, false));
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(folder.path(), "client.pem", &[client_certificate().1.as_bytes()]);
    let client = |vault_check: Duration| {
        let mut settings = Settings::default();
        settings.entra.tenant_id = blogctl::config::DEV_TENANT_ID.to_owned();
        let of_file = CertificateSettings {
            path: Some(path.clone()),
            ..CertificateSettings::default()
        };
        let entries = vec![
            CredentialSettings::KeyVaultSign(in_vault(&azure)),
            CredentialSettings::File(of_file),
        ];
        use_credentials(&mut settings, &azure, entries);
        settings.azure.vault_check = vault_check;
        let provider = Arc::new(Provider::new(&settings.entra).expect("a provider"));
        let redirect_uri = Url::parse("http://localhost:5000/callback").expect("a URL");
        ConfidentialClient::new(provider, &settings, redirect_uri).expect("a credential")
    };
    let asked_by = |client: &ConfidentialClient| {
        azure.forget_requests();
        assert!(!client.reload_credential().expect("nothing new"));
        azure.requests_to("/").len()
    };
    let (often, seldom) = (client(Duration::ZERO), client(Duration::from_hours(1)));
    assert_eq!(
        (asked_by(&often), asked_by(&seldom)),
        (2, 0),
        "certificate and signature each time, or not at all"
    );
    put_new_version(&azure);
    assert!(often.reload_credential().expect("a new version"));
    assert!(
        often.credential().name().contains("CN=renewed"),
        "{}",
        often.credential().name()
    );

    azure.fail("/keys/", 1000, 403, forbidden());
    let (often, seldom) = (client(Duration::ZERO), client(Duration::from_hours(1)));
    assert_ne!(asked_by(&often), 0);
    assert_eq!(asked_by(&seldom), 0, "and a vault that fails is not asked each minute");
}
