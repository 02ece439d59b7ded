//! Check: where sessions are kept, and whether that place can be used.

use super::{
    Patient,
    finding::{Check, Said},
};
use crate::{
    config::RedisUrl,
    web::{KeyRing, RedisStore},
};

const EXPECTED: &str = "a Redis in which a record can be written and read";

pub fn check() -> Check {
    Check {
        name: "sessions",
        title: "Sessions",
        settings: &["redis.url", "redis.ca_file", "redis.timeout_seconds"],
        after: &[],
        run,
    }
}

fn run(patient: &Patient) -> Vec<Said> {
    let settings = &patient.settings;
    let keys = KeyRing::new(&settings.client.cookie_keys).or_random();
    match (RedisStore::of(&settings.redis, &keys), &settings.redis.url) {
        (Err(error), _) => vec![Said::failed(error.to_string(), EXPECTED, "see redis.url and redis.ca_file")],
        (Ok(Some(redis)), Some(url)) => in_redis(&redis, url),
        _ => vec![Said::ok(format!(
            "in memory, {} at most, no Redis: run one replica, or keep visitors on theirs; a restart signs everybody out",
            settings.client.max_sessions
        ))],
    }
}

fn in_redis(redis: &RedisStore, url: &RedisUrl) -> Vec<Said> {
    let mut said = vec![match redis.probe() {
        Ok(version) => Said::ok(format!("in Redis{} at {url}", version.map_or_else(String::new, |v| format!(" {v}")))),
        Err(error) => {
            let remedy = "start it, correct redis.url (host, port, user, password; rediss:// where it wants TLS), or see \
                          its firewall";
            Said::failed(format!("{error} ({url})"), EXPECTED, remedy)
        }
    }];
    if !url.is_private() {
        said.push(Said::warning(
            format!("{url} is reached without TLS: whoever is on the way can read its password and end sessions"),
            "rediss:// (records themselves are encrypted in any case)",
            "set redis.url to a rediss:// address",
        ));
    }
    said
}
