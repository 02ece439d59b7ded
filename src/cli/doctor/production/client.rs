//! Lines about the web site: HTTPS and cookies, expiry warnings, where the key is, sessions.

use std::time::Duration;

use super::{Check, CheckResult, DoctorContext, check};
use crate::{
    config::{CredentialSettings, DEV_CLIENT_ID},
    loopback::is_loopback,
    web::Addresses,
};

/// Sessions that live longer outlast a working day.
const LONG_SESSION: Duration = Duration::from_hours(24);
const LONG_IDLE: Duration = Duration::from_hours(8);
/// Days before its end on which a warning should come at the latest.
const MIN_WARNING_DAYS: u32 = 14;

pub fn checks() -> Vec<Check> {
    vec![
        check(
            "production_https",
            "HTTPS",
            &["client.public_url", "client.redirect_uri"],
            https,
        ),
        check(
            "production_expiry",
            "Expiry warning",
            &["client.expiry_warning_days"],
            expiry,
        ),
        check(
            "production_key",
            "Private key",
            &["client.credential", "client.cert_path"],
            key,
        ),
        check(
            "production_registration",
            "Registration",
            &["client.client_id"],
            registration,
        ),
        check(
            "production_sessions",
            "Session limits",
            &["client.session_idle_minutes", "client.session_max_hours", "redis.url"],
            sessions,
        ),
    ]
}

fn https(context: &DoctorContext) -> Vec<CheckResult> {
    let client = &context.settings.client;
    let Ok(Addresses { public_url, .. }) = Addresses::from_settings(&context.settings, client.port) else {
        return vec![CheckResult::skipped("needs Addresses, which did not succeed")];
    };
    let mut results = Vec::new();
    if public_url.scheme() != "https" || is_loopback(&public_url) {
        results.push(CheckResult::failed(
            format!(
                "the public URL is {public_url}, so cookies are not Secure, and other machines cannot use the site"
            ),
            "an https URL",
            "set client.public_url to the https URL that visitors use",
        ));
    }
    if client.allow_plain_http {
        results.push(CheckResult::failed(
            "client.allow_plain_http is on",
            "HTTPS only",
            "remove client.allow_plain_http",
        ));
    }
    if results.is_empty() {
        results.push(CheckResult::ok(format!("{public_url}: cookies are Secure")));
    }
    results
}

fn expiry(context: &DoctorContext) -> Vec<CheckResult> {
    let days = &context.settings.client.expiry_warning_days;
    vec![match days.iter().max() {
        Some(most) if *most >= MIN_WARNING_DAYS => CheckResult::ok(format!("from {most} days before the end")),
        _ => CheckResult::warning(
            format!("client.expiry_warning_days has no day before the last {MIN_WARNING_DAYS}"),
            "time to renew the certificate and to upload it",
            "set client.expiry_warning_days = [30, 14, 7, 1], and watch the log or /health/ready",
        ),
    }]
}

fn key(context: &DoctorContext) -> Vec<CheckResult> {
    let credentials = context.settings.client.credentials();
    let in_files = credentials
        .iter()
        .filter(|credential| matches!(credential, CredentialSettings::File(_)))
        .count();
    vec![match (credentials.len(), in_files) {
        (0, _) => CheckResult::failed(
            "the site has no credential",
            "a certificate",
            "set client.cert_path or client.credential",
        ),
        (_, 0) => CheckResult::ok("no private key is on this machine"),
        _ => CheckResult::ok(
            "in a file: an attacker who breaks into the site can take it along; with source = \"key_vault_sign\" it never leaves the \
             vault",
        ),
    }]
}

fn registration(context: &DoctorContext) -> Vec<CheckResult> {
    vec![if context.settings.client.client_id == DEV_CLIENT_ID {
        CheckResult::failed(
            "client.client_id is that of the development emulator",
            "the application of your tenant",
            "set client.client_id to the Application (client) ID that the portal shows",
        )
    } else {
        CheckResult::ok("check its permissions with: az ad app show --id CLIENT_ID | blogctl entra diff -")
    }]
}

fn sessions(context: &DoctorContext) -> Vec<CheckResult> {
    let client = &context.settings.client;
    let mut results = Vec::new();
    if client.session_max > LONG_SESSION || client.session_idle > LONG_IDLE {
        results.push(CheckResult::warning(
            format!(
                "sessions last {} h, unused ones {} min: a forgotten browser stays signed in for that long",
                client.session_max.as_secs() / 3600,
                client.session_idle.as_secs() / 60
            ),
            "at most 24 h, and 8 h unused",
            "lower client.session_max_hours and client.session_idle_minutes",
        ));
    }
    if context.settings.redis.addresses().is_empty() {
        results.push(CheckResult::warning(
            "sessions are in memory: only one replica, and a restart signs all users out",
            "redis.url or redis.urls, if more than one replica runs",
            "set redis.url to a rediss:// URL",
        ));
    }
    if results.is_empty() {
        results.push(CheckResult::ok("limited, and shared by replicas"));
    }
    results
}
