//! `doctor --production`: each line of the checklist, met and not met.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt as _, path::Path, thread};

use serde_json::Value;

use crate::support::binary::{CommandOutput, blogctl};

/// Settings of a deployment that meets every line which settings decide.
const GOOD: &str = r#"
[server]
trusted_proxies = ["10.0.0.0/8"]
[entra]
tenant_id = "51111111-2222-4333-8444-555555555555"
timeout_seconds = 1
[client]
host = "0.0.0.0"
public_url = "https://blog.example.com"
client_id = "21111111-2222-4333-8444-555555555555"
api_scope = "api://31111111-2222-4333-8444-555555555555/access_as_user"
api_base_url = "https://localhost:1"
cookie_key_file = "cookie.key"
cert_path = "client.pem"
[redis]
url = "rediss://localhost:1"
timeout_seconds = 1
[api]
host = "0.0.0.0"
app_id_uri = "api://31111111-2222-4333-8444-555555555555"
allowed_client_apps = ["21111111-2222-4333-8444-555555555555"]
docs = false
[database]
url = "postgres://blog@db.invalid/blog?sslmode=verify-full"
connect_timeout_seconds = 2
[log]
format = "json"
[metrics]
enabled = true
[telemetry]
otlp_endpoint = "http://localhost:1"
[audit]
path = "audit.jsonl"
"#;

/// The `production_…` checks: status and what was seen, with further settings.
fn checked(folder: &Path, changes: &[&str]) -> BTreeMap<String, (String, String)> {
    let mut command = blogctl(folder);
    command.args(["doctor", "--production", "--json", "--timeout", "1"]);
    for change in changes {
        command.args(["--set", change]);
    }
    let output = CommandOutput::from_command(&mut command);
    let report: Value = serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let text = |finding: &Value, name: &str| finding[name].as_str().expect("text").to_owned();
    let mut found = BTreeMap::new();
    for finding in report["checks"].as_array().expect("a list") {
        let name = text(finding, "check");
        if name.starts_with("production_") {
            let status = text(finding, "status");
            // The worst of several findings.
            let entry = found
                .entry(name)
                .or_insert_with(|| (status.clone(), text(finding, "seen")));
            if status == "failed" || (status == "warning" && entry.0 == "ok") {
                *entry = (status, text(finding, "seen"));
            }
        }
    }
    found
}

fn deployment() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("written");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("changed");
    };
    write("blog.toml", GOOD);
    write("cookie.key", "T5v9XcQ2mL7pR4wZ8bN1kD6hG3jF0sA+/yUeIoVx");
    write("client.pem", &crate::support::system::client_certificate().1);
    folder
}

#[test]
fn a_good_deployment_meets_every_line_and_each_bad_setting_breaks_its_line_alone() {
    let folder = deployment();
    let good = checked(folder.path(), &[]);
    let is_root = rustix::process::geteuid().is_root();
    for (name, (status, seen)) in &good {
        let expected = if name == "production_account" && is_root {
            "warning"
        } else {
            "ok"
        };
        assert_eq!(status, expected, "{name}: {seen}");
    }
    let tls = checked(
        folder.path(),
        &["server.tls.cert_path=client.pem", "server.trusted_proxies=10.0.0.0/8"],
    );
    assert_eq!(
        tls["production_tls"],
        ("ok".to_owned(), "server.tls: the servers speak HTTPS only".to_owned())
    );
    let folder = folder.path();
    let rows = [
        ("production_environment", "failed", "server.environment=development"),
        (
            "production_authority",
            "failed",
            "entra.tenant_id=11111111-2222-4333-8444-555555555555",
        ),
        (
            "production_authority",
            "failed",
            "entra.authority_host=http://localhost:9000",
        ),
        (
            "production_authority",
            "failed",
            "entra.authority_host=https://localhost:9000",
        ),
        (
            "production_authority",
            "warning",
            "entra.authority_host=https://login.invalid",
        ),
        ("production_tls", "failed", "server.trusted_proxies="),
        (
            "production_tls",
            "failed",
            "server.trusted_proxies=10.0.0.0/8,0.0.0.0/0",
        ),
        ("production_log", "failed", "log.level=info,blogctl::entra=debug"),
        ("production_log", "warning", "log.level=off"),
        ("production_log", "warning", "log.format=text"),
        ("production_audit", "warning", "audit.path="),
        ("production_telemetry", "warning", "telemetry.otlp_endpoint="),
        ("production_metrics", "warning", "metrics.enabled=false"),
        ("production_drain", "warning", "server.drain_seconds=0"),
        ("production_https", "failed", "client.public_url=http://localhost:5000"),
        ("production_expiry", "warning", "client.expiry_warning_days=7,1"),
        ("production_sessions", "warning", "client.session_max_hours=48"),
        ("production_sessions", "warning", "redis.url="),
        ("production_cors", "failed", "api.cors_origins=*"),
        (
            "production_cors",
            "warning",
            "api.cors_origins=https://app.example.com,http://localhost:3000",
        ),
        ("production_docs", "warning", "api.docs=true"),
        ("production_rate_limits", "failed", "api.rate_limits=false"),
        ("production_callers", "warning", "api.allowed_client_apps="),
        (
            "production_database",
            "failed",
            "database.url=postgres://blog@db.invalid/blog",
        ),
        (
            "production_database",
            "failed",
            "database.url=postgres://blog@db.invalid/blog?sslmode=prefer",
        ),
        (
            "production_database",
            "warning",
            "database.url=postgres://blog@db.invalid/blog?sslmode=require",
        ),
        ("production_database", "warning", "database.url=blog.db"),
        ("production_database", "warning", "database.migrate_at_start=true"),
    ];
    // At once, because each waits for servers that do not answer.
    let results: Vec<_> = thread::scope(|scope| {
        let run = |change: &'static str| scope.spawn(move || checked_with(folder, change));
        let started: Vec<_> = rows.iter().map(|(_, _, change)| run(change)).collect();
        started
            .into_iter()
            .map(|thread| thread.join().expect("a report"))
            .collect()
    });
    for ((check, status, change), found) in rows.into_iter().zip(results) {
        let (seen_status, seen) = &found[check];
        assert_eq!(seen_status, status, "{change}: {seen}");
        for (name, (other, seen)) in &found {
            let before = &good[name].0;
            assert!(name == check || other == before, "{change} also changes {name}: {seen}");
        }
    }
}

