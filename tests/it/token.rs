//! `blogctl token`: prints a token of the emulator for curl, or explains how to get one.

use std::net::TcpListener;

use serde_json::{Value, json};

use crate::support::{
    binary::{CommandOutput, blogctl},
    dev::Dev,
    idp::agent,
};

/// Runs it in a new folder with these arguments.
fn token(arguments: &[&str]) -> CommandOutput {
    token_with(&[], arguments)
}

fn token_with(variables: &[(&str, &str)], arguments: &[&str]) -> CommandOutput {
    let folder = tempfile::tempdir().expect("a folder");
    CommandOutput::from_command(
        blogctl(folder.path())
            .envs(variables.iter().copied())
            .arg("token")
            .args(arguments),
    )
}

fn port(url: &str) -> String {
    url.trim_end_matches('/').rsplit(':').next().expect("a port").to_owned()
}

/// Status of the creation of a post.
fn write(dev: &Dev, token: &str) -> u16 {
    let request = agent()
        .post(dev.api("/v1/posts"))
        .header("Authorization", format!("Bearer {token}"));
    request
        .send_json(json!({ "title": "By token", "content": "Words." }))
        .expect("an answer")
        .status()
        .as_u16()
}

fn read(dev: &Dev, token: &str) -> u16 {
    let request = agent()
        .get(dev.api("/v1/posts"))
        .header("Authorization", format!("Bearer {token}"));
    request.call().expect("an answer").status().as_u16()
}

#[test]
fn only_the_token_is_printed_and_the_api_accepts_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let dev = Dev::start_in(folder.path(), &["--set", "api.require_app_roles=true"]);
    let port = port(&dev.idp(""));
    let print = |arguments: &[&str]| {
        let CommandOutput { code, stdout, stderr } = token(&[&["--idp-port", &port], arguments].concat());
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{arguments:?}: {stdout}");
        let token = stdout.strip_suffix('\n').expect("a line").to_owned();
        assert_eq!(token.split('.').count(), 3, "{token}");
        token
    };
    for (arguments, may_read, may_write) in [
        (&[][..], 200, 201),
        (&["--user", "alice@contoso.example"], 200, 201),
        (&["--user", "DANA"], 200, 403),
        (&["--user", "Dana Dorn"], 200, 403),
        (&["--user", "0a11ce00-0000-4000-8000-000000000003"], 200, 201),
        (&["--user", "dana", "--role", "writer"], 200, 201),
        (&["--role", "reader"], 200, 403),
        (&["--role", "Blog.Reader", "--role", "Blog.Admin"], 200, 201),
        (&["--role", "Something.Else"], 403, 403),
        (&["--app-only"], 401, 401),
    ] {
        let token = print(arguments);
        assert_eq!(
            (read(&dev, &token), write(&dev, &token)),
            (may_read, may_write),
            "{arguments:?}"
        );
    }

    let CommandOutput { code, stdout, .. } = token(&["--idp-port", &port, "--user", "chiara", "--json"]);
    let answer: Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!(
        (code, &answer["name"], &answer["roles"]),
        (Some(0), &json!("Chiara Conti"), &json!(["Blog.Admin"]))
    );
    assert_eq!(
        (&answer["token_type"], &answer["scope"]),
        (&json!("Bearer"), &json!("access_as_user"))
    );
    assert_eq!(read(&dev, answer["access_token"].as_str().expect("a token")), 200);
    chrono::DateTime::parse_from_rfc3339(answer["expires_on"].as_str().expect("a time")).expect("RFC 3339");

    let unknown = token(&["--idp-port", &port, "--user", "mallory"]);
    assert_eq!((unknown.code, unknown.stdout.as_str()), (Some(2), ""));
    assert!(
        unknown.stderr.contains("mallory") && unknown.stderr.contains("dana@contoso.example"),
        "{}",
        unknown.stderr
    );
    let scope = token(&["--idp-port", &port, "--scope", "api://unknown/x"]);
    assert!(
        scope.code == Some(2) && scope.stderr.contains("AADSTS"),
        "{}",
        scope.stderr
    );
}

#[test]
fn the_settings_that_dev_prints_lead_to_its_emulator() {
    let dev = Dev::start();
    let host = dev.idp("");
    let CommandOutput { code, stdout, stderr } = token_with(&[("BLOG_ENTRA__AUTHORITY_HOST", &host)], &[]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert_eq!(read(&dev, stdout.trim_end()), 200);
}

#[test]
fn without_an_emulator_the_hint_says_how_to_start_one() {
    let free = TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("bound")
        .port()
        .to_string();
    let CommandOutput { code, stdout, stderr } = token(&["--idp-port", &free]);
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert!(
        stderr.contains("blogctl dev") && stderr.contains("--idp-port"),
        "{stderr}"
    );

    let dev = Dev::start();
    let CommandOutput { code, stdout, stderr } = token(&["--idp-port", &port(&dev.api(""))]);
    assert_eq!((code, stdout.as_str()), (Some(1), ""));
    assert!(stderr.contains("is not blogctl's Entra ID emulator"), "{stderr}");
}

#[test]
fn token_never_contacts_a_real_tenant() {
    for (name, value) in [
        ("BLOG_ENTRA__TENANT_ID", "22222222-2222-4333-8444-555555555555"),
        ("BLOG_ENTRA__AUTHORITY_HOST", "https://login.example"),
    ] {
        let variables = [(name, value), ("BLOG_API__APP_ID_URI", "api://blog")];
        let CommandOutput { code, stdout, stderr } = token_with(&variables, &[]);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{name}");
        assert!(
            stderr.contains("az account get-access-token --resource api://blog"),
            "{stderr}"
        );
    }
}
