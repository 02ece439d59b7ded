//! Checks: the cookie key, and where sessions are kept. The key itself is never shown, not even in part.

use secrecy::ExposeSecret;

use super::{
    Patient,
    finding::{Check, Said},
};
use crate::config::weakness;

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
    match weakness(key) {
        Some(weakness) => vec![Said::failed(weakness, EXPECTED, REMEDY)],
        None => vec![Said::ok(format!("{} characters that look random", key.chars().count()))],
    }
}

/// Sessions are never elsewhere: there is nothing to reach, but something to know.
fn run_sessions(patient: &Patient) -> Vec<Said> {
    let most = patient.settings.client.max_sessions;
    vec![Said::ok(format!(
        "in memory, {most} at most, no Redis: run one replica, or keep visitors on theirs; a restart signs everybody out"
    ))]
}
