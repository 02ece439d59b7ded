//! Lines about secrets: where they come from, and who can read those files.

use std::{fs, os::unix::fs::MetadataExt as _, path::Path};

use super::{Check, CheckResult, DoctorContext, check};
use crate::config::{CredentialSettings, Entry, HIDDEN, Origin};

/// Settings whose value is a secret, and the better way to set it.
const SECRETS: &[(&str, &str)] = &[
    ("client.cookie_key", "client.cookie_key_file"),
    ("client.key_passphrase", "client.key_passphrase_file"),
    ("client.key_base64", "client.key_path"),
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
            "database.url" => shows_password(entry) || context.settings.database.url.contains("password="),
            "redis.url" => shows_password(entry),
            _ => false,
        };
        if better.is_none() && !has_password {
            continue;
        }
        let remedy = better.map_or_else(
            || "let a secret store put it into the environment, or use a login without a password".to_owned(),
            |better| format!("set {better} to a file that only the account of the service can read"),
        );
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

/// Whether the value, as it is shown, hides a password before the host.
fn shows_password(entry: &Entry) -> bool {
    let hidden = format!(":{HIDDEN}@");
    entry.value.as_str().is_some_and(|shown| shown.contains(&hidden))
}

fn files(context: &DoctorContext) -> Vec<CheckResult> {
    let client = &context.settings.client;
    let mut paths: Vec<(&Path, &str)> = Vec::new();
    if context.client {
        let credentials = client.credentials();
        let mut report = Vec::new();
        for credential in &credentials {
            if let CredentialSettings::File(certificate) = credential {
                report.extend(
                    [
                        &certificate.path,
                        &certificate.key_path,
                        &certificate.key_passphrase_file,
                    ]
                    .into_iter()
                    .flatten()
                    .filter_map(|path| readable_by_others(path)),
                );
            }
        }
        if !report.is_empty() {
            return report.into_iter().map(failure).collect();
        }
        paths.extend(
            client
                .cookie_key_file
                .as_deref()
                .map(|path| (path, "client.cookie_key_file")),
        );
    }
    let settings_file = context.entries.iter().find_map(|entry| match &entry.origin {
        Origin::File(path) => Some(path.as_str()),
        _ => None,
    });
    paths.extend(settings_file.map(|path| (Path::new(path), "the settings file")));
    let found: Vec<_> = paths.iter().filter_map(|(path, _)| readable_by_others(path)).collect();
    if found.is_empty() {
        vec![CheckResult::ok("no other user can read keys or settings")]
    } else {
        found.into_iter().map(failure).collect()
    }
}

/// Path and mode, if users who are neither owner nor group may read or write the file. A file that cannot be inspected is
/// reported by the check that needs it.
fn readable_by_others(path: &Path) -> Option<String> {
    let mode = fs::metadata(path).ok()?.mode() & 0o7777;
    (mode & OTHERS != 0).then(|| format!("{} has mode {mode:04o}", path.display()))
}

fn failure(seen: String) -> CheckResult {
    CheckResult::failed(
        format!("{seen}: every user of this machine can read it"),
        "only the account of the service",
        "chmod 600, or 640 with a separate group",
    )
}
