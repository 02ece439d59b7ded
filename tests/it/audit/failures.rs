//! What happens to the trail when the process is killed, and when the disk is full.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use blogctl::audit::Expectations;
use serde_json::{Value, json};

use super::verify;
use crate::support::{
    api::{Client, TestApi},
    binary::{CommandOutput, Running, blogctl},
    entra::wait_until,
};

/// `serve-api` as a separate process, with the identity provider of `api`.
fn process(api: &TestApi, folder: &Path) -> Running {
    Running::start(&mut command(api, folder))
}

fn command(api: &TestApi, folder: &Path) -> Command {
    let mut command = blogctl(folder);
    let settings = &api.settings;
    let authority = settings.entra.authority_host.as_ref().expect("a URL");
    command.args(["serve-api", "--port", "0"]).args([
        "--set",
        "server.environment=development",
        "--set",
        "audit.path=trail/audit.jsonl",
        "--set",
        "database.url=blog.db",
        "--set",
        &format!("entra.tenant_id={}", settings.entra.tenant_id),
        "--set",
        &format!("entra.authority_host={authority}"),
        "--set",
        &format!("api.app_id_uri={}", settings.api.app_id_uri),
        "--set",
        &format!("api.client_id={}", settings.api.client_id.as_deref().expect("an id")),
        "--set",
        "server.drain_seconds=0",
    ]);
    command
}

fn trail(folder: &Path) -> PathBuf {
    folder.join("trail/audit.jsonl")
}

#[test]
fn after_kill_9_every_acknowledged_post_but_the_last_few_has_its_line_and_the_chain_goes_on() {
    let (api, folder) = (TestApi::start(), tempfile::tempdir().expect("a folder"));
    for round in 0..3 {
        let mut running = process(&api, folder.path());
        let url = running.url_after("listening on");
        let alice = Client::at(&url, api.alice().token().expect("a token"));
        for n in 0..20 {
            alice.write(&format!("{round} {n}"), "text");
        }
        running.signal("KILL");
        drop(running);
        let report = verify(&[trail(folder.path())], Expectations::default());
        let is_only_torn = report
            .findings
            .iter()
            .all(|finding| finding.problem.starts_with("is incomplete"));
        assert!(is_only_torn, "{report:?}");
        // The queue is written at once, so no more than the last batch is missing.
        assert!(report.lines >= (round + 1) * 11, "{report:?}");
    }
    let mut running = process(&api, folder.path());
    running.url_after("listening on");
    running.signal("TERM");
    running.wait_for("stopped");
    assert_eq!(running.wait_for_exit().0.code(), Some(0));
    let report = verify(&[trail(folder.path())], Expectations::default());
    assert!(report.is_intact(), "{report:?}");
    assert_eq!(report.chains.len(), 1);
    let output = CommandOutput::run(folder.path(), &["audit", "verify", "trail/audit.jsonl"]);
    assert_eq!(output.code, Some(0), "{output:?}");
}

/// Limits the size of files that a process may write.
fn limit_file_size(pid: u32, bytes: Option<u64>) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
    let limit = rustix::process::Rlimit {
        current: bytes,
        maximum: None,
    };
    rustix::process::prlimit(Some(pid), rustix::process::Resource::Fsize, limit).expect("limited");
}

