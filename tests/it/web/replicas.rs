//! Sessions in Redis: two replicas are one site, a restart ends no session, and Redis is not trusted.

mod redis_failover;
mod redis_outages;
mod redis_passwords;
mod redis_secrets;

use std::{sync::Barrier, thread};

use actix_web::HttpResponse;
use blogctl::{config::Settings, serve};
use redis::Commands as _;
use secrecy::SecretString;
use serde_json::json;

use crate::support::{
    entra::wait_until,
    redis::RedisServer,
    system::{TestServer, TestSystem},
    web::{ALICE, BOB, Browser, FakeApi, grants},
};

/// A system whose site stores sessions in `redis`.
fn sharing(redis: &RedisServer, change: impl FnOnce(&mut Settings)) -> TestSystem {
    TestSystem::with(|settings| {
        settings.redis = redis.settings();
        change(settings);
    })
}

/// Another replica of the site, with the same public URL.
fn replica(system: &TestSystem) -> TestServer {
    let mut settings = system.settings.clone();
    settings.client.public_url = Some(system.web.url("").parse().expect("a URL"));
    settings.client.redirect_uri = None;
    TestServer::web(serve::listen("127.0.0.1", 0).expect("a free port"), settings)
}

fn is_signed_in(browser: &Browser, web: &TestServer) -> bool {
    browser.get_once(&web.url("/profile")).status == 200
}

#[test]
fn a_sign_in_or_sign_out_on_one_replica_counts_on_all() {
    let Some(redis) = RedisServer::start() else { return };
    let system = sharing(&redis, |_| {});
    let other = replica(&system);
    let [here, there] = [(); 2].map(|()| Browser::new());
    here.sign_in(&system, ALICE, "/");
    assert!(is_signed_in(&here, &other));
    // Started on one replica, finished on the other.
    let host = format!("localhost:{}", system.web.port);
    let login = other.url("/login?next=/posts").parse().expect("a URL");
    let begun = there.request("GET", &login, None, &[("Host", &host)]).location();
    assert_eq!(there.pick(&there.get(begun.as_str()), ALICE).url.path(), "/posts");
    assert!(is_signed_in(&there, &system.web) && is_signed_in(&there, &other));

    let copied = here.clone_cookies();
    let form = here
        .get(&other.url("/logout"))
        .form("everywhere")
        .with("everywhere", "1");
    let origin = system.web.url("");
    let bob = Browser::new();
    bob.sign_in(&system, BOB, "/");
    let out = here.post(&form, &[("Origin", &origin), ("Sec-Fetch-Site", "same-origin")]);
    assert_eq!(out.status, 303, "{}", out.body);
    for (browser, whose) in [(&here, "own"), (&copied, "copied"), (&there, "another browser's")] {
        assert!(
            !is_signed_in(browser, &system.web) && !is_signed_in(browser, &other),
            "{whose}"
        );
    }
    assert!(is_signed_in(&bob, &system.web) && is_signed_in(&bob, &other));
}

#[test]
fn a_sign_out_at_the_provider_reaches_sessions_of_every_replica() {
    let Some(redis) = RedisServer::start() else { return };
    let system = sharing(&redis, |settings| {
        let url = format!("http://localhost:{}/front-channel-logout", settings.client.port);
        for app in settings.idp.apps.iter_mut().filter(|app| !app.redirect_uris.is_empty()) {
            app.front_channel_logout_uri = Some(url.clone());
        }
    });
    let other = replica(&system);
    let browser = Browser::new();
    browser.sign_in(&system, ALICE, "/");
    let tenant = &system.settings.entra.tenant_id;
    let page = browser.get(&system.idp.url(&format!("/{tenant}/oauth2/v2.0/logout")));
    let (_, rest) = page
        .text()
        .split_once("src=\"")
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .expect("a frame");
    let notice = rest
        .split('"')
        .next()
        .expect("its end")
        .replace(&system.web.port.to_string(), &other.port.to_string());
    assert_eq!(Browser::new().get_once(&notice).status, 200);
    assert!(!is_signed_in(&browser, &system.web));
}