/// With one setting changed by a flag. An empty flag is an error, so an empty value removes the setting from the file.
fn checked_with(folder: &Path, change: &str) -> BTreeMap<String, (String, String)> {
    let (setting, value) = change.split_once('=').expect("a setting");
    if !value.is_empty() {
        return checked(folder, &[change]);
    }
    let key = setting.split_once('.').expect("a section").1;
    let copy = tempfile::tempdir().expect("a folder");
    for name in ["cookie.key", "client.pem", "blog.toml"] {
        fs::copy(folder.join(name), copy.path().join(name)).expect("copied");
    }
    let path = copy.path().join("blog.toml");
    let text = fs::read_to_string(&path).expect("settings");
    let section = format!("[{}]", setting.split_once('.').expect("a section").0);
    let mut current = String::new();
    let rest: Vec<&str> = text
        .lines()
        .filter(|line| {
            if line.starts_with('[') {
                (*line).clone_into(&mut current);
            }
            current != section || !line.starts_with(&format!("{key} ="))
        })
        .collect();
    fs::write(&path, rest.join("\n")).expect("written");
    checked(copy.path(), &[])
}

#[test]
fn secrets_in_the_wrong_place_and_readable_files_are_reported_without_being_shown() {
    let folder = deployment();
    let secret = "T5v9XcQ2mL7pR4wZ8bN1kD6hG3jF0sA+/yUeIoVx";
    let text = GOOD.replace(
        "cookie_key_file = \"cookie.key\"",
        &format!("cookie_key = \"{secret}\""),
    );
    fs::write(folder.path().join("blog.toml"), text).expect("written");
    let found = checked(folder.path(), &[]);
    assert_eq!(found["production_secrets"].0, "warning", "{found:?}");
    let found = checked(
        folder.path(),
        &["database.url=postgres://blog:hunter2@db.invalid/blog?sslmode=verify-full"],
    );
    assert_eq!(found["production_secrets"].0, "failed", "{found:?}");
    let shown = format!("{found:?}");
    assert!(!shown.contains(secret) && !shown.contains("hunter2"), "{shown}");

    let folder = deployment();
    for name in ["blog.toml", "cookie.key", "client.pem"] {
        let path = folder.path().join(name);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o604)).expect("changed");
        let found = checked(folder.path(), &[]);
        let (status, seen) = &found["production_files"];
        assert!(
            status == "failed" && seen.contains(&format!("{name} has mode 0604")),
            "{found:?}"
        );
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("changed");
    }
}

#[test]
fn a_line_that_fails_decides_the_exit_code_and_a_plain_doctor_does_not_check_it() {
    let folder = deployment();
    let run = |arguments: &[&str]| CommandOutput::run(folder.path(), arguments);
    let plain = run(&["doctor", "--json", "--timeout", "1"]);
    assert!(!plain.stdout.contains("production_"), "{plain:?}");
    let output = run(&[
        "doctor",
        "--production",
        "--timeout",
        "1",
        "--set",
        "api.rate_limits=false",
    ]);
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stdout.contains("one client can use up the API"), "{output:?}");
    let output = run(&["doctor", "--production", "--token", "-"]);
    assert_eq!(output.code, Some(2), "{output:?}");
}

#[test]
fn the_checklist_names_every_check_and_no_other() {
    let page = fs::read_to_string("docs/production-checklist.md").expect("the page");
    let in_page: std::collections::BTreeSet<&str> =
        page.split('`').filter(|name| name.starts_with("production_")).collect();
    let found = checked(deployment().path(), &[]);
    let checks: std::collections::BTreeSet<&str> = found.keys().map(String::as_str).collect();
    assert_eq!(in_page, checks);
}
