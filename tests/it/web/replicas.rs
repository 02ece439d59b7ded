//! Sessions in Redis: two replicas are one site, a restart ends nothing, and Redis itself learns and decides little.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use actix_web::HttpResponse;
use blogctl::{config::Settings, serve};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use redis::Commands as _;
use secrecy::SecretString;
use serde_json::json;

use crate::support::{
    attacks::record,
    entra::wait_until,
    redis::{RedisServer, settings as redis_at},
    system::{TestServer, TestSystem},
    web::{ALICE, BOB, Browser, PlayedApi, control, grants},
};

/// A system whose site keeps sessions in `redis`.
fn sharing(redis: &RedisServer, change: impl FnOnce(&mut Settings)) -> TestSystem {
    TestSystem::with(|settings| {
        settings.redis = redis.settings();
        change(settings);
    })
}

/// Another replica of the site: elsewhere, but with the same public URL.
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
fn who_signs_in_on_one_replica_is_signed_in_on_all_and_signs_out_of_all() {
    let Some(redis) = RedisServer::start() else { return };
    let system = sharing(&redis, |_| {});
    let other = replica(&system);
    let [here, there] = [(); 2].map(|()| Browser::new());
    here.sign_in(&system, ALICE, "/");
    assert!(is_signed_in(&here, &other));
    // Begun on one, finished on the other.
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
fn a_restart_ends_no_session_and_a_new_cookie_key_neither_while_the_old_one_is_listed() {
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
    let api = PlayedApi::start(|_| HttpResponse::Ok().json(json!([])));
    let url = api.url();
    let system = sharing(&redis, move |settings| settings.client.api_base_url = url);
    let other = replica(&system);
    let browser = Browser::new();
    browser.sign_in(&system, ALICE, "/posts");
    let refused = api.seen().last().expect("a request").token.clone();
    api.play(move |seen| {
        if seen.token == refused {
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

#[test]
fn without_redis_the_site_says_so_and_comes_back_with_it() {
    let Some(mut redis) = RedisServer::start() else { return };
    let system = sharing(&redis, |_| {});
    let browser = Browser::new();
    let page = browser.sign_in(&system, ALICE, "/posts/new");
    let form = page
        .form("Publish")
        .with("title", "Written")
        .with("content", "meanwhile");
    let css = page
        .body
        .split("href=\"")
        .find_map(|rest| rest.split('"').next().filter(|href| href.contains(".css")));
    let css = css.expect("a style sheet").replace("&#x2F;", "/");
    redis.stop();

    for path in ["/", "/posts", "/profile", "/logout"] {
        let page = browser.get_once(&system.web.url(path));
        assert_eq!((page.status, page.error()), (503, "503"), "{path}");
        assert!(
            page.body.contains("id=\"request-id\"") && page.text().contains("Your session is unavailable"),
            "{}",
            page.body
        );
        assert!(!page.header("content-security-policy").is_empty() && page.set_cookies.is_empty());
        assert!(
            !page.body.contains("localhost:") && !page.body.contains("hunter2"),
            "{}",
            page.body
        );
    }
    assert_eq!(browser.submit_once(&form).status, 503);
    assert_eq!(
        browser.get_once(&system.web.url(&css)).status,
        200,
        "what needs no session is there"
    );
    assert_eq!(
        Browser::new().get_once(&system.web.url("/")).status,
        200,
        "visitors are served"
    );
    let ready = browser.get_once(&system.web.url("/health/ready"));
    assert_eq!(ready.status, 503, "{}", ready.body);
    assert!(ready.body.contains("\"sessions\":\"unavailable\""), "{}", ready.body);
    assert_eq!(browser.get_once(&system.web.url("/health/live")).status, 200);

    let late = Browser::new();
    let page = late.sign_in(&system, BOB, "/");
    assert_eq!((page.status, page.error()), (503, "503"), "{}", page.body);
    assert!(!page.body.contains("id=\"account\""), "nobody is shown as signed in");

    assert!(redis.resume());
    wait_until("the site looks for Redis again", || {
        browser.get_once(&system.web.url("/profile")).status == 303
    });
    let again = browser.get(&system.web.url("/profile"));
    let again = if again.url.port() == Some(system.idp.port) {
        browser.pick(&again, ALICE)
    } else {
        again
    };
    assert_eq!(
        (again.status, again.url.path()),
        (200, "/profile"),
        "it was empty: people sign in again"
    );
}

/// So many requests at once that there are several connections to Redis.
fn warm_up(browser: &Browser, system: &TestSystem) {
    const REQUESTS: usize = 12;
    let barrier = Barrier::new(REQUESTS);
    thread::scope(|scope| {
        for _ in 0..REQUESTS {
            let (browser, barrier) = (browser.clone_cookies(), &barrier);
            scope.spawn(move || {
                barrier.wait();
                browser.get_once(&system.web.url("/profile"));
            });
        }
    });
}

#[test]
fn a_restart_of_redis_costs_no_request_however_many_connections_there_were() {
    let Some(mut redis) = RedisServer::start() else { return };
    let system = sharing(&redis, |_| {});
    let browser = Browser::new();
    browser.sign_in(&system, ALICE, "/profile");
    warm_up(&browser, &system);
    redis.stop();
    assert!(redis.resume());
    let page = browser.get_once(&system.web.url("/profile"));
    assert_eq!(
        page.status, 303,
        "it was empty: to the sign-in, and no page about Redis: {}",
        page.body
    );
}

#[test]
fn connections_that_have_gone_silent_are_replaced_by_the_next_request() {
    let Some(redis) = RedisServer::start() else { return };
    let silent = Arc::new(AtomicBool::new(false));
    let front = in_front_of(&redis, &silent);
    let system = sharing(&redis, |settings| {
        let url = redis
            .url()
            .replace(&format!(":{}/", redis.port()), &format!(":{front}/"));
        settings.redis = redis_at(&url);
    });
    let browser = Browser::new();
    browser.sign_in(&system, ALICE, "/profile");
    warm_up(&browser, &system);
    silent.store(true, Ordering::SeqCst);
    assert_eq!(
        browser.get_once(&system.web.url("/profile")).status,
        503,
        "nobody answers"
    );
    assert_eq!(
        browser.get_once(&system.web.url("/profile")).status,
        200,
        "on a connection of its own"
    );
}

/// A port that leads to `redis`; what is connected when `silent` becomes true hears nothing any more, and is not told.
fn in_front_of(redis: &RedisServer, silent: &Arc<AtomicBool>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let (port, to, silent) = (
        listener.local_addr().expect("bound").port(),
        redis.port(),
        Arc::clone(silent),
    );
    thread::spawn(move || {
        for client in listener.incoming() {
            let (Ok(client), Ok(server)) = (client, TcpStream::connect(("127.0.0.1", to))) else {
                return;
            };
            let was_silent = silent.load(Ordering::SeqCst);
            for (mut from, mut to) in [
                (
                    client.try_clone().expect("a socket"),
                    server.try_clone().expect("a socket"),
                ),
                (server, client),
            ] {
                let silent = Arc::clone(&silent);
                thread::spawn(move || {
                    let mut buffer = [0; 4096];
                    while let Ok(length @ 1..) = from.read(&mut buffer) {
                        let is_heard = was_silent || !silent.load(Ordering::SeqCst);
                        if is_heard && to.write_all(&buffer[..length]).is_err() {
                            return;
                        }
                    }
                });
            }
        }
    });
    port
}

#[test]
fn the_site_starts_while_redis_is_down() {
    let Some(mut redis) = RedisServer::start() else { return };
    redis.stop();
    let system = sharing(&redis, |_| {});
    assert_eq!(Browser::new().get_once(&system.web.url("/")).status, 200);
    assert!(redis.resume());
    wait_until("somebody can sign in", || {
        Browser::new().sign_in(&system, ALICE, "/profile").status == 200
    });
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
fn redis_learns_neither_tokens_nor_names_nor_session_ids_and_keeps_nothing_for_ever() {
    let Some(redis) = RedisServer::start() else { return };
    let api = PlayedApi::start(|_| HttpResponse::Ok().json(json!([])));
    let url = api.url();
    let system = sharing(&redis, move |settings| settings.client.api_base_url = url);
    let browser = Browser::new();
    browser.sign_in(&system, ALICE, "/posts");
    let token = api.seen().last().expect("a request").token.clone();
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
fn a_sign_in_that_ends_by_itself_leaves_no_session_id_behind() {
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
    wait_until("the refresh is refused", || {
        browser.get_once(&system.web.url("/posts")).status == 303
    });
    let after = sessions();
    assert_eq!((before.len(), after.len()), (1, 1));
    assert_ne!(before, after, "what was copied before names nothing any more");
}

#[test]
fn a_record_that_somebody_moved_or_made_in_redis_is_worth_nothing() {
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
        ("a record of one's own making", b"{}".to_vec()),
    ] {
        let _: () = connection.set(&of_mallory, record_of).expect("written");
        let page = mallory.get_once(&system.web.url("/profile"));
        record("session", attack, page.status == 303);
        assert_eq!(page.status, 303, "{attack}: {}", page.body);
    }
    assert!(is_signed_in(&alice, &system.web));
}

/// Every record as Redis itself writes it, to put it back later.
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
fn an_old_record_that_is_put_back_revives_no_session() {
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
        let is_refused = |what: &str| {
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
        is_refused("an old record, put back");
        // Who may write may also delete what was noted; those who have seen the sign-out know all the same.
        redis::cmd("FLUSHALL").exec(&mut redis.connection()).expect("done");
        is_refused("all old records, and none of the newer ones");
        put_back(&redis, &before);
        assert!(!is_signed_in(&copied, &other), "this one has seen it, too");
        assert!(is_signed_in(&bob, &system.web), "nobody else is concerned");
        let again = Browser::new();
        again.sign_in(&system, ALICE, "/");
        assert!(
            is_signed_in(&again, &system.web) && is_signed_in(&again, &other),
            "a new sign-in is one"
        );
    }
}

#[test]
fn many_sign_ins_of_one_user_end_the_least_recently_used_of_their_own_with_its_tokens() {
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
fn drafts_in_redis_are_bounded_by_author_and_in_total() {
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
    // One author's drafts of many pages.
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
fn a_session_ends_by_its_longest_time_however_much_it_is_used() {
    let Some(redis) = RedisServer::start() else { return };
    let system = sharing(&redis, |settings| {
        settings.client.session_max = std::time::Duration::ZERO
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

#[test]
fn redis_is_reached_over_tls_and_by_nobody_in_its_place() {
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
fn a_wrong_password_is_no_way_in_and_is_not_shown() {
    let Some(redis) = RedisServer::start() else { return };
    let url = redis.url().replace("hunter2-of-redis", "hunter3");
    let system = TestSystem::with(|settings| settings.redis = redis_at(&url));
    let page = Browser::new().sign_in(&system, ALICE, "/profile");
    assert_eq!(page.status, 503);
    assert!(!page.body.contains("hunter3"));
}

#[test]
fn signing_out_everywhere_ends_every_sign_in_even_if_redis_fails_half_way() {
    let Some(redis) = RedisServer::start() else { return };
    let system = sharing(&redis, |_| {});
    let other = replica(&system);
    let [here, there] = [(); 2].map(|()| Browser::new());
    here.sign_in(&system, ALICE, "/");
    there.sign_in(&system, ALICE, "/");
    let form = here
        .get(&system.web.url("/logout"))
        .form("everywhere")
        .with("everywhere", "1");
    break_keys(&redis, |key| key.starts_with("blogctl:sessions-of-"));
    assert_eq!(here.submit_once(&form).status, 503);
    for server in [&system.web, &other] {
        assert!(!is_signed_in(&here, server) && !is_signed_in(&there, server));
    }
}

#[test]
fn of_sessions_that_were_ended_before_redis_failed_no_tokens_are_left() {
    let Some(redis) = RedisServer::start() else { return };
    let system = sharing(&redis, |_| {});
    let keys = |kind: &str| -> Vec<String> {
        let all: Vec<String> = redis.connection().keys(format!("blogctl:{kind}:*")).expect("keys");
        all
    };
    let [here, there, last] = [(); 3].map(|()| Browser::new());
    here.sign_in(&system, ALICE, "/");
    there.sign_in(&system, ALICE, "/");
    let form = here
        .get(&system.web.url("/logout"))
        .form("everywhere")
        .with("everywhere", "1");
    let before = keys("session");
    last.sign_in(&system, ALICE, "/");
    assert_eq!(keys("tokens").len(), 3);
    break_keys(&redis, |key| {
        key.starts_with("blogctl:session:") && !before.iter().any(|one| one == key)
    });
    assert_eq!(here.submit_once(&form).status, 503);
    assert_eq!(keys("tokens").len(), 1, "those of the session that could not be read");
}

/// Puts something in the place of these keys that Redis refuses to read as what was there.
fn break_keys(redis: &RedisServer, is_one: impl Fn(&str) -> bool) {
    let mut connection = redis.connection();
    let keys: Vec<String> = connection.keys("*").expect("keys");
    for key in keys.iter().filter(|key| is_one(key)) {
        redis::pipe()
            .del(key)
            .ignore()
            .rpush(key, "broken")
            .ignore()
            .exec(&mut connection)
            .expect("a change");
    }
}
