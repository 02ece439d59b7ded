//! The command line: help, exit codes, standard output and standard error.

use std::{
    fs,
    io::{BufRead, BufReader},
    net::TcpListener,
    process::Stdio,
};

use serde_json::Value as Json;
use tempfile::TempDir;

use crate::support::binary::{CommandOutput, blogctl};

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// Runs it in an empty folder.
fn run(arguments: &[&str]) -> CommandOutput {
    CommandOutput::run(folder().path(), arguments)
}

#[test]
fn help_explains_every_command() {
    let servers = ["dev", "serve-api", "serve-client", "serve-idp"];
    for command in [""].into_iter().chain(servers).chain([
        "token",
        "seed",
        "migrate",
        "db",
        "cert",
        "doctor",
        "health",
        "entra",
        "config",
        "completions",
    ]) {
        let arguments: Vec<&str> = [command, "--help"]
            .into_iter()
            .filter(|part| !part.is_empty())
            .collect();
        let CommandOutput { code, stdout, stderr } = run(&arguments);
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{command}");
        let name = if command.is_empty() { "blogctl" } else { command };
        insta::assert_snapshot!(format!("help_{}", name.replace('-', "_")), stdout);
        assert!(stdout.contains("Examples:"), "{command} --help has examples");
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let folder = folder();
    let output = CommandOutput::run(folder.path(), &["man", "."]);
    assert_eq!((output.code, output.stdout.as_str()), (Some(0), ""), "{output:?}");
    let help = run(&["--help"]).stdout;
    let listed = help.split_once("Commands:\n").expect("a list of commands").1;
    let commands = listed
        .lines()
        .take_while(|line| !line.trim().is_empty())
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|command| *command != "help");
    for command in commands {
        let page = folder.path().join(format!("blogctl-{command}.1"));
        let page = fs::read_to_string(&page).unwrap_or_else(|_| panic!("no page of {command}"));
        assert!(
            page.contains(&format!("blogctl {}", env!("CARGO_PKG_VERSION"))),
            "{page}"
        );
    }
    for name in ["blogctl.1", "blogctl-cert-new.1", "blogctl-migrate-run.1"] {
        assert!(folder.path().join(name).exists(), "{name}");
    }
    assert!(!folder.path().join("blogctl-man.1").exists(), "it is not for users");
    let page = run(&["man"]).stdout;
    assert!(page.contains(".TH BLOGCTL 1"), "{page}");
    let missing = run(&["man", "missing"]);
    assert_eq!(missing.code, Some(1), "{missing:?}");
}

#[test]
fn the_version_names_the_program_its_commit_and_its_libraries() {
    let CommandOutput { code, stdout, .. } = run(&["-V"]);
    assert_eq!(
        (code, stdout),
        (Some(0), format!("blogctl {}\n", env!("CARGO_PKG_VERSION")))
    );

    let CommandOutput { code, stdout, .. } = run(&["--version"]);
    assert_eq!(code, Some(0));
    let lines: Vec<&str> = stdout.lines().collect();
    assert_eq!(lines[0], format!("blogctl {}", env!("CARGO_PKG_VERSION")));
    let names: Vec<&str> = lines[1..]
        .iter()
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert_eq!(names, ["commit", "OpenSSL", "SQLite", "libpq"]);
    for line in &lines[2..] {
        let version = line.split_whitespace().nth(1).expect("a version");
        assert!(version.starts_with(|first: char| first.is_ascii_digit()), "{line}");
    }
    let lock = include_str!("../../Cargo.lock");
    let libpq = lines[4].split_whitespace().nth(1).expect("a version");
    assert!(
        lock.contains(&format!("+libpq-{libpq}\"")),
        "{libpq} is the one that is locked"
    );
}

#[test]
fn wrong_usage_has_exit_code_2_and_says_what_is_wrong_on_stderr() {
    for (arguments, expected) in [
        (vec!["nonsense"], "nonsense"),
        (vec!["serve-api", "--prot", "1"], "--port"),
        (vec!["serve-api", "--port", "99999"], "99999"),
        (vec!["config", "--set", "no-equals-sign"], "section.key=value"),
        (vec!["config", "--set", "client.prt=1"], "client.port"),
        (vec!["config", "--config", "missing.toml"], "missing.toml"),
        (vec!["serve-api"], "entra.tenant_id"),
        (vec!["serve-client"], "client.client_id"),
        (vec!["dev", "--fresh", "--print-env"], "--print-env"),
        (vec!["dev", "--set", "client.port=1"], "client.port"),
        (vec![], "Usage"),
    ] {
        let CommandOutput { code, stdout, stderr } = run(&arguments);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{arguments:?} {stderr}");
        assert!(stderr.contains(expected), "{arguments:?}: {stderr}");
    }
}

