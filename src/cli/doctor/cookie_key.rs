//! Checks: the cookie key, and where sessions are kept. The key itself is never shown, not even in part.

use std::collections::BTreeMap;

use secrecy::ExposeSecret;

use super::{
    Patient,
    finding::{Check, Said},
};

/// What a key of 128 random bits has, by the measure below.
const ENOUGH_BITS: f64 = 96.0;
/// Words that stand in examples and never in a random key.
const EXAMPLES: [&str; 8] =
    ["secret", "changeme", "change-me", "example", "password", "your-", "cookie key", "12345678"];
const EXPECTED: &str = "32 random characters or more";
const REMEDY: &str = "set client.cookie_key (FLASK_SECRET_KEY) to what openssl rand -base64 48 prints; everybody who is \
                      signed in will have to sign in again";

pub fn check() -> Check {
    Check { name: "cookie_key", title: "Cookie key", settings: &["client.cookie_key"], after: &[], run }
}

pub fn sessions() -> Check {
    Check { name: "sessions", title: "Sessions", settings: &[], after: &[], run: run_sessions }
}

fn run(patient: &Patient) -> Vec<Said> {
    let Some(key) = &patient.settings.client.cookie_key else {
        return vec![Said::failed("is not set", EXPECTED, REMEDY)];
    };
    let key = key.expose_secret();
    let length = key.chars().count();
    let lower = key.to_lowercase();
    if EXAMPLES.iter().any(|word| lower.contains(word)) {
        return vec![Said::failed("holds words that stand in examples, so that it can be guessed", EXPECTED, REMEDY)];
    }
    if bits(key) < ENOUGH_BITS {
        let seen = format!("has {length} characters, but they repeat too much to be random");
        return vec![Said::failed(seen, EXPECTED, REMEDY)];
    }
    vec![Said::ok(format!("{length} characters that look random"))]
}

/// Shannon's measure of the characters as they occur: an upper bound of what an attacker has to guess.
#[expect(clippy::cast_precision_loss, reason = "a key has some dozen characters")]
fn bits(key: &str) -> f64 {
    let mut counts: BTreeMap<char, usize> = BTreeMap::new();
    for c in key.chars() {
        *counts.entry(c).or_default() += 1;
    }
    let length = key.chars().count() as f64;
    counts.values().map(|&count| -(count as f64) * (count as f64 / length).log2()).sum()
}

/// Sessions are never elsewhere: there is nothing to reach, but something to know.
fn run_sessions(patient: &Patient) -> Vec<Said> {
    let most = patient.settings.client.max_sessions;
    vec![Said::ok(format!(
        "in memory, {most} at most, no Redis: run one replica, or keep visitors on theirs; a restart signs everybody out"
    ))]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_keys_of_each_usual_form_have_bits_enough_and_repetition_has_not() {
        for good in [
            "9f86d081884c7d659a2feaa0c55ad015",
            "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJCrze8SNFZ4kKvN7xI0VniQ",
            "dZ7!kq2_Xw9-Lm4+Rt6=Bn8~Hs1.Gv3,",
        ] {
            assert!(bits(good) >= ENOUGH_BITS, "{good}: {}", bits(good));
        }
        for bad in ["a".repeat(64), "ab".repeat(20), "abc".repeat(11)] {
            assert!(bits(&bad) < ENOUGH_BITS, "{bad}: {}", bits(&bad));
        }
    }
}
