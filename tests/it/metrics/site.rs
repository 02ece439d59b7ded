//! Sign-ins, refreshes, sessions, credentials, requests to other servers and thread pools of the site.

use std::fs;

use chrono::{DateTime, Utc};

use crate::support::{
    certificates::{TestCertificate, key_pem, pem},
    dev::Dev,
    entra::rsa_key,
    idp::IdpControl,
    metrics::{Sample, Scrape},
    role::RoleProcess,
    web::{ALICE, BOB, Browser},
};

const SIGN_INS: &str = "blogctl_sign_ins_total";
const NOT_AFTER: &str = "blogctl_client_certificate_not_after_timestamp_seconds";

#[test]
fn a_sign_in_is_counted_with_everything_that_it_takes() {
    let site = RoleProcess::client(&[]);
    let page = site.sign_in(&Browser::new(), ALICE, "/");
    assert_eq!(page.status, 200, "{}", page.body);
    let scrape = site.scrape();
    assert_eq!(
        scrape.value(SIGN_INS, &[("outcome", "success")]),
        1.0,
        "{}",
        scrape.text
    );
    assert_eq!(scrape.value(SIGN_INS, &[]), 1.0, "and nothing else: {}", scrape.text);
    assert_eq!(
        scrape.value("blogctl_sessions", &[("kind", "signed_in")]),
        1.0,
        "{}",
        scrape.text
    );
    let uses = [("entry", "1"), ("source", "file"), ("outcome", "accepted")];
    assert_eq!(
        scrape.value("blogctl_credential_uses_total", &uses),
        1.0,
        "{}",
        scrape.text
    );
    let assertions = [("source", "file"), ("outcome", "created")];
    assert_eq!(
        scrape.value("blogctl_client_assertions_total", &assertions),
        1.0,
        "{}",
        scrape.text
    );
    let requests = |method, status| {
        let labels = [
            ("target", "entra"),
            ("http_request_method", method),
            ("http_response_status_code", status),
        ];
        scrape.value("http_client_request_duration_seconds_count", &labels)
    };
    assert_eq!(requests("POST", "200"), 1.0, "the token endpoint: {}", scrape.text);
    assert!(requests("GET", "200") >= 2.0, "discovery and keys: {}", scrape.text);
    assert_eq!(
        scrape.value("blogctl_pool_limit", &[("pool", "sign_ins")]),
        16.0,
        "{}",
        scrape.text
    );
    assert_eq!(
        scrape.value("blogctl_pool_running", &[("pool", "sign_ins")]),
        0.0,
        "{}",
        scrape.text
    );
    assert!(
        scrape.value("blogctl_signing_keys", &[("role", "client")]) >= 1.0,
        "{}",
        scrape.text
    );
}

#[test]
fn a_failed_sign_in_is_counted_by_its_cause() {
    let site = RoleProcess::client(&[]);
    let control = site.control();
    let errors = |scrape: &Scrape, code: &str| {
        scrape.value("blogctl_entra_errors_total", &[("request", "sign_in"), ("code", code)])
    };
    // The certificate is not registered.
    let client_id = site.settings.client.client_id.clone();
    control.remove_certificates(&client_id);
    site.sign_in(&Browser::new(), ALICE, "/");
    let scrape = site.scrape();
    assert_eq!(
        scrape.value(SIGN_INS, &[("outcome", "site_rejected")]),
        1.0,
        "{}",
        scrape.text
    );
    assert_eq!(errors(&scrape, "AADSTS700027"), 1.0, "{}", scrape.text);
    let uses = [("entry", "1"), ("outcome", "rejected")];
    assert!(
        scrape.value("blogctl_credential_uses_total", &uses) >= 1.0,
        "{}",
        scrape.text
    );
    // A code that blogctl does not know, and which must not become a label.
    control.fail_next(1, 123_456);
    site.sign_in(&Browser::new(), ALICE, "/");
    let scrape = site.scrape();
    assert_eq!(errors(&scrape, "other"), 1.0, "{}", scrape.text);
    assert!(!scrape.text.contains("123456"), "{}", scrape.text);
    // Errors that the browser brings. Anyone can make one up.
    let browser = Browser::new();
    let picker = browser.get(&site.url("/login"));
    let state = picker
        .url
        .query_pairs()
        .find(|(name, _)| name == "state")
        .expect("a state")
        .1
        .into_owned();
    browser.get(&site.url(&format!(
        "/callback?state={state}&error=invalid_client&error_description=AADSTS700016:+x"
    )));
    browser.get(&site.url("/callback?state=made-up&code=made-up"));
    let scrape = site.scrape();
    assert_eq!(
        scrape.value(SIGN_INS, &[("outcome", "authorize_error")]),
        1.0,
        "{}",
        scrape.text
    );
    assert_eq!(
        scrape.value(SIGN_INS, &[("outcome", "expired")]),
        1.0,
        "{}",
        scrape.text
    );
    // Entra ID is down.
    let browser = Browser::new();
    let picker = browser.get(&site.url("/login"));
    control.down_at("/token");
    browser.pick(&picker, BOB);
    let scrape = site.scrape();
    assert_eq!(
        scrape.value(SIGN_INS, &[("outcome", "unreachable")]),
        1.0,
        "{}",
        scrape.text
    );
    assert_eq!(
        scrape.value(SIGN_INS, &[("outcome", "success")]),
        0.0,
        "{}",
        scrape.text
    );
}

