//! Check: the cookie key. No part of it is ever shown.

use secrecy::ExposeSecret;

use super::{
    DoctorContext,
    finding::{Check, CheckResult},
};
use crate::config::{Environment, weakness};

const EXPECTED: &str = "32 random characters or more";
const REMEDY: &str = "set client.cookie_key (FLASK_SECRET_KEY), or client.cookie_key_file, to what openssl rand -base64 48 \
                      prints";
const REPLACE: &str = "replace it with what openssl rand -base64 48 prints. Users must sign in again once. An attacker who guesses the \
                       key can forge cookies";

pub fn check() -> Check {
    Check {
        name: "cookie_key",
        title: "Cookie key",
        settings: &["client.cookie_key", "client.cookie_key_file"],
        after: &[],
        run,
    }
}

fn run(context: &DoctorContext) -> Vec<CheckResult> {
    let keys = &context.settings.client.cookie_keys;
    let Some(first) = keys.first() else {
        return vec![CheckResult::failed("is not set", EXPECTED, REMEDY)];
    };
    if let Some(weakness) = keys.iter().find_map(|key| weakness(key.expose_secret())) {
        // In production, the site does not start with such a key.
        return vec![match context.settings.server.environment {
            Environment::Development => CheckResult::warning(weakness, EXPECTED, REPLACE),
            Environment::Production => CheckResult::failed(weakness, EXPECTED, REPLACE),
        }];
    }
    let length = first.expose_secret().chars().count();
    let older = match keys.len() - 1 {
        0 => String::new(),
        1 => "; one older key is still accepted".to_owned(),
        count => format!("; {count} older keys are still accepted"),
    };
    vec![CheckResult::ok(format!("{length} characters that look random{older}"))]
}
