//! Check: where sessions are kept, and whether that place can be used.

use super::{
    DoctorContext,
    finding::{Check, CheckResult},
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

fn run(context: &DoctorContext) -> Vec<CheckResult> {
    let settings = &context.settings;
    let keys = KeyRing::new(&settings.client.cookie_keys).or_random();
    match (RedisStore::from_settings(&settings.redis, &keys), &settings.redis.url) {
        (Err(error), _) => vec![CheckResult::failed(
            error.to_string(),
            EXPECTED,
            "see redis.url and redis.ca_file",
        )],
        (Ok(Some(redis)), Some(url)) => in_redis(&redis, url),
        _ => vec![CheckResult::ok(format!(
            "in memory, {} at most, no Redis: run one replica, or keep visitors on theirs; a restart signs everybody out",
            settings.client.max_sessions
        ))],
    }
}

fn in_redis(redis: &RedisStore, url: &RedisUrl) -> Vec<CheckResult> {
    let mut results = vec![match redis.probe() {
        Ok(version) => CheckResult::ok(format!(
            "in Redis{} at {url}",
            version.map_or_else(String::new, |v| format!(" {v}"))
        )),
        Err(error) => {
            let reason = error.to_string();
            CheckResult::failed(format!("{reason} ({url})"), EXPECTED, remedy_for(&reason))
        }
    }];
    if !url.is_private() {
        results.push(CheckResult::warning(
            format!("{url} is reached without TLS: whoever is on the way can read its password and end sessions"),
            "rediss:// (records themselves are encrypted in any case)",
            "set redis.url to a rediss:// address",
        ));
    }
    results
}

/// By the words of the server and of its client library.
fn remedy_for(reason: &str) -> &'static str {
    let reason = reason.to_ascii_lowercase();
    // Whatever keeps it from connecting, the pool says first that it has waited.
    let reason = reason
        .split_once("waiting for connection: ")
        .map_or(&*reason, |(_, cause)| cause);
    let has = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    // Before all else: an authority is no authentication.
    if has(&["certificate", "tls", "unknownissuer"]) {
        "set redis.ca_file to the PEM file of the authority that has signed its certificate"
    } else if has(&["noauth", "wrongpass", "authentication", "password"]) {
        "correct user and password in redis.url; what is not a letter or digit in them is percent-encoded"
    } else if has(&["noperm"]) {
        "let its user run GET, SET, DEL, PEXPIRE, EVAL and the commands of sorted sets on redis.key_prefix"
    } else if has(&["readonly"]) {
        "let redis.url name the primary, which takes writes"
    } else if reason.ends_with("waiting for connection") {
        // It knows no TLS, and waits for the end of what it takes for a command.
        "see host, port and scheme of redis.url: a Redis without TLS is silent to rediss://, and so may be a firewall"
    } else if has(&["refused", "timed out", "timeout", "lookup", "resolve"]) {
        "start it, or correct host and port in redis.url; a firewall may be between"
    } else {
        "see that a Redis answers there; redis.url is rediss:// where it wants TLS, and redis:// where it does not"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_redis_says_has_its_remedy() {
        for (reason, results) in [
            ("NOAUTH: Authentication required.", "user and password"),
            ("WRONGPASS: invalid username-password pair", "user and password"),
            (
                "Password authentication failed- AuthenticationFailed",
                "user and password",
            ),
            ("NOPERM: this user has no permissions", "let its user run"),
            ("READONLY: You can't write against a read only replica.", "primary"),
            ("invalid peer certificate: UnknownIssuer", "redis.ca_file"),
            ("the certificate is of an unknown authority", "redis.ca_file"),
            ("failed to lookup address information of auth-cache", "host and port"),
            ("Connection refused (os error 111)", "host and port"),
            ("Response type not string compatible", "rediss://"),
            (
                "timed out waiting for connection: received corrupt message of type InvalidContentType",
                "redis:// where",
            ),
            (
                "timed out waiting for connection: Connection reset by peer (os error 104)",
                "rediss:// where",
            ),
            (
                "timed out waiting for connection: Connection refused (os error 111)",
                "host and port",
            ),
            ("timed out waiting for connection", "is silent to rediss://"),
        ] {
            assert!(remedy_for(reason).contains(results), "{reason}");
        }
    }
}