#[test]
fn sessions_survive_a_restart_and_a_rotated_cookie_key() {
    let Some(redis) = RedisServer::start() else { return };
    let TestSystem {
        idp,
        api,
        web,
        mut settings,
        folder,
    } = sharing(&redis, |_| {});
    let system = TestSystem {
        idp,
        api,
        web,
        settings: settings.clone(),
        folder,
    };
    let browser = Browser::new();
    browser.sign_in(&system, ALICE, "/");
    let TestSystem {
        idp, api, web, folder, ..
    } = system;
    let restarted = |web: TestServer, settings: &Settings| {
        let port = web.port;
        web.stop();
        TestServer::web(
            serve::listen("127.0.0.1", port).expect("the same port"),
            settings.clone(),
        )
    };
    let web = restarted(web, &settings);
    assert!(is_signed_in(&browser, &web));
    assert_eq!(browser.get(&web.url("/posts")).status, 200, "tokens are there, too");

    let next = SecretString::from("the next key for tests only, 64 characters long, not a real one!");
    settings.client.cookie_keys.insert(0, next);
    let web = restarted(web, &settings);
    assert!(is_signed_in(&browser, &web), "the older key still opens");

    settings.client.cookie_keys.truncate(1);
    let web = restarted(web, &settings);
    let page = browser.get_once(&web.url("/profile"));
    assert_eq!(page.status, 303, "a sign-in, and no failure");
    drop((idp, api, web, folder));
}

#[test]
fn all_replicas_together_refresh_once() {
    const TABS: usize = 20;
    let Some(redis) = RedisServer::start() else { return };
    let api = FakeApi::start(|_| HttpResponse::Ok().json(json!([])));
    let url = api.url();
    let system = sharing(&redis, move |settings| settings.client.api_base_url = url);
    let other = replica(&system);
    let browser = Browser::new();
    browser.sign_in(&system, ALICE, "/posts");
    let rejected = api.requests().last().expect("a request").token.clone();
    api.respond(move |seen| {
        if seen.token == rejected {
            HttpResponse::Unauthorized().finish()
        } else {
            HttpResponse::Ok().json(json!([]))
        }
    });
    let barrier = Barrier::new(TABS);
    thread::scope(|scope| {
        for n in 0..TABS {
            let (browser, barrier) = (browser.clone_cookies(), &barrier);
            let url = if n % 2 == 0 {
                system.web.url("/posts")
            } else {
                other.url("/posts")
            };
            scope.spawn(move || {
                barrier.wait();
                assert_eq!(browser.get(&url).status, 200);
            });
        }
    });
    assert_eq!(grants(&system, "refresh_token"), 1);
}

/// Every key with its value, as bytes.
fn everything(redis: &RedisServer) -> Vec<(String, Vec<u8>)> {
    let mut connection = redis.connection();
    let keys: Vec<String> = connection.keys("*").expect("keys");
    let value = |connection: &mut redis::Connection, key: &String| -> Vec<u8> {
        connection.get(key).unwrap_or_else(|_| {
            let members: Vec<String> = connection.zrange(key, 0, -1).expect("a list");
            members.join(" ").into_bytes()
        })
    };
    keys.into_iter()
        .map(|key| (key.clone(), value(&mut connection, &key)))
        .collect()
}

#[test]
fn too_many_sessions_of_one_user_end_the_least_recently_used_one() {
    let Some(redis) = RedisServer::start() else { return };
    let system = sharing(&redis, |settings| settings.client.sessions_per_user = 3);
    let bob = Browser::new();
    bob.sign_in(&system, BOB, "/");
    let count = |kind: &str| {
        everything(&redis)
            .iter()
            .filter(|(key, _)| key.starts_with(&format!("blogctl:{kind}:")))
            .count()
    };
    let browsers = [(); 3].map(|()| Browser::new());
    for browser in &browsers {
        browser.sign_in(&system, ALICE, "/");
    }
    assert!(is_signed_in(&browsers[0], &system.web), "used last");
    let newest = Browser::new();
    newest.sign_in(&system, ALICE, "/");
    assert_eq!(
        (count("session"), count("tokens")),
        (4, 4),
        "three of one user, one of the other"
    );
    assert!(!is_signed_in(&browsers[1], &system.web), "the least recently used");
    for browser in [&browsers[0], &browsers[2], &newest, &bob] {
        assert!(is_signed_in(browser, &system.web));
    }
}

