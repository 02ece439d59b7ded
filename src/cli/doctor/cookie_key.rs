//! Check: the cookie key, which is never shown, not even in part.

use secrecy::ExposeSecret;

use super::{
    DoctorContext,
    finding::{Check, CheckResult},
};
use crate::config::{Environment, weakness};

const EXPECTED: &str = "32 random characters or more";
const REMEDY: &str = "set client.cookie_key (FLASK_SECRET_KEY), or client.cookie_key_file, to what openssl rand -base64 48 \
                      prints";
const REPLACE: &str = "replace it by what openssl rand -base64 48 prints; people sign in again, once. Whoever has guessed it could \
                       make cookies";

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
        // The site starts with it in development, and in production it does not.
        return vec![match context.settings.server.environment {
            Environment::Development => CheckResult::warning(weakness, EXPECTED, REPLACE),
            Environment::Production => CheckResult::failed(weakness, EXPECTED, REPLACE),
        }];
    }
    let length = first.expose_secret().chars().count();
    let older = match keys.len() - 1 {
        0 => String::new(),
        1 => "; an older key is still taken".to_owned(),
        count => format!("; {count} older keys are still taken"),
    };
    vec![CheckResult::ok(format!("{length} characters that look random{older}"))]
}
