//! Health routes for monitoring.

use serde_json::{Value, json};

use crate::support::{
    certificates::{TestCertificate, key_pem, pem},
    entra::{rsa_key, wait_until},
    system::TestSystem,
    web::{ALICE, Browser},
};

#[test]
fn health_reports_each_dependency() {
    let system = TestSystem::start();
    let page = Browser::new().get(&system.web.url("/health"));
    assert_eq!((page.status, page.header("content-type")), (200, "application/json"));
    assert!(
        page.body.contains("\"entra\":\"ok\"") && page.body.contains("\"api\":\"ok\""),
        "{}",
        page.body
    );
}

#[test]
fn the_site_is_ready_while_its_dependencies_are_down() {
    let TestSystem {
        idp,
        api,
        web,
        settings,
        folder,
    } = TestSystem::start();
    idp.stop();
    api.stop();
    let browser = Browser::new();
    assert_eq!(browser.get(&web.url("/health/live")).status, 200);
    assert_eq!(browser.get(&web.url("/health/ready")).status, 200);
    let page = browser.get(&web.url("/health"));
    assert_eq!(page.status, 503);
    assert!(page.body.contains("\"entra\":\"unavailable\"") && page.body.contains("\"api\":\"unavailable\""));
    assert!(!page.body.contains("http"), "no address: {}", page.body);
    drop((settings, folder));
}

#[test]
fn readiness_reports_the_certificate_without_failing() {
    let state = |days: (i64, i64)| {
        let system = TestSystem::with(|settings| {
            let key = rsa_key(2048);
            let certificate = TestCertificate {
                valid: days,
                ..TestCertificate::new("site", &key)
            }
            .make();
            let path = settings.client.certificate.path.clone().expect("set");
            std::fs::write(path, [pem(&certificate), key_pem(&key)].concat()).expect("written");
        });
        let page = Browser::new().get(&system.web.url("/health/ready"));
        assert_eq!(page.status, 200);
        let body: serde_json::Value = serde_json::from_str(&page.body).expect("JSON");
        body["checks"]["certificate"].clone()
    };
    let long = state((-1, 90));
    assert_eq!(
        (long["status"].as_str(), long["files"].as_str()),
        (Some("ok"), Some("ok")),
        "{long}"
    );
    assert!(
        (88..=90).contains(&long["days_left"].as_i64().expect("a number")),
        "{long}"
    );
    assert_eq!(state((-1, 20))["status"], "expires_soon");
}

#[test]
fn an_expired_certificate_is_reported_while_the_site_stays_ready() {
    let system = TestSystem::with(|settings| {
        let key = rsa_key(2048);
        let now = chrono::Utc::now().timestamp();
        let certificate = TestCertificate::new("site", &key).make_between(now - 60, now + 6);
        let path = settings.client.certificate.path.clone().expect("set");
        std::fs::write(path, [pem(&certificate), key_pem(&key)].concat()).expect("written");
    });
    let state = || {
        let page = Browser::new().get(&system.web.url("/health/ready"));
        assert_eq!(page.status, 200);
        let body: serde_json::Value = serde_json::from_str(&page.body).expect("JSON");
        body["checks"]["certificate"].clone()
    };
    wait_until("it has expired", || state()["status"] == "expired");
    assert_eq!(state()["days_left"], -1, "from its first second on");
}

#[test]
fn unusable_files_are_reported_while_the_old_certificate_serves() {
    let system = TestSystem::start();
    let path = system.settings.client.certificate.path.clone().expect("set");
    let key = rsa_key(2048);
    let expired = TestCertificate {
        valid: (-30, -1),
        ..TestCertificate::new("site", &key)
    }
    .make();
    for (content, reason) in [
        (b"no certificate".to_vec(), "malformed"),
        ([pem(&expired), key_pem(&key)].concat(), "expired"),
        ([pem(&expired), key_pem(&rsa_key(2048))].concat(), "key_mismatch"),
    ] {
        std::fs::write(&path, content).expect("written");
        let expected = json!([{ "entry": 1, "source": "file", "reason": reason }]);
        wait_until("it has looked", || {
            let ready = Browser::new().get(&system.web.url("/health/ready"));
            let body: Value = serde_json::from_str(&ready.body).expect("JSON");
            body["checks"]["certificate"]["files"] == "unusable"
                && body["checks"]["certificate"]["unusable"] == expected
        });
    }
    assert_eq!(Browser::new().sign_in(&system, ALICE, "/posts").status, 200);
}
