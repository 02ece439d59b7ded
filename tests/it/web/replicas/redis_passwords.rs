//! Passwords of Redis that change while users sign in and read pages: no request fails.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use blogctl::config::{AzureIdentity, IdentitySettings};
use chrono::Utc;

use super::redis_failover::Load;
use crate::support::{
    azure::{FakeAzure, IDENTITY},
    redis::{RedisServer, settings as redis_at},
    system::TestSystem,
    web::{ALICE, Browser},
};

/// How long the tokens of these tests are valid.
const LIFETIME: i64 = 6;

/// Runs a command: words separated by blanks.
fn run<T: redis::FromRedisValue>(connection: &mut redis::Connection, command: &str) -> T {
    let mut words = command.split(' ');
    let mut cmd = redis::cmd(words.next().expect("a command"));
    words.for_each(|word| {
        cmd.arg(word);
    });
    cmd.query(connection)
        .unwrap_or_else(|error| panic!("{command}: {error}"))
}

fn url_for(redis: &RedisServer, user: &str) -> String {
    format!("redis://{user}@localhost:{}", redis.port())
}

/// A token that says when it expires.
fn token(serial: usize) -> (String, i64) {
    let end = Utc::now().timestamp() + LIFETIME;
    let claims = URL_SAFE_NO_PAD.encode(format!("{{\"exp\":{end},\"jti\":{serial}}}"));
    (format!("e30.{claims}.c2ln"), end)
}

#[test]
fn a_password_of_a_command_that_changes_under_load_fails_no_request() {
    let Some(redis) = RedisServer::start() else { return };
    let mut admin = redis.connection();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("token");
    let mut accepted = Vec::new();
    let mut rotate = |admin: &mut redis::Connection| {
        let (token, end) = token(accepted.len());
        run::<()>(admin, &format!("ACL SETUSER blog on ~* +@all >{token}"));
        let next = folder.path().join("next");
        fs::write(&next, &token).expect("written");
        fs::rename(&next, &file).expect("renamed");
        accepted.push((token, end, true));
        for (token, end, is_accepted) in &mut accepted {
            if *is_accepted && *end < Utc::now().timestamp() {
                *is_accepted = false;
                run::<()>(admin, &format!("ACL SETUSER blog <{token}"));
            }
        }
        accepted.iter().filter(|(_, _, is_accepted)| !is_accepted).count()
    };
    rotate(&mut admin);
    let mut settings = redis_at(&url_for(&redis, "blog"));
    settings.password_command = vec!["cat".to_owned(), file.to_str().expect("UTF-8").to_owned()];
    let load = Load::new(settings);
    let seen = load.run(|| {
        let deadline = Instant::now() + Duration::from_mins(1);
        while rotate(&mut admin) < 4 {
            load.wait_for_more();
            // The harshest server: it closes every connection, at any moment.
            run::<()>(&mut admin, "CLIENT KILL TYPE normal SKIPME yes");
            thread::sleep(Duration::from_millis(500));
            assert!(Instant::now() < deadline, "passwords expire too slowly");
        }
    });
    assert!(seen.wrong.is_empty() && seen.unavailable == 0, "{seen:?}");
}

#[test]
fn open_connections_authenticate_with_the_next_token_of_a_managed_identity() {
    let Some(redis) = RedisServer::start() else { return };
    let mut admin = redis.connection();
    let passwords: Vec<String> = (1..300).map(|n| format!(">token-{n}-of-the-machine")).collect();
    run::<()>(
        &mut admin,
        &format!("ACL SETUSER {IDENTITY} on ~* +@all {}", passwords.join(" ")),
    );
    let azure = FakeAzure::start();
    azure.tokens_live(LIFETIME);
    let mut settings = redis_at(&url_for(&redis, IDENTITY));
    settings.azure = true;
    let mut identity = IdentitySettings::default();
    identity.azure.identity = AzureIdentity::Managed;
    identity.azure.imds_url = azure.url();
    settings.identity = Some(identity.into());
    let load = Load::new(settings);
    let seen = load.run(|| {
        let deadline = Instant::now() + Duration::from_mins(1);
        let mut number = |section: &str, name: &str| -> u64 {
            let info: String = run(&mut admin, &format!("INFO {section}"));
            let value = info.split_once(name).expect("it is there").1;
            let end = value.find(|c: char| !c.is_ascii_digit()).expect("its end");
            value[..end].parse().expect("a number")
        };
        // Each connection authenticates when it is made. More than that is on open ones.
        while number("commandstats", "cmdstat_auth:calls=") < number("stats", "total_connections_received:") + 5 {
            assert!(Instant::now() < deadline, "no open connection authenticates again");
            load.wait_for_more();
        }
    });
    assert!(seen.wrong.is_empty() && seen.unavailable == 0, "{seen:?}");
    let requests = azure.requests_to("/metadata/identity/oauth2/token");
    assert!(requests.len() > 1, "{requests:?}");
    for request in requests {
        assert_eq!(request.query["resource"], "https://redis.azure.com");
    }
}

#[test]
fn a_password_file_is_read_for_each_connection() {
    let Some(redis) = RedisServer::start() else { return };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("password");
    fs::write(&file, "not-yet\n").expect("written");
    let mut settings = redis_at(&url_for(&redis, "blog"));
    settings.password_file = Some(file.clone());
    run::<()>(&mut redis.connection(), "ACL SETUSER blog on ~* +@all >the-password");
    let system = TestSystem::with(|all| all.redis = settings);
    let page = Browser::new().sign_in(&system, ALICE, "/profile");
    assert_eq!(page.status, 503);
    assert!(!page.body.contains("not-yet"), "{}", page.body);
    fs::write(&file, "the-password\n").expect("written");
    crate::support::entra::wait_until("the site signs in at Redis", || {
        Browser::new().sign_in(&system, ALICE, "/profile").status == 200
    });
}
