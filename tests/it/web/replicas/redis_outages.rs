//! Redis is down, restarts, goes silent, or fails half way.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use redis::Commands as _;

use super::{is_signed_in, replica, sharing};
use crate::support::{
    entra::wait_until,
    redis::{RedisServer, settings as redis_at},
    system::TestSystem,
    web::{ALICE, BOB, Browser},
};

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
    assert!(!page.body.contains("id=\"account\""), "no user is shown as signed in");

    assert!(redis.restart());
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

/// Enough parallel requests to open several connections to Redis.
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
fn a_restart_of_redis_fails_no_request() {
    let Some(mut redis) = RedisServer::start() else { return };
    let system = sharing(&redis, |_| {});
    let browser = Browser::new();
    browser.sign_in(&system, ALICE, "/profile");
    warm_up(&browser, &system);
    redis.stop();
    assert!(redis.restart());
    let page = browser.get_once(&system.web.url("/profile"));
    assert_eq!(
        page.status, 303,
        "it was empty: to the sign-in, and no page about Redis: {}",
        page.body
    );
}

#[test]
fn silent_connections_are_replaced_by_the_next_request() {
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
    assert_eq!(browser.get_once(&system.web.url("/profile")).status, 503, "no answer");
    assert_eq!(
        browser.get_once(&system.web.url("/profile")).status,
        200,
        "on a new connection"
    );
}

/// A port that forwards to `redis`. When `silent` becomes true, existing connections receive nothing any more, without
/// being closed.
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
    assert!(redis.restart());
    wait_until("a user can sign in", || {
        Browser::new().sign_in(&system, ALICE, "/profile").status == 200
    });
}

#[test]
fn signing_out_everywhere_works_even_if_redis_fails_half_way() {
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
fn sessions_ended_before_redis_failed_leave_no_tokens() {
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

/// Replaces these keys by values of another type, so that Redis rejects reading them.
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
