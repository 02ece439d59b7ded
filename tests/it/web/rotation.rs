//! A certificate is replaced while the site runs.

use std::{
    fs,
    path::PathBuf,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use blogctl::config::DEV_CLIENT_ID;

use crate::support::{
    certificates::{TestCertificate, key_pem, pem},
    entra::{rsa_key, wait_until},
    idp::IdpControl,
    system::TestSystem,
    web::{ALICE, Browser, grants},
};

/// Another certificate: what is registered, and the file with its key.
fn another() -> (String, Vec<u8>) {
    let key = rsa_key(2048);
    let certificate = pem(&TestCertificate::new("renewed", &key).make());
    let file = [certificate.clone(), key_pem(&key)].concat();
    (String::from_utf8(certificate).expect("text"), file)
}

fn file_of(system: &TestSystem) -> PathBuf {
    system.settings.client.certificate.path.clone().expect("set")
}

fn registered(system: &TestSystem) -> String {
    fs::read_to_string(system.folder.path().join("client-cert.pem")).expect("there")
}

/// Puts a file in another's place in one step, as tools that renew certificates do.
fn put(path: &PathBuf, content: &[u8]) {
    let aside = path.with_extension("aside");
    fs::write(&aside, content).expect("written");
    fs::rename(&aside, path).expect("renamed");
}

fn signs_in(system: &TestSystem) -> bool {
    Browser::new().sign_in(system, ALICE, "/posts").status == 200
}

#[test]
fn a_certificate_that_entra_takes_already_is_found_in_the_file_at_the_first_refusal() {
    let system = TestSystem::start();
    let control = IdpControl::of(&system.idp);
    assert!(signs_in(&system));
    let (certificate, file) = another();
    control.replace_certificates(DEV_CLIENT_ID, &[&certificate]);
    put(&file_of(&system), &file);
    control.forget_requests();
    assert!(signs_in(&system), "whether or not the watch was faster");
    let sent = control.requests_to("/oauth2/v2.0/token").len();
    assert!((1..=2).contains(&sent), "{sent} token requests");
}

#[test]
fn a_certificate_that_entra_does_not_take_yet_gives_way_to_the_one_before() {
    let system = TestSystem::start();
    let control = IdpControl::of(&system.idp);
    assert!(signs_in(&system));
    let (certificate, file) = another();
    let thumbprint = || {
        assert!(signs_in(&system), "none fails");
        let requests = control.requests_to("/oauth2/v2.0/token");
        requests.last().expect("a request")["assertion_header"]["x5t#S256"].clone()
    };
    let old = thumbprint();
    put(&file_of(&system), &file);
    let tried = || control.requests_to("/oauth2/v2.0/token").iter().any(|request| request["status"] == 401);
    wait_until("the new one is tried, and refused", || {
        assert_eq!(thumbprint(), old, "the one before does");
        tried()
    });
    control.forget_requests();
    assert!(signs_in(&system));
    assert_eq!(control.requests_to("/oauth2/v2.0/token").len(), 1, "what Entra takes is remembered");

    control.replace_certificates(DEV_CLIENT_ID, &[&registered(&system), &certificate]);
    assert!(signs_in(&system));
    control.replace_certificates(DEV_CLIENT_ID, &[&certificate]);
    assert_ne!(thumbprint(), old, "and now the new one");
}

#[test]
fn a_new_file_is_used_without_anybodys_asking_and_a_broken_one_is_not() {
    let system = TestSystem::start();
    let control = IdpControl::of(&system.idp);
    let (certificate, file) = another();
    let (_, other) = another();
    control.replace_certificates(DEV_CLIENT_ID, &[&registered(&system), &certificate]);
    // A certificate beside somebody else's key.
    let broken = [certificate.as_bytes(), &other].concat();
    let key_at = broken.windows(11).rposition(|part| part == b"-----BEGIN ").expect("a key");
    put(&file_of(&system), &[certificate.as_bytes(), &broken[key_at..]].concat());
    std::thread::sleep(Duration::from_millis(50));
    assert!(signs_in(&system), "the old one stays");
    put(&file_of(&system), &file);
    let mut used = Vec::new();
    wait_until("the new one is used", || {
        assert!(signs_in(&system));
        let requests = control.requests_to("/oauth2/v2.0/token");
        used.push(requests.last().expect("a request")["assertion_header"]["x5t#S256"].clone());
        used.last() != used.first()
    });
}

#[test]
fn on_another_refusal_the_request_is_not_repeated_and_on_these_once() {
    let system = TestSystem::start();
    let control = IdpControl::of(&system.idp);
    let (_, file) = another();
    for (code, expected) in [(700_016, 1), (7_000_215, 1), (50_011, 1)] {
        control.forget_requests();
        control.fail_next(9, code);
        assert!(!signs_in(&system));
        assert_eq!(control.requests_to("/oauth2/v2.0/token").len(), expected, "AADSTS{code}");
        control.heal();
    }
    put(&file_of(&system), &file);
    for code in [700_027, 700_024, 7_000_214, 7_000_277, 1_000_502, 7_000_274] {
        control.forget_requests();
        control.fail_next(9, code);
        assert!(!signs_in(&system));
        assert_eq!(control.requests_to("/oauth2/v2.0/token").len(), 2, "AADSTS{code}: once more, and no third time");
        control.heal();
    }
}

/// People who sign in and go on reading, while `step` changes certificates after each so many sign-ins.
fn under_load(system: &TestSystem, steps: &[&dyn Fn()]) {
    const PEOPLE: usize = 4;
    const SIGN_INS: usize = 13;
    let done = AtomicUsize::new(0);
    thread::scope(|scope| {
        let people: Vec<_> = (0..PEOPLE)
            .map(|_| {
                scope.spawn(|| {
                    for _ in 0..SIGN_INS {
                        let browser = Browser::new();
                        assert_eq!(browser.sign_in(system, ALICE, "/posts").status, 200);
                        // Tokens live so short that each page needs a refresh.
                        for _ in 0..3 {
                            assert_eq!(browser.get(&system.web.url("/posts")).status, 200);
                        }
                        done.fetch_add(1, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        for (n, step) in steps.iter().enumerate() {
            let due = (n + 1) * PEOPLE * SIGN_INS / (steps.len() + 1);
            while done.load(Ordering::SeqCst) < due && people.iter().all(|person| !person.is_finished()) {
                thread::yield_now();
            }
            step();
        }
        for person in people {
            person.join().expect("nobody's sign-in or refresh has failed");
        }
    });
    assert_eq!(done.load(Ordering::SeqCst), PEOPLE * SIGN_INS);
    assert!(grants(system, "refresh_token") >= PEOPLE * SIGN_INS, "refreshes were among it");
}

fn with_short_tokens() -> TestSystem {
    TestSystem::with(|settings| settings.idp.access_token_seconds = 60)
}

#[test]
fn nobody_notices_a_rotation_that_begins_with_the_file() {
    let system = with_short_tokens();
    let (certificate, file) = another();
    let control = IdpControl::of(&system.idp);
    under_load(
        &system,
        &[
            // Entra does not know it yet: the one before is used.
            &|| put(&file_of(&system), &file),
            // And now only the new one.
            &|| control.replace_certificates(DEV_CLIENT_ID, &[&certificate]),
        ],
    );
    assert!(signs_in(&system));
}

#[test]
fn nobody_notices_a_rotation_that_begins_with_the_registration() {
    let system = with_short_tokens();
    let (certificate, file) = another();
    let control = IdpControl::of(&system.idp);
    under_load(
        &system,
        &[
            &|| control.replace_certificates(DEV_CLIENT_ID, &[&registered(&system), &certificate]),
            &|| put(&file_of(&system), &file),
            // The old one goes, whether or not the site has looked at its file already.
            &|| control.replace_certificates(DEV_CLIENT_ID, &[&certificate]),
        ],
    );
    assert!(signs_in(&system));
}
