//! An attacker who reads or writes Redis, or pretends to be Redis, gains no session and learns no secret.

use std::fs;

use actix_web::HttpResponse;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use redis::Commands as _;
use serde_json::json;

use super::{everything, is_signed_in, replica, sharing};
use crate::support::{
    attacks::record,
    entra::wait_until,
    redis::{RedisServer, settings as redis_at},
    system::TestSystem,
    web::{ALICE, BOB, Browser, FakeApi, control},
};

#[test]
fn redis_stores_no_readable_secret_and_every_key_expires() {
    let Some(redis) = RedisServer::start() else { return };
    let api = FakeApi::start(|_| HttpResponse::Ok().json(json!([])));
    let url = api.url();
    let system = sharing(&redis, move |settings| settings.client.api_base_url = url);
    let browser = Browser::new();
    browser.sign_in(&system, ALICE, "/posts");
    let token = api.requests().last().expect("a request").token.clone();
    let all = everything(&redis);
    let kinds = |kind: &str| {
        all.iter()
            .filter(|(key, _)| key.starts_with(&format!("blogctl:{kind}:")))
            .count()
    };
    assert_eq!(
        (kinds("session"), kinds("tokens")),
        (1, 1),
        "{:?}",
        all.iter().map(|(key, _)| key).collect::<Vec<_>>()
    );
    assert_eq!(
        (kinds("sessions-of-user"), kinds("sessions-of-provider-session")),
        (1, 1)
    );
    let cookie = browser.cookie("blogctl").expect("a cookie");
    for secret in [
        token.as_str(),
        &token[..20],
        &cookie,
        "Alice",
        ALICE,
        "account",
        "access_token",
        "eyJ",
    ] {
        let is_there = all.iter().any(|(key, value)| {
            key.contains(secret) || value.windows(secret.len()).any(|bytes| bytes == secret.as_bytes())
        });
        record("session", "reading Redis", !is_there);
        assert!(!is_there, "{secret}");
    }
    let mut connection = redis.connection();
    let limits = &system.settings.client;
    for (key, _) in &all {
        let life: i64 = connection.pttl(key).expect("a life");
        let longest = if key.contains("sessions-of") {
            limits.session_max
        } else {
            limits.session_idle
        };
        assert!(
            life > 0 && life.unsigned_abs() <= u64::try_from(longest.as_millis()).expect("fits"),
            "{key}: {life}"
        );
    }
}

#[test]
fn an_expired_sign_in_leaves_no_session_id() {
    let Some(redis) = RedisServer::start() else { return };
    let system = sharing(&redis, |settings| settings.idp.access_token_seconds = 100);
    let sessions = || -> Vec<String> {
        everything(&redis)
            .into_iter()
            .map(|(key, _)| key)
            .filter(|key| key.starts_with("blogctl:session:"))
            .collect()
    };
    let browser = Browser::new();
    browser.sign_in(&system, ALICE, "/");
    let before = sessions();
    control(
        &system,
        "PUT",
        "/fault",
        Some(&json!({ "fail_next": { "count": 1, "code": 700_082 } })),
    );
    wait_until("the refresh is rejected", || {
        browser.get_once(&system.web.url("/posts")).status == 303
    });
    let after = sessions();
    assert_eq!((before.len(), after.len()), (1, 1));
    assert_ne!(before, after, "what was copied before names nothing any more");
}

#[test]
fn a_moved_or_forged_record_in_redis_is_rejected() {
    let Some(redis) = RedisServer::start() else { return };
    let system = sharing(&redis, |_| {});
    let [alice, mallory] = [(); 2].map(|()| Browser::new());
    let session_keys = || -> Vec<String> {
        everything(&redis)
            .into_iter()
            .map(|(key, _)| key)
            .filter(|key| key.starts_with("blogctl:session:"))
            .collect()
    };
    alice.sign_in(&system, ALICE, "/");
    let of_alice = session_keys().first().cloned().expect("a session");
    mallory.sign_in(&system, BOB, "/");
    let of_mallory = session_keys()
        .into_iter()
        .find(|key| *key != of_alice)
        .expect("another");
    let mut connection = redis.connection();
    let stolen: Vec<u8> = connection.get(&of_alice).expect("a record");
    for (attack, record_of) in [
        ("another session's record", stolen),
        ("a forged record", b"{}".to_vec()),
    ] {
        let _: () = connection.set(&of_mallory, record_of).expect("written");
        let page = mallory.get_once(&system.web.url("/profile"));
        record("session", attack, page.status == 303);
        assert_eq!(page.status, 303, "{attack}: {}", page.body);
    }
    assert!(is_signed_in(&alice, &system.web));
}

/// Every record in Redis's own format, for a later restore.
fn snapshot(redis: &RedisServer) -> Vec<(String, Vec<u8>)> {
    let mut connection = redis.connection();
    let keys: Vec<String> = connection.keys("*").expect("keys");
    let dump = |key: String| {
        let bytes = redis::cmd("DUMP").arg(&key).query(&mut connection).expect("a record");
        (key, bytes)
    };
    keys.into_iter().map(dump).collect()
}

