//! Lines about secrets: where they come from, and who can read those files.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use super::{Check, CheckResult, DoctorContext, check};
use crate::config::{CredentialSettings, Entry, HIDDEN, Origin};

/// Settings whose value is a secret, and the better way to set it.
const SECRETS: &[(&str, &str)] = &[
    ("client.cookie_key", "client.cookie_key_file"),
    ("client.key_passphrase", "client.key_passphrase_file"),
    ("client.key_base64", "client.key_path"),
    ("server.tls.key_passphrase", "server.tls.key_passphrase_file"),
    ("telemetry.headers", "telemetry.headers_file"),
    ("redis.sentinel_password", "redis.sentinel_password_file"),
];

/// Permission bits of users who are neither owner nor group.
const OTHERS: u32 = 0o007;

pub fn checks() -> Vec<Check> {
    vec![
        check("production_secrets", "Secrets", &[], secrets),
        check("production_files", "File modes", &[], files),
    ]
}

fn secrets(context: &DoctorContext) -> Vec<CheckResult> {
    let mut results = Vec::new();
    for entry in &context.entries {
        let better = SECRETS
            .iter()
            .find(|(name, _)| *name == entry.name)
            .map(|(_, better)| *better);
        let has_password = match entry.name {
            // Parameters are hidden, too, whether or not they are secret.
            "database.url" => shows_password(entry) || is_password_in_parameters(context),
            "redis.url" | "redis.urls" => shows_password(entry),
            _ => false,
        };
        if better.is_none() && !has_password {
            continue;
        }
        let better = better.unwrap_or(if entry.name.starts_with("redis.") {
            "redis.password_file"
        } else {
            "database.password_file"
        });
        let remedy = format!("set {better} to a file that only the account of the service can read");
        match &entry.origin {
            Origin::Flag(flag) => results.push(CheckResult::failed(
                format!(
                    "{} is set by the flag {flag}, which every user of this machine can read",
                    entry.name
                ),
                "no secret in the command line",
                remedy,
            )),
            Origin::File(_) | Origin::DotEnv(_) => results.push(CheckResult::warning(
                format!(
                    "{} is in {}, which backups and repositories may contain",
                    entry.name, entry.origin
                ),
                "secrets apart from the settings",
                remedy,
            )),
            Origin::Default | Origin::Environment(_) => {}
        }
    }
    if results.is_empty() {
        results.push(CheckResult::ok("none in the command line, blog.toml or .env"));
    }
    results
}

/// A password in the parameters of the URL.
fn is_password_in_parameters(context: &DoctorContext) -> bool {
    context.settings.database.url.contains("password=")
}

/// Whether the value, as it is shown, hides a password before the host.
fn shows_password(entry: &Entry) -> bool {
    let hidden = format!(":{HIDDEN}@");
    entry.value.to_string().contains(&hidden)
}

fn files(context: &DoctorContext) -> Vec<CheckResult> {
    let (client, credentials) = (&context.settings.client, context.settings.client.credentials());
    let mut paths: Vec<&Path> = Vec::new();
    let tls = &context.settings.server.tls;
    let tls_files = [&tls.cert_path, &tls.key_path, &tls.key_passphrase_file];
    paths.extend(tls_files.into_iter().filter_map(Option::as_deref));
    if context.client {
        for credential in &credentials {
            if let CredentialSettings::File(certificate) = credential {
                let files = [
                    &certificate.path,
                    &certificate.key_path,
                    &certificate.key_passphrase_file,
                ];
                paths.extend(files.into_iter().filter_map(Option::as_deref));
            }
        }
        paths.extend(client.cookie_key_file.as_deref());
        let redis = &context.settings.redis;
        let redis_files = [&redis.password_file, &redis.sentinel_password_file];
        paths.extend(redis_files.into_iter().filter_map(Option::as_deref));
    }
    if context.api {
        paths.extend(context.settings.database.password_file.as_deref());
    }
    let settings_file = context.entries.iter().find_map(|entry| match &entry.origin {
        Origin::File(path) => Some(path.as_str()),
        _ => None,
    });
    paths.extend(context.settings.telemetry.headers_file.as_deref());
    paths.extend(settings_file.map(Path::new));
    let found: Vec<_> = paths.into_iter().filter_map(readable_by_others).collect();
    if found.is_empty() {
        vec![CheckResult::ok("no other user can read keys or settings")]
    } else {
        found.iter().map(|seen| failure(seen)).collect()
    }
}

/// Path and mode, if users who are neither owner nor group may read or write the file. A file that cannot be inspected is
/// reported by the check that needs it.
fn readable_by_others(path: &Path) -> Option<String> {
    let mode = fs::metadata(path).ok()?.mode() & 0o7777;
    (mode & OTHERS != 0).then(|| format!("{} has mode {mode:04o}", path.display()))
}

fn failure(seen: &str) -> CheckResult {
    CheckResult::failed(
        format!("{seen}: every user of this machine can read it"),
        "only the account of the service",
        "chmod 600, or 640 with a separate group",
    )
}