#[test]
fn a_refresh_is_counted_by_its_outcome() {
    let dev = Dev::with_metrics_and(&["--set", "idp.access_token_seconds=1"]);
    let browser = Browser::new();
    let picker = browser.get(&dev.site("/login?next=/"));
    browser.pick(&picker, ALICE);
    // A token that is still valid is refreshed in the background.
    let wait_for = |outcome| {
        let labels = [("outcome", outcome)];
        let is_counted = |scrape: &Scrape| {
            // Once more each time: a request during another refresh starts none.
            browser.get(&dev.site("/profile"));
            scrape.value("blogctl_token_refreshes_total", &labels) >= 1.0
        };
        Scrape::until(dev.metrics(), outcome, is_counted)
    };
    wait_for("success");
    let control = IdpControl::at(&dev.idp(""));
    for (code, outcome) in [(700_016, "site_rejected"), (50_173, "user_rejected")] {
        control.fail_next(1000, code);
        let scrape = wait_for(outcome);
        control.clear_faults();
        let code = format!("AADSTS{code}");
        let errors = [("request", "refresh"), ("code", code.as_str())];
        assert!(
            scrape.value("blogctl_entra_errors_total", &errors) >= 1.0,
            "{code}: {}",
            scrape.text
        );
        // For a while after a failure, the site sends no further request for the same sign-in. The emulator still knows the
        // user, so it shows no list of users.
        browser.get(&dev.site("/login?next=/"));
    }
}

#[test]
fn each_certificate_has_its_time_of_expiry_and_a_renewed_one_replaces_it() {
    let site = RoleProcess::client(&[]);
    let in_use = |scrape: &Scrape| -> Vec<Sample> { scrape.find(NOT_AFTER, &[("in_use", "true")]).cloned().collect() };
    let before = in_use(&site.scrape());
    let [sample] = &before[..] else { panic!("{before:?}") };
    assert_eq!(
        (sample.labels["entry"].as_str(), sample.labels["source"].as_str()),
        ("1", "file")
    );
    let thumbprint = &sample.labels["thumbprint"];
    assert!(
        thumbprint.len() == 40 && thumbprint.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "{thumbprint}"
    );
    // The certificate of the tests is valid for 90 days.
    #[expect(clippy::cast_possible_truncation, reason = "a time")]
    let expires = DateTime::from_timestamp(sample.value as i64, 0).expect("a time");
    let days = (expires - Utc::now()).num_days();
    assert!((88..=90).contains(&days), "{days}");
    // A broken file first: the certificate in use stays.
    let file = site.folder.path().join("client.pem");
    fs::write(&file, "nothing").expect("written");
    let scrape = site.scrape_until("a failed reload", |scrape| {
        scrape.value("blogctl_credential_reloads_total", &[("outcome", "failed")]) >= 1.0
    });
    assert_eq!(in_use(&scrape), before);
    let key = rsa_key(2048);
    let renewed = [pem(&TestCertificate::new("renewed", &key).make()), key_pem(&key)].concat();
    fs::write(&file, renewed).expect("written");
    let scrape = site.scrape_until("the renewed certificate", |scrape| {
        scrape.value("blogctl_credential_reloads_total", &[("outcome", "replaced")]) >= 1.0
    });
    let after = in_use(&scrape);
    assert_eq!(after.len(), 1, "{after:?}");
    assert_ne!(&after[0].labels["thumbprint"], thumbprint);
    assert_eq!(
        scrape.count(NOT_AFTER, &[("in_use", "false")]),
        1,
        "the previous one: {}",
        scrape.text
    );
}
