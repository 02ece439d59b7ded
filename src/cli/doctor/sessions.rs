//! Check: where sessions are stored, and whether that store works.

use super::{
    DoctorContext,
    finding::{Check, CheckResult},
};
use crate::{
    config::{RedisMode, RedisSettings},
    web::{KeyRing, RedisStore},
};

const EXPECTED: &str = "a Redis in which a record can be written and read";

pub fn check() -> Check {
    Check {
        name: "sessions",
        title: "Sessions",
        settings: &[
            "redis.url",
            "redis.urls",
            "redis.mode",
            "redis.ca_file",
            "redis.timeout_seconds",
        ],
        after: &[],
        run,
    }
}

fn run(context: &DoctorContext) -> Vec<CheckResult> {
    let settings = &context.settings;
    let keys = KeyRing::new(&settings.client.cookie_keys).or_random();
    match RedisStore::from_settings(&settings.redis, &keys) {
        Err(error) => vec![CheckResult::failed(
            error.to_string(),
            EXPECTED,
            "see redis.url and redis.ca_file",
        )],
        Ok(Some(redis)) => in_redis(&redis, &settings.redis),
        Ok(None) => vec![CheckResult::ok(format!(
            "in memory, at most {}, without Redis: run one replica, or use sticky sessions; a restart signs all users out",
            settings.client.max_sessions
        ))],
    }
}

fn in_redis(redis: &RedisStore, settings: &RedisSettings) -> Vec<CheckResult> {
    let addresses: Vec<_> = settings.addresses().iter().map(ToString::to_string).collect();
    let place = match settings.mode {
        RedisMode::Single => addresses.join(", "),
        RedisMode::Sentinel => format!("the primary that the Sentinels {} know", addresses.join(", ")),
        RedisMode::Cluster => format!("the cluster of {}", addresses.join(", ")),
    };
    let mut results = vec![match redis.probe() {
        Ok(version) => CheckResult::ok(format!(
            "in Redis{} at {place}",
            version.map_or_else(String::new, |v| format!(" {v}"))
        )),
        Err(error) => {
            let reason = error.to_string();
            CheckResult::failed(
                format!("{reason} ({place})"),
                EXPECTED,
                remedy_for(&reason, settings.mode),
            )
        }
    }];
    if let Some(url) = settings.addresses().iter().find(|url| !url.is_private()) {
        results.push(CheckResult::warning(
            format!("{url} has no TLS: an attacker in the network can read the password and end sessions"),
            "rediss:// (the records are always encrypted)",
            "set redis.url to a rediss:// URL",
        ));
    }
    results
}

/// Decides by the text of the server and of the client library.
fn remedy_for(reason: &str, mode: RedisMode) -> &'static str {
    let reason = reason.to_ascii_lowercase();
    // The pool puts its own timeout before the cause.
    let reason = reason
        .split_once("waiting for connection: ")
        .map_or(&*reason, |(_, cause)| cause);
    let has = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    if has(&["there is no password"]) {
        return "correct redis.password_file, redis.password_command, or redis.azure and the identity in [azure]";
    }
    // Before the others, because "authority" contains "auth".
    if mode == RedisMode::Cluster && has(&["notvalidforname", "not valid for name"]) {
        "let each node announce a name that is in its certificate (cluster-announce-hostname and cluster-preferred-endpoint-type hostname)"
    } else if has(&["certificate", "tls", "unknownissuer"]) {
        "set redis.ca_file to a PEM file with the CA that issued the certificate of Redis"
    } else if has(&["noauth", "wrongpass", "authentication", "password"]) {
        "correct user and password in redis.url; percent-encode their special characters"
    } else if has(&["noperm"]) {
        "allow the user GET, SET, DEL, PEXPIRE, EVAL and the commands for sorted sets on redis.key_prefix"
    } else if has(&["sentinel_master"]) {
        "set redis.sentinel_master to the name after `sentinel monitor` in the settings of the Sentinels"
    } else if has(&["cluster support disabled"]) {
        "set redis.mode to single: this Redis is not a cluster"
    } else if has(&["moved"]) {
        "set redis.mode to cluster: this Redis is a node of a cluster"
    } else if has(&[
        "get-master-addr-by-name",
        "unknown command 'sentinel'",
        "unknown command `sentinel`",
    ]) {
        "set redis.urls to the addresses of the Sentinels, mostly with port 26379, or redis.mode to single"
    } else if has(&["clusterdown"]) {
        "wait until the cluster has elected another primary, or repair it: redis-cli --cluster check HOST:PORT"
    } else if has(&["readonly"]) {
        "set redis.url to the primary, which accepts writes"
    } else if reason.ends_with("waiting for connection") {
        // A Redis without TLS waits for the end of the TLS handshake, which it takes for a command.
        "check host, port and scheme of redis.url: a Redis without TLS does not answer to rediss://, and a firewall may drop requests"
    } else if has(&["refused", "timed out", "timeout", "lookup", "resolve"]) {
        "start Redis, or correct host and port in redis.url; check for a firewall"
    } else {
        "check that Redis is running there; use rediss:// in redis.url if it requires TLS, otherwise redis://"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_of_redis_has_its_remedy() {
        for (reason, expected) in [
            ("NOAUTH: Authentication required.", "user and password"),
            ("WRONGPASS: invalid username-password pair", "user and password"),
            (
                "Password authentication failed- AuthenticationFailed",
                "user and password",
            ),
            (
                "there is no password- AuthenticationFailed: the file",
                "redis.password_file",
            ),
            ("NOPERM: this user has no permissions", "allow the user"),
            ("READONLY: You can't write against a read only replica.", "primary"),
            ("invalid peer certificate: UnknownIssuer", "redis.ca_file"),
            ("the certificate is of an unknown authority", "redis.ca_file"),
            ("failed to lookup address information of auth-cache", "host and port"),
            ("Connection refused (os error 111)", "host and port"),
            ("Response type not string compatible", "rediss://"),
            (
                "timed out waiting for connection: received corrupt message of type InvalidContentType",
                "otherwise redis://",
            ),
            (
                "timed out waiting for connection: Connection reset by peer (os error 104)",
                "use rediss://",
            ),
            (
                "timed out waiting for connection: Connection refused (os error 111)",
                "host and port",
            ),
            ("timed out waiting for connection", "does not answer to rediss://"),
            ("MOVED: 866 127.0.0.1:7001", "redis.mode to cluster"),
            ("ERR This instance has cluster support disabled", "redis.mode to single"),
            (
                "ERR unknown command 'SENTINEL', with args beginning with",
                "addresses of the Sentinels",
            ),
            (
                "a Sentinel does not know this name of redis.sentinel_master: blog",
                "sentinel monitor",
            ),
            ("CLUSTERDOWN: The cluster is down", "--cluster check"),
        ] {
            assert!(remedy_for(reason, RedisMode::Single).contains(expected), "{reason}");
        }
    }
}
