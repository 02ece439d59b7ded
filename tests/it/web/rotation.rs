//! A certificate is replaced while the site runs.

use std::{
    collections::BTreeSet,
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use blogctl::{
    config::{CertificateSettings, CredentialSettings, DEV_CLIENT_ID},
    entra::{
        Provider,
        confidential_client::{ConfidentialClient, PendingSignIn, SignInError},
    },
};
use secrecy::SecretString;
use serde_json::Value;
use url::Url;

use crate::support::{
    certificates::{TestCertificate, key_pem, pem},
    entra::{rsa_key, wait_until},
    idp::IdpControl,
    system::TestSystem,
    web::{ALICE, Browser, Page},
};

/// A new certificate: the part to register, and the file with its key.
fn new_certificate() -> (String, Vec<u8>) {
    let key = rsa_key(2048);
    let certificate = pem(&TestCertificate::new("renewed", &key).make());
    let file = [certificate.clone(), key_pem(&key)].concat();
    (String::from_utf8(certificate).expect("text"), file)
}

fn certificate_file(system: &TestSystem) -> PathBuf {
    system.settings.client.certificate.path.clone().expect("set")
}

fn registered(system: &TestSystem) -> String {
    fs::read_to_string(system.folder.path().join("client-cert.pem")).expect("there")
}

/// Waits until the site uses the current content of its file.
fn wait_for_new_certificate(system: &TestSystem, control: &IdpControl, before: &Value) {
    wait_until("the new file is found", || {
        signs_in(system) && used_first(control) != *before
    });
}

/// The certificate that the site tried first in its last sign-in.
fn used_first(control: &IdpControl) -> Value {
    let requests = control.requests_to("/oauth2/v2.0/token");
    let first = requests.first().expect("a request")["assertion_header"]["x5t#S256"].clone();
    control.forget_requests();
    first
}

/// Replaces a file atomically, as tools for renewal do.
fn replace_file(path: &PathBuf, content: &[u8]) {
    let aside = path.with_extension("aside");
    fs::write(&aside, content).expect("written");
    fs::rename(&aside, path).expect("renamed");
}

/// The certificate of the last token request.
fn last_used(control: &IdpControl) -> Value {
    control.requests_to("/oauth2/v2.0/token").last().expect("a request")["assertion_header"]["x5t#S256"].clone()
}

fn signs_in(system: &TestSystem) -> bool {
    Browser::new().sign_in(system, ALICE, "/posts").status == 200
}

#[test]
fn a_certificate_that_entra_already_accepts_is_loaded_at_the_first_rejection() {
    let system = TestSystem::start();
    let control = IdpControl::new(&system.idp);
    assert!(signs_in(&system));
    let (certificate, file) = new_certificate();
    control.replace_certificates(DEV_CLIENT_ID, &[&certificate]);
    replace_file(&certificate_file(&system), &file);
    control.forget_requests();
    assert!(signs_in(&system), "whether or not the watch was faster");
    let sent = control.requests_to("/oauth2/v2.0/token").len();
    assert!((1..=2).contains(&sent), "{sent} token requests");
}

#[test]
fn the_current_file_is_tried_before_an_intermediate_one() {
    let system = TestSystem::start();
    let control = IdpControl::new(&system.idp);
    assert!(signs_in(&system));
    let own = used_first(&control);
    let ((_, wrong), (certificate, right)) = (new_certificate(), new_certificate());
    replace_file(&certificate_file(&system), &wrong);
    wait_for_new_certificate(&system, &control, &own);
    // The previous certificate serves and is in use again. Then the file is corrected, still before the upload.
    replace_file(&certificate_file(&system), &right);
    wait_for_new_certificate(&system, &control, &own);
    assert!(signs_in(&system), "by the previous one");
    control.replace_certificates(DEV_CLIENT_ID, &[&certificate]);
    assert!(signs_in(&system), "by the one in the file, and not by the wrong one");
}

#[test]
fn while_entra_rejects_a_new_certificate_the_previous_one_is_used() {
    let system = TestSystem::start();
    let control = IdpControl::new(&system.idp);
    assert!(signs_in(&system));
    let (certificate, file) = new_certificate();
    let thumbprint = || {
        assert!(signs_in(&system), "no sign-in fails");
        last_used(&control)
    };
    let old = thumbprint();
    replace_file(&certificate_file(&system), &file);
    let tried = || {
        control
            .requests_to("/oauth2/v2.0/token")
            .iter()
            .any(|request| request["status"] == 401)
    };
    wait_until("the new one is tried and rejected", || {
        assert_eq!(thumbprint(), old, "the previous one works");
        tried()
    });
    control.forget_requests();
    assert!(signs_in(&system));
    assert_eq!(
        control.requests_to("/oauth2/v2.0/token").len(),
        1,
        "the accepted certificate is remembered"
    );

    control.replace_certificates(DEV_CLIENT_ID, &[&registered(&system), &certificate]);
    assert!(signs_in(&system));
    control.replace_certificates(DEV_CLIENT_ID, &[&certificate]);
    assert_ne!(thumbprint(), old, "now the new one");
}

#[test]
fn a_new_file_is_loaded_automatically_and_a_broken_one_is_not() {
    let system = TestSystem::start();
    let control = IdpControl::new(&system.idp);
    let (certificate, file) = new_certificate();
    let (_, other) = new_certificate();
    control.replace_certificates(DEV_CLIENT_ID, &[&registered(&system), &certificate]);
    // A certificate with the key of another one.
    let broken = [certificate.as_bytes(), &other].concat();
    let key_at = broken
        .windows(11)
        .rposition(|part| part == b"-----BEGIN ")
        .expect("a key");
    let sign_in = || {
        assert!(signs_in(&system), "no sign-in fails");
        last_used(&control)
    };
    let old = sign_in();
    replace_file(
        &certificate_file(&system),
        &[certificate.as_bytes(), &broken[key_at..]].concat(),
    );
    wait_until("it has looked", || {
        Browser::new()
            .get(&system.web.url("/health/ready"))
            .body
            .contains("\"files\":\"unusable\"")
    });
    assert_eq!(sign_in(), old, "the old one stays");
    replace_file(&certificate_file(&system), &file);
    wait_until("the new one is used", || sign_in() != old);
}

#[test]
fn two_files_that_are_replaced_one_after_the_other_are_used_when_they_belong_together() {
    let system = TestSystem::with(|settings| {
        let path = settings.client.certificate.path.clone().expect("set");
        settings.client.certificate.key_path = Some(path.with_file_name("site.key"));
        fs::copy(&path, path.with_file_name("site.key")).expect("copied");
    });
    let control = IdpControl::new(&system.idp);
    let (certificate, file) = new_certificate();
    control.replace_certificates(DEV_CLIENT_ID, &[&registered(&system), &certificate]);
    assert!(signs_in(&system));
    let old = last_used(&control);
    replace_file(&certificate_file(&system), certificate.as_bytes());
    wait_until("it has looked", || {
        Browser::new()
            .get(&system.web.url("/health/ready"))
            .body
            .contains("\"files\":\"unusable\"")
    });
    assert!(signs_in(&system));
    assert_eq!(last_used(&control), old, "one half is not used with the old other half");
    replace_file(&system.folder.path().join("site.key"), &file);
    wait_until("the new one is used", || {
        assert!(signs_in(&system), "no sign-in fails");
        last_used(&control) != old
    });
}

#[test]
fn six_rejections_are_retried_once_and_others_never() {
    let system = TestSystem::start();
    let control = IdpControl::new(&system.idp);
    let (certificate, file) = new_certificate();
    control.replace_certificates(DEV_CLIENT_ID, &[&registered(&system), &certificate]);
    assert!(signs_in(&system));
    let old = last_used(&control);
    replace_file(&certificate_file(&system), &file);
    wait_until("there are two that can be used", || {
        assert!(signs_in(&system));
        last_used(&control) != old
    });
    let six = [700_027, 700_024, 7_000_214, 7_000_277, 1_000_502, 7_000_274].map(|code| (code, 2));
    for (code, expected) in [(700_016, 1), (7_000_215, 1), (50_011, 1), (999_999, 1)]
        .into_iter()
        .chain(six)
    {
        control.forget_requests();
        control.fail_next(9, code);
        assert!(!signs_in(&system));
        assert_eq!(
            control.requests_to("/oauth2/v2.0/token").len(),
            expected,
            "AADSTS{code}"
        );
        control.clear_faults();
    }
}

/// Users sign in and read while each of the `steps` changes certificates; returns the token requests.
fn under_load(system: &TestSystem, steps: &[&dyn Fn()]) -> Vec<Value> {
    const PEOPLE: usize = 4;
    const SIGN_INS: usize = 25;
    let control = IdpControl::new(&system.idp);
    control.forget_requests();
    let (done, pages, is_over) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
    let read = |page: &Page| {
        assert_eq!((page.status, page.url.path()), (200, "/posts"), "every page is served");
        pages.fetch_add(1, Ordering::SeqCst);
    };
    let live = || {
        let mut own = 0;
        while own < SIGN_INS || !is_over.load(Ordering::SeqCst) {
            let browser = Browser::new();
            read(&browser.sign_in(system, ALICE, "/posts"));
            read(&browser.get(&system.web.url("/posts")));
            own += 1;
            done.fetch_add(1, Ordering::SeqCst);
        }
    };
    thread::scope(|scope| {
        let people: Vec<_> = (0..PEOPLE).map(|_| scope.spawn(live)).collect();
        for (n, step) in steps.iter().enumerate() {
            let due = (n + 1) * PEOPLE * SIGN_INS / (steps.len() + 1);
            while done.load(Ordering::SeqCst) < due && people.iter().all(|person| !person.is_finished()) {
                thread::yield_now();
            }
            step();
        }
        is_over.store(true, Ordering::SeqCst);
        for person in people {
            person.join().expect("no sign-in or refresh has failed");
        }
    });
    let requests = control.requests_to("/oauth2/v2.0/token");
    let granted = |grant: &str| {
        requests
            .iter()
            .filter(|request| request["grant_type"] == grant && request["status"] == 200)
            .count()
    };
    let (done, pages) = (done.into_inner(), pages.into_inner());
    assert!(
        done >= PEOPLE * SIGN_INS && granted("authorization_code") == done,
        "{done} sign-ins"
    );
    // Access tokens expire at once, so each page needs a refresh; a page with a cached token would hide a failed one.
    assert_eq!(granted("refresh_token"), pages, "a refresh for each page");
    let certificates: BTreeSet<_> = requests
        .iter()
        .filter(|request| request["status"] == 200)
        .map(|request| request["assertion_header"]["x5t#S256"].to_string())
        .collect();
    assert_eq!(certificates.len(), 2, "both have been used");
    requests
}

fn with_short_tokens() -> TestSystem {
    TestSystem::with(|settings| settings.idp.access_token_seconds = 0)
}

fn is_rejected(request: &Value) -> bool {
    request["status"] == 401
}

#[test]
fn a_rotation_that_begins_with_the_file_fails_no_request() {
    let system = with_short_tokens();
    let (certificate, file) = new_certificate();
    let control = IdpControl::new(&system.idp);
    let requests = under_load(
        &system,
        &[
            // Entra ID does not know it yet, so the previous one is used.
            &|| {
                replace_file(&certificate_file(&system), &file);
                wait_until("the new one is tried", || {
                    control.requests_to("/oauth2/v2.0/token").iter().any(is_rejected)
                });
            },
            // Now Entra ID knows only the new one.
            &|| control.replace_certificates(DEV_CLIENT_ID, &[&certificate]),
        ],
    );
    assert!(requests.iter().any(is_rejected), "Entra did not know it");
    assert!(signs_in(&system));
}

#[test]
fn a_rotation_that_begins_with_the_registration_fails_no_request() {
    let system = with_short_tokens();
    let (certificate, file) = new_certificate();
    let control = IdpControl::new(&system.idp);
    under_load(
        &system,
        &[
            &|| control.replace_certificates(DEV_CLIENT_ID, &[&registered(&system), &certificate]),
            &|| replace_file(&certificate_file(&system), &file),
            // Removes the old one, whether or not the site has loaded its file.
            &|| control.replace_certificates(DEV_CLIENT_ID, &[&certificate]),
        ],
    );
    assert!(signs_in(&system));
}

#[test]
fn reloading_does_not_reactivate_a_rejected_certificate() {
    let system = TestSystem::start();
    let later = system.folder.path().join("later.pem");
    replace_file(&later, &new_certificate().1);
    let mut settings = system.settings.clone();
    let of_file = |path: &PathBuf| {
        CredentialSettings::File(CertificateSettings {
            path: Some(path.clone()),
            ..CertificateSettings::default()
        })
    };
    settings.client.credential = vec![of_file(&certificate_file(&system)), of_file(&later)];
    settings.client.certificate = CertificateSettings::default();
    let provider = Arc::new(Provider::new(&settings.entra).expect("a provider"));
    let redirect_uri = Url::parse(&system.web.url("/callback")).expect("a URL");
    let client = ConfidentialClient::new(provider, &settings, redirect_uri).expect("a credential");
    let in_use = || client.credential().name();
    assert_accepted(&client);
    let own = in_use();
    replace_file(&certificate_file(&system), &new_certificate().1);
    assert!(client.reload_credential().expect("a new one"));
    assert_ne!(in_use(), own);
    assert_accepted(&client);
    assert_eq!(in_use(), own, "Entra ID accepts the previous one");
    for _ in 0..2 {
        assert!(!client.reload_credential().expect("nothing new"));
        assert_eq!(in_use(), own, "otherwise each reload would cost a rejected request");
        // Later entries of the list are used only if the current one fails.
        replace_file(&later, &new_certificate().1);
    }
}

#[test]
fn after_a_restart_the_previous_certificate_is_used_until_the_new_one_is_accepted() {
    let system = TestSystem::start();
    let provider = Arc::new(Provider::new(&system.settings.entra).expect("a provider"));
    let redirect_uri = Url::parse(&system.web.url("/callback")).expect("a URL");
    let client = ConfidentialClient::new(provider, &system.settings, redirect_uri).expect("a credential");
    replace_file(&certificate_file(&system), &new_certificate().1);
    assert!(client.reload_credential().expect("a new one"));
    assert_accepted(&client);
}

/// Entra ID rejects an invented code only after it has accepted the certificate.
fn assert_accepted(client: &ConfidentialClient) {
    let pending = PendingSignIn {
        nonce: String::new(),
        code_verifier: SecretString::from("verifier"),
    };
    let error = client
        .redeem_code(&SecretString::from("invented"), &pending)
        .expect_err("rejected");
    assert!(
        matches!(&error, SignInError::Entra(answer) if answer.error == "invalid_grant"),
        "{error}"
    );
}
