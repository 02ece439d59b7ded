//! The cache file with signing keys: it bridges an outage during a restart, if it can be trusted.

use std::{sync::Arc, time::Duration};

use blogctl::{
    config::ApiSettings,
    entra::{AccessTokenValidator, Provider, TokenError, clock::Clock, signing_keys::KeyPolicy},
};
use serde_json::json;

use super::{Fixture, UNKNOWN};
use crate::support::{
    entra::{API, ScriptedProvider, ScriptedResponse, keys, wait_until},
    logs,
};

/// A validator with this cache file, while the provider answers as its script says.
fn started_with(cache: &std::path::Path, provider: &ScriptedProvider) -> (AccessTokenValidator, Clock) {
    let mut settings = provider.settings();
    settings.keys_cache_file = Some(cache.to_owned());
    let clock = Clock::default();
    let entra = Provider::with_policy(&settings, &[], KeyPolicy::default(), clock.clone()).expect("a provider");
    let settings = ApiSettings {
        client_id: Some(API.to_owned()),
        ..ApiSettings::default()
    };
    (AccessTokenValidator::new(Arc::new(entra), &settings), clock)
}

#[test]
fn a_restart_during_an_outage_uses_the_cached_keys_for_a_day() {
    let folder = tempfile::tempdir().expect("a folder");
    let cache = folder.path().join("keys.json");
    let fixture = Fixture::new();
    let token = fixture.token(0);
    let (first, _) = started_with(&cache, &fixture.provider);
    first.validate(&token).expect("valid");

    fixture.provider.script().jwks = ScriptedResponse::with_status(503, &json!({}));
    let (second, clock) = started_with(&cache, &fixture.provider);
    second.prepare().expect("the keys of the file");
    second.validate(&token).expect("valid by the keys of the file");
    assert_eq!(
        second.validate(&fixture.token(1)).expect_err("not among them"),
        TokenError::KeysUnavailable
    );
    let (third, late) = started_with(&cache, &fixture.provider);
    late.advance(Duration::from_hours(25));
    assert_eq!(third.prepare(), Err(TokenError::KeysUnavailable), "too old to count");

    fixture.provider.publish(&[keys()[1].jwk()]);
    clock.advance(Duration::from_mins(2));
    wait_until("the keys are fetched again", || {
        second.validate(&fixture.token(1)).is_ok()
    });
    assert_eq!(second.validate(&token).expect_err("the old key is gone"), UNKNOWN);
}

#[cfg(unix)]
#[test]
fn an_untrusted_or_damaged_cache_file_is_not_used() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = tempfile::tempdir().expect("a folder");
    let cache = folder.path().join("keys.json");
    let fixture = Fixture::new();
    let (first, _) = started_with(&cache, &fixture.provider);
    first.prepare().expect("keys");
    let good = std::fs::read_to_string(&cache).expect("written");
    assert_eq!(
        std::fs::metadata(&cache).expect("there").permissions().mode() & 0o777,
        0o600
    );
    fixture.provider.script().jwks = ScriptedResponse::with_status(503, &json!({}));
    for (name, text, mode) in [
        ("as it was", good.clone(), 0o600),
        ("writable by others", good.clone(), 0o666),
        (
            "of another tenant",
            good.replace(blogctl::config::DEV_TENANT_ID, API),
            0o600,
        ),
        (
            "of a time to come",
            good.replace("\"fetched_at\":\"20", "\"fetched_at\":\"21"),
            0o600,
        ),
        ("cut off", good.get(..good.len() / 2).expect("ASCII").to_owned(), 0o600),
        ("empty", String::new(), 0o600),
    ] {
        std::fs::write(&cache, text).expect("written");
        std::fs::set_permissions(&cache, std::fs::Permissions::from_mode(mode)).expect("set");
        let (server, _) = started_with(&cache, &fixture.provider);
        assert_eq!(server.prepare().is_ok(), name == "as it was", "{name}");
    }
}

/// Restarts while the provider is down, with a cache file changed by `spoil`. Returns whether the API has keys, and the log
/// lines about the file.
fn restarted_with(spoil: impl FnOnce(&std::path::Path)) -> (bool, Vec<String>) {
    logs::capture();
    let folder = tempfile::tempdir().expect("a folder");
    let cache = folder.path().join("keys.json");
    let fixture = Fixture::new();
    started_with(&cache, &fixture.provider).0.prepare().expect("keys");
    fixture.provider.script().jwks = ScriptedResponse::with_status(503, &json!({}));
    spoil(&cache);
    let (server, _) = started_with(&cache, &fixture.provider);
    let is_ready = server.prepare().is_ok();
    for _ in 0..5 {
        let _ = server.validate(&fixture.token(0));
    }
    (
        is_ready,
        logs::containing(&format!("{}: the signing keys", cache.display())),
    )
}

#[cfg(unix)]
#[test]
fn the_log_states_once_why_a_cache_file_is_not_trusted() {
    use std::{
        fs::{self, Permissions},
        os::unix::fs::{PermissionsExt as _, symlink},
        path::Path,
    };

    type Spoil = fn(&Path);
    let chmod = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).expect("changed");
    assert_eq!(restarted_with(|_| {}), (true, Vec::new()));
    let rows: [(&str, Spoil, &str); 6] = [
        (
            "a symbolic link",
            |path| {
                let real = path.with_extension("real");
                fs::rename(path, &real).expect("moved");
                symlink(real, path).expect("a link");
            },
            "it is a symbolic link",
        ),
        (
            "a folder",
            |path| {
                fs::remove_file(path).expect("removed");
                fs::create_dir(path).expect("a folder");
            },
            "it is not a regular file",
        ),
        (
            "a FIFO, which would block who opens it",
            |path| {
                fs::remove_file(path).expect("removed");
                let made = std::process::Command::new("mkfifo").arg(path).status().expect("mkfifo");
                assert!(made.success());
            },
            "it is not a regular file",
        ),
        (
            "endless",
            |path| {
                fs::File::options()
                    .write(true)
                    .open(path)
                    .expect("opened")
                    .set_len(1 << 40)
                    .expect("long");
            },
            "it is larger than 2097152 bytes",
        ),
        (
            "in a folder like /tmp",
            |path| {
                let folder = path.parent().expect("a folder");
                fs::set_permissions(folder, Permissions::from_mode(0o1777)).expect("changed");
            },
            "other users may write to its folder",
        ),
        (
            "of another form",
            |path| fs::write(path, "[]").expect("written"),
            "blogctl did not write this file",
        ),
    ];
    for (name, spoil, reason) in rows {
        let (is_ready, lines) = restarted_with(spoil);
        assert!(!is_ready, "{name}");
        let [line] = lines.as_slice() else {
            panic!("{name}: {lines:?}")
        };
        assert!(line.starts_with("WARN ") && line.contains(reason), "{name}: {line}");
    }
    let (is_ready, lines) = restarted_with(|path| chmod(path, 0o606));
    assert!(!is_ready && lines.len() == 1, "{lines:?}");
}