fn put_back(redis: &RedisServer, records: &[(String, Vec<u8>)]) {
    let mut connection = redis.connection();
    for (key, bytes) in records {
        let restore = redis::cmd("RESTORE")
            .arg(key)
            .arg(3_600_000)
            .arg(bytes)
            .arg("REPLACE")
            .exec(&mut connection);
        restore.expect("restored");
    }
}

#[test]
fn a_replayed_record_revives_no_session() {
    let Some(redis) = RedisServer::start() else { return };
    let system = sharing(&redis, |_| {});
    let other = replica(&system);
    for everywhere in [false, true] {
        let [alice, bob] = [(); 2].map(|()| Browser::new());
        alice.sign_in(&system, ALICE, "/");
        bob.sign_in(&system, BOB, "/");
        let copied = alice.clone_cookies();
        assert!(is_signed_in(&copied, &other));
        let before = snapshot(&redis);
        let form = alice.get(&system.web.url("/logout")).form("everywhere");
        let form = if everywhere {
            form.with("everywhere", "1")
        } else {
            form.without("everywhere")
        };
        assert_eq!(alice.submit_once(&form).status, 303);
        let is_rejected = |what: &str| {
            put_back(&redis, &before);
            let page = copied.get_once(&system.web.url("/profile"));
            record("session", what, page.status == 303);
            assert_eq!(page.status, 303, "{what}, everywhere: {everywhere}: {}", page.body);
        };
        put_back(&redis, &before);
        assert!(
            !is_signed_in(&copied, &other),
            "on a replica that was not asked to sign out"
        );
        is_rejected("an old record, put back");
        // An attacker with write access may also delete the revocations; replicas that have seen the sign-out still know
        // it.
        redis::cmd("FLUSHALL").exec(&mut redis.connection()).expect("done");
        is_rejected("all old records, and none of the newer ones");
        put_back(&redis, &before);
        assert!(!is_signed_in(&copied, &other), "this one has seen it, too");
        assert!(is_signed_in(&bob, &system.web), "other users are not affected");
        let again = Browser::new();
        again.sign_in(&system, ALICE, "/");
        assert!(
            is_signed_in(&again, &system.web) && is_signed_in(&again, &other),
            "a new sign-in is one"
        );
    }
}

#[test]
fn redis_over_tls_is_authenticated() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let [ca_path, cert_path, key_path] = ["ca.pem", "cert.pem", "key.pem"].map(|name| folder.path().join(name));
    let authority = {
        let mut params = CertificateParams::new(Vec::new()).expect("parameters");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority")
    };
    let key = KeyPair::generate().expect("a key");
    let params = CertificateParams::new(vec!["localhost".to_owned()]).expect("parameters");
    let certificate = params.signed_by(&key, &authority).expect("a certificate");
    fs::write(&ca_path, authority.pem()).expect("written");
    fs::write(&cert_path, certificate.pem()).expect("written");
    fs::write(&key_path, key.serialize_pem()).expect("written");
    let Some(redis) = RedisServer::with(Some([cert_path, key_path])) else {
        return;
    };

    let trusting = TestSystem::with(|settings| {
        settings.redis = redis.settings();
        settings.redis.ca_file = Some(ca_path.clone());
    });
    assert_eq!(Browser::new().sign_in(&trusting, ALICE, "/profile").status, 200);

    let distrusting = sharing(&redis, |_| {});
    assert_eq!(Browser::new().sign_in(&distrusting, ALICE, "/profile").status, 503);
}

#[test]
fn a_wrong_redis_password_fails_and_is_not_shown() {
    let Some(redis) = RedisServer::start() else { return };
    let url = redis.url().replace("hunter2-of-redis", "hunter3");
    let system = TestSystem::with(|settings| settings.redis = redis_at(&url));
    let page = Browser::new().sign_in(&system, ALICE, "/profile");
    assert_eq!(page.status, 503);
    assert!(!page.body.contains("hunter3"));
}

#[test]
fn the_rights_in_the_documentation_are_enough() {
    let Some(redis) = RedisServer::start() else { return };
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/redis.md")).expect("the page");
    let line = page
        .lines()
        .find(|line| line.starts_with("ACL SETUSER "))
        .expect("the rights");
    let mut command = redis::cmd("ACL");
    for word in line.replace(">PASSWORD", ">a-password").split(' ').skip(1) {
        command.arg(word);
    }
    command.exec(&mut redis.connection()).expect("valid rights");
    let url = format!("redis://blogctl:a-password@localhost:{}", redis.port());
    let system = TestSystem::with(|settings| settings.redis = redis_at(&url));
    let browser = Browser::new();
    let page = browser.sign_in(&system, ALICE, "/posts/new");
    assert_eq!(page.status, 200, "{}", page.body);
    let form = page.form("Publish").with("title", "").with("content", "a draft");
    browser.submit(&form);
    let out = browser
        .get(&system.web.url("/logout"))
        .form("everywhere")
        .with("everywhere", "1");
    assert_eq!(browser.submit_once(&out).status, 303);
    assert_eq!(browser.get_once(&system.web.url("/profile")).status, 303, "signed out");
    let ready = browser.get(&system.web.url("/health/ready"));
    assert_eq!(ready.status, 200, "{}", ready.body);
}
