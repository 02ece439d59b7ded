//! Redis.

use crate::support::{
    metrics::Scrape,
    redis::RedisServer,
    role::RoleProcess,
    web::{ALICE, Browser},
};

const COUNT: &str = "blogctl_redis_request_duration_seconds_count";

#[test]
fn commands_are_counted_by_outcome_and_an_outage_is_seen() {
    let Some(mut redis) = RedisServer::start() else { return };
    let site = RoleProcess::client(&[&format!("redis.url={}", redis.url())]);
    let count = |scrape: &Scrape, outcome| scrape.value(COUNT, &[("outcome", outcome)]);
    let scrape = site.scrape();
    for outcome in ["success", "error", "unreachable", "skipped"] {
        assert_eq!(
            scrape.count(COUNT, &[("outcome", outcome)]),
            1,
            "begins at zero: {}",
            scrape.text
        );
    }
    assert_eq!(
        scrape.count("blogctl_sessions", &[]),
        0,
        "this process does not know how many there are"
    );
    let browser = Browser::new();
    assert_eq!(site.sign_in(&browser, ALICE, "/").status, 200);
    let scrape = site.scrape();
    assert!(count(&scrape, "success") >= 2.0, "{}", scrape.text);
    assert_eq!(count(&scrape, "unreachable"), 0.0, "{}", scrape.text);
    assert!(scrape.value("blogctl_redis_connections", &[]) >= 1.0, "{}", scrape.text);
    redis.stop();
    for _ in 0..3 {
        assert_eq!(browser.get(&site.url("/profile")).status, 503);
    }
    let scrape = site.scrape();
    assert!(count(&scrape, "unreachable") >= 1.0, "{}", scrape.text);
}