#[test]
fn drafts_in_redis_are_limited_per_author_and_in_total() {
    const LONG: usize = 3_500_000;
    let Some(redis) = RedisServer::start() else { return };
    let system = sharing(&redis, |_| {});
    let [alice, bob] = [(); 2].map(|()| Browser::new());
    let kept = |oid: &str| {
        Browser::new()
            .sign_in(&system, oid, "/posts/new")
            .form("Publish")
            .value("content")
            .len()
    };
    for (browser, oid, length) in [(&bob, BOB, 10), (&alice, ALICE, LONG)] {
        let page = browser.sign_in(&system, oid, "/posts/new");
        browser.submit(&page.form("Sign out"));
        let form = page
            .form("Publish")
            .with("title", "t")
            .with("content", &"x".repeat(length));
        for _ in 0..3 {
            assert_eq!(browser.submit(&form).status, 401);
        }
    }
    let drafts = everything(&redis)
        .into_iter()
        .filter(|(key, _)| key.starts_with("blogctl:draft:"));
    let lengths: Vec<usize> = drafts.map(|(_, record)| record.len()).collect();
    assert_eq!(lengths.len(), 2, "one of each page: {lengths:?}");
    assert_eq!((kept(BOB), kept(ALICE)), (10, LONG));
    let alice = Browser::new();
    alice.sign_in(&system, ALICE, "/");
    // Drafts of one author for many pages.
    let posts: Vec<_> = (0..5)
        .map(|n| alice.publish(&system, &format!("Post {n}"), "text").url)
        .collect();
    let forms: Vec<_> = posts
        .iter()
        .map(|url| {
            let form = alice.get(&format!("{url}/edit")).form("Save changes");
            form.with("content", &"y".repeat(LONG))
        })
        .collect();
    let page = alice.get(&system.web.url("/"));
    alice.submit(&page.form("Sign out"));
    for form in &forms {
        assert_eq!(alice.submit(form).status, 401);
    }
    let drafts = everything(&redis)
        .into_iter()
        .filter(|(key, _)| key.starts_with("blogctl:draft:"));
    let total: usize = drafts.map(|(_, record)| record.len()).sum();
    assert!(total <= 8 * 1024 * 1024 + 1000, "{total} bytes");
    assert_eq!(kept(BOB), 10);
    let alice = Browser::new();
    assert_eq!(alice.sign_in(&system, ALICE, "/").status, 200);
    let edited = |n: usize| {
        alice
            .get(&format!("{}/edit", posts[n]))
            .form("Save changes")
            .value("content")
            .len()
    };
    assert_eq!(
        (edited(4), edited(3), edited(0)),
        (LONG, LONG, 4),
        "the newest are kept"
    );
}

#[test]
fn a_redis_that_takes_no_writes_makes_the_site_unready_and_one_without_memory_does_not() {
    let Some(redis) = RedisServer::start() else { return };
    let system = sharing(&redis, |_| {});
    let becomes = |what: &str, status: u16| {
        wait_until(what, || {
            Browser::new().get(&system.web.url("/health/ready")).status == status
        });
    };
    let mut connection = redis.connection();
    let mut order = |words: &[&str]| {
        let command = words[1..].iter().fold(redis::cmd(words[0]), |mut command, word| {
            command.arg(word);
            command
        });
        command.exec(&mut connection).expect("done");
    };
    becomes("it is ready", 200);
    order(&["REPLICAOF", "localhost", "1"]);
    becomes("a replica that only reads", 503);
    order(&["REPLICAOF", "NO", "ONE"]);
    becomes("it takes writes", 200);
    order(&["CONFIG", "SET", "maxmemory", "1"]);
    let asked = std::time::Instant::now();
    while asked.elapsed() < std::time::Duration::from_secs(3) {
        assert_eq!(Browser::new().get(&system.web.url("/health/ready")).status, 200);
        std::thread::sleep(std::time::Duration::from_millis(300));
    }
}

#[test]
fn a_session_ends_at_its_maximum_age() {
    let Some(redis) = RedisServer::start() else { return };
    let system = sharing(&redis, |settings| {
        settings.client.session_max = std::time::Duration::ZERO;
    });
    let browser = Browser::new();
    let login = browser.get(&system.web.url("/login?next=/"));
    browser.submit_once(&login.form(ALICE).with("oid", ALICE).without("email"));
    assert!(!is_signed_in(&browser, &system.web));
    assert!(
        everything(&redis)
            .iter()
            .all(|(key, _)| !key.starts_with("blogctl:session:"))
    );
}