#[test]
fn invalid_settings_are_reported_with_a_hint_each() {
    let output = run(&["config", "--set", "client.port=fifty", "--set", "log.level=loud"]);
    insta::assert_snapshot!(output.stderr, @r#"
    error: 2 settings are invalid

      client.port is "fifty" (flag --set)
        hint: must be a whole number from 0 to 65535

      log.level is "loud" (flag --set)
        hint: must be error, warn, info, debug, trace or off, or a list of target=level such as info,blogctl::entra=debug
    "#);
    assert_eq!(output.code, Some(2));
}

#[test]
fn settings_are_shown_with_their_origin_and_secrets_hidden() {
    let folder = folder();
    let secret = "hunter2-hunter2-hunter2-hunter2-hunter2";
    fs::write(folder.path().join("blog.toml"), "[client]\nport = 5050\n").expect("written");
    fs::write(folder.path().join(".env"), format!("FLASK_SECRET_KEY={secret}\n")).expect("written");
    let config = |arguments: &[&str]| {
        let mut command = blogctl(folder.path());
        command
            .arg("config")
            .args(arguments)
            .env("DATABASE_URL", format!("postgres://blog:{secret}@db.example/blog"));
        CommandOutput::from_command(&mut command)
    };

    let text = config(&[]);
    assert_eq!(text.code, Some(0), "{}", text.stderr);
    insta::assert_snapshot!("config", text.stdout);

    let json: Json = serde_json::from_str(&config(&["--json"]).stdout).expect("JSON");
    assert_eq!(
        json["client.port"],
        serde_json::json!({"value": 5050, "origin": "blog.toml"})
    );
    assert_eq!(json["client.cookie_key"]["value"], "********");
    assert_eq!(json["entra.tenant_id"]["value"], Json::Null);
    for shown in [text.stdout, json.to_string()] {
        assert!(!shown.contains("hunter2"), "{shown}");
    }
}

#[test]
fn a_port_in_use_is_reported_with_the_flag_that_changes_it() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("bound").port().to_string();
    let CommandOutput { code, stdout, stderr } = run(&["serve-idp", "--port", &port]);
    assert_eq!((code, stdout.as_str()), (Some(1), ""), "{stderr}");
    assert!(stderr.contains(&port) && stderr.contains("--port"), "{stderr}");
}

#[test]
fn the_identity_provider_rejects_to_listen_beyond_this_machine() {
    let CommandOutput { code, stderr, .. } = run(&["serve-idp", "--port", "0", "--host", "0.0.0.0"]);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(
        stderr.contains("--i-know-this-is-not-a-real-identity-provider"),
        "{stderr}"
    );
}

#[test]
fn a_closed_pipe_is_not_a_failure() {
    for arguments in [&["config"][..], &["completions", "bash"], &["--help"]] {
        let folder = folder();
        let mut command = blogctl(folder.path());
        let mut child = command
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        // The reader closes the pipe before the first write.
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("it ends");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && stderr.is_empty(),
            "{arguments:?}: {} {stderr}",
            output.status
        );
    }
}

#[test]
fn nothing_is_coloured_in_a_pipe() {
    for arguments in [
        &["config"][..],
        &["config", "--set", "client.port=x"],
        &["nonsense"],
        &["--help"],
    ] {
        let CommandOutput { stdout, stderr, .. } = run(arguments);
        assert!(!format!("{stdout}{stderr}").contains('\u{1b}'), "{arguments:?}");
    }
}

#[test]
fn no_color_overrides_a_request_for_colour() {
    let folder = folder();
    let coloured = |no_color: bool| {
        let mut command = blogctl(folder.path());
        command.arg("config").env("CLICOLOR_FORCE", "1");
        if no_color {
            command.env_remove("CLICOLOR_FORCE").env("NO_COLOR", "1");
        }
        CommandOutput::from_command(&mut command).stdout.contains('\u{1b}')
    };
    assert!(coloured(false), "colour can be had at all");
    assert!(!coloured(true));
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let CommandOutput { code, stdout, .. } = run(&["completions", shell]);
        assert_eq!(code, Some(0), "{shell}");
        assert!(stdout.contains("serve-client"), "{shell}");
    }
}

#[test]
fn warnings_about_settings_are_logged_on_stderr() {
    let folder = folder();
    let mut command = blogctl(folder.path());
    let output = CommandOutput::from_command(
        command
            .arg("config")
            .env("FLASK_PORT", "1")
            .env("BLOG_CLIENT__PORT", "2"),
    );
    assert!(
        output.stderr.contains("WARN") && output.stderr.contains("FLASK_PORT"),
        "{}",
        output.stderr
    );
    let first = BufReader::new(output.stdout.as_bytes())
        .lines()
        .next()
        .expect("a line")
        .expect("text");
    assert!(first.starts_with("server.environment"), "{first}");
}