#[test]
fn a_full_disk_does_not_stop_the_server_and_no_event_is_lost_once_there_is_space() {
    let (api, folder) = (TestApi::start(), tempfile::tempdir().expect("a folder"));
    let path = trail(folder.path());
    let mut running = process(&api, folder.path());
    let url = running.url_after("listening on");
    let alice = Client::at(&url, api.alice().token().expect("a token"));
    let first = alice.write("A title", "text");
    let has = |id: i64| fs::read_to_string(&path).is_ok_and(|text| text.contains(&format!("\"post_id\":{id},")));
    wait_until("the first line", || has(first));
    let health = || alice.get("/health/ready");
    assert_eq!(health().json()["checks"]["audit"], json!({ "status": "ok" }));

    // Each write beyond this size fails, also those of the database; reads do not.
    let size = fs::metadata(&path).expect("a trail").len();
    limit_file_size(running.id(), Some(size + 100));
    let expired = api.with_token(&api.control().token().expired().mint());
    let client = Client::at(&url, expired.token().expect("a token"));
    client.get("/v1/posts").problem(401, "expired");
    wait_until("health reports it", || {
        let health = health();
        assert_eq!(health.status, 200, "serving goes on");
        health.json()["checks"]["audit"] == json!({ "status": "unavailable" })
    });
    running.wait_for("the audit trail cannot be written");
    assert_eq!(alice.get("/v1/posts").status, 200);
    let report = verify(std::slice::from_ref(&path), Expectations::default());
    assert!(report.is_intact(), "no half line is left: {report:?}");

    limit_file_size(running.id(), None);
    running.wait_for("is written to trail/audit.jsonl again");
    let second = alice.write("Another title", "text");
    wait_until("the next line", || has(second));
    assert_eq!(health().json()["checks"]["audit"], json!({ "status": "ok" }));
    let report = verify(std::slice::from_ref(&path), Expectations::default());
    assert!(report.is_intact() && report.notes.is_empty(), "{report:?}");
    let text = fs::read_to_string(&path).expect("a trail");
    let events: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("a line")["event"].clone())
        .collect();
    assert_eq!(
        events,
        ["server_started", "post_created", "token_rejected", "post_created"]
    );
}

#[test]
fn a_trail_on_stdout_is_a_new_chain_and_a_stdout_that_fails_does_not_stop_the_server() {
    let (api, folder) = (TestApi::start(), tempfile::tempdir().expect("a folder"));
    let mut running = Running::start(command(&api, folder.path()).args(["--set", "audit.path=stdout"]));
    let url = running.url_after("listening on");
    let alice = Client::at(&url, api.alice().token().expect("a token"));
    alice.write("A title", "text");
    running.signal("TERM");
    // The log goes to stderr.
    let (_, output) = running.wait_for_exit();
    let lines: Vec<&str> = output.lines().filter(|line| line.starts_with("{\"v\":1,")).collect();
    let report = super::verify_bytes((lines.join("\n") + "\n").as_bytes());
    assert!(report.is_intact() && report.lines == 3, "{output}");
    let start: Value = serde_json::from_str(lines[0]).expect("JSON");
    assert_eq!(start["settings"].as_str().map(str::len), Some(64));

    // A stdout that accepts nothing, like a full disk.
    let mut shell = Command::new("sh");
    let server = command(&api, folder.path());
    shell
        .current_dir(folder.path())
        .args(["-c", "exec \"$0\" \"$@\" > /dev/full"]);
    shell
        .arg(server.get_program())
        .args(server.get_args())
        .args(["--set", "audit.path=stdout"]);
    let mut running = Running::start(&mut shell);
    let url = running.url_after("listening on");
    let alice = Client::at(&url, api.alice().token().expect("a token"));
    alice.write("A title", "text");
    running.wait_for("the audit trail cannot be written to stdout");
    assert_eq!(alice.get("/v1/posts").status, 200);
}

#[test]
fn the_fingerprint_of_the_settings_changes_with_them_but_never_with_a_secret() {
    use blogctl::config::{Flag, Role, Settings, Sources};

    let fingerprint = |values: &[(&str, &str)]| {
        let flags = values.iter().map(|(setting, value)| Flag {
            name: "--set".to_owned(),
            setting: (*setting).to_owned(),
            value: (*value).to_owned(),
        });
        let sources = Sources {
            flags: flags.collect(),
            ..Sources::default()
        };
        Settings::load_leniently(&sources, Role::Any).0.settings.fingerprint
    };
    let base = fingerprint(&[]);
    assert_eq!(base.len(), 64);
    assert_eq!(base, fingerprint(&[]));
    assert_ne!(base, fingerprint(&[("api.docs", "false")]));
    let with_key = |key: &str| fingerprint(&[("client.cookie_key", key)]);
    assert_eq!(
        with_key("a first key with enough characters in it"),
        with_key("another key with enough characters in it")
    );
    let with_password = |password: &str| fingerprint(&[("database.url", &format!("postgres://u:{password}@h/b"))]);
    assert_eq!(with_password("hunter2"), with_password("other"));
    assert_ne!(with_password("hunter2"), base);
}
