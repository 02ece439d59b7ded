//! The script of Azure CLI commands that makes the registrations.

use std::{
    fs,
    process::{Command, Output},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::Value;

use super::System;
use crate::support::entra::{API, SITE};

/// Runs `register.sh` with a fake az that issues client ids like Entra ID, and records its input. `case` adds rules to this
/// az.
fn run_az(system: &System, case: &str) -> Output {
    let folder = system.folder.path();
    let az = format!(
        r#"#!/bin/sh
echo "$@" >> calls
case "$*" in
{case}
"cloud show"*) echo https://graph.of.cloud/;;
*site-of-api.json*) cp "${{9#@}}" site.json; echo {SITE};;
*api.json*) echo {API};;
*tenantId*) echo 11111111-2222-4333-8444-555555555555;;
esac
"#
    );
    fs::write(folder.join("az"), az).expect("written");
    let _ = fs::remove_file(folder.join("calls"));
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").expect("a path"));
    let made = Command::new("chmod")
        .args(["+x", "az"])
        .current_dir(folder)
        .status()
        .expect("chmod");
    assert!(made.success());
    Command::new("sh")
        .arg("register.sh")
        .current_dir(folder)
        .env("PATH", path)
        .output()
        .expect("sh")
}

/// Runs the script; returns its output, and each call of az.
pub(super) fn run_script(system: &System) -> (String, String) {
    let folder = system.folder.path();
    fs::write(folder.join("register.sh"), system.script()).expect("written");
    let ran = run_az(system, "");
    assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    let reported = String::from_utf8(ran.stdout).expect("text");
    (reported, fs::read_to_string(folder.join("calls")).expect("calls"))
}

/// The request of the script for the site.
fn sent(system: &System) -> Value {
    serde_json::from_slice(&fs::read(system.folder.path().join("site.json")).expect("sent")).expect("JSON")
}

/// The certificates in the request, in DER.
pub(super) fn uploaded(system: &System) -> Vec<Vec<u8>> {
    let sent = sent(system);
    let keys = sent["keyCredentials"].as_array().expect("keys").iter();
    keys.map(|key| STANDARD.decode(key["key"].as_str().expect("text")).expect("base64"))
        .collect()
}

#[test]
fn the_script_is_valid_shell_and_prints_the_settings() {
    let system = System::new();
    let (reported, calls) = run_script(&system);
    assert!(
        reported.contains(&format!("api_scope = \"api://{API}/access_as_user\"")),
        "{reported} {calls}"
    );
    assert!(
        reported.contains(&format!("client_id = \"{SITE}\"")) && !reported.contains("cloud ="),
        "{reported}"
    );
    assert!(calls.contains(&format!("--identifier-uris api://{API}")), "{calls}");
    assert!(
        calls.contains("--url https://graph.of.cloud/v1.0/applications "),
        "{calls}"
    );
    assert_eq!(sent(&system)["requiredResourceAccess"][0]["resourceAppId"], API);
    assert_eq!(uploaded(&system), [system.certificate.to_der().expect("DER")]);
}

#[test]
fn no_setting_is_executed_by_the_shell() {
    for hostile in [
        "$(touch${IFS}PWNED)",
        "`touch${IFS}PWNED`",
        "';touch${IFS}PWNED;'",
        "\";touch${IFS}PWNED;\"",
        "&touch${IFS}PWNED&",
        "${undefined_variable}",
        "a\\\"b\\",
        "\"",
        "%s%n*~",
    ] {
        let system = System::new();
        let path = system.folder.path().join("blog.toml");
        let text = fs::read_to_string(&path).expect("settings");
        let (site, _) = text.split_once("[api]").expect("the API's settings");
        let scope = format!("api://blog/{}", hostile.replace('/', ""));
        let mut settings: toml::Table = site.parse().expect("TOML");
        let client = settings["client"].as_table_mut().expect("a table");
        client.insert("api_scope".to_owned(), format!("{scope}/s{hostile}").into());
        fs::write(&path, settings.to_string()).expect("written");
        let (reported, calls) = run_script(&system);
        assert!(!system.folder.path().join("PWNED").exists(), "{hostile}: {reported}");
        let reported: toml::Table = reported
            .parse()
            .unwrap_or_else(|error| panic!("{hostile}: {error}: {reported}"));
        assert_eq!(
            reported["client"]["api_scope"].as_str(),
            Some(&*format!("{scope}/s{hostile}")),
            "{hostile}"
        );
        assert_eq!(reported["api"]["app_id_uri"].as_str(), Some(&*scope), "{hostile}");
        assert!(
            calls.contains(&format!("--identifier-uris {scope}\n")),
            "{hostile}: {calls}"
        );
    }
}

#[test]
fn the_script_waits_for_replication_of_a_registration() {
    let system = System::new();
    let script = system.script().replace("sleep 5", "sleep 0");
    fs::write(system.folder.path().join("register.sh"), script).expect("written");
    let failing = |times: usize| {
        let case = format!(
            "*\"sp create\"*) if [ $(grep -c 'sp create' calls) -le {times} ]; then echo not found >&2; exit 1; fi;;"
        );
        run_az(&system, &case)
    };
    assert!(failing(5).status.success());
    let ended = failing(100);
    assert!(!ended.status.success());
    let reported = String::from_utf8(ended.stderr).expect("text");
    assert!(
        reported.contains(&format!("Created the app registration of the API: {API}")),
        "what is to be deleted: {reported}"
    );
    assert_eq!(reported.matches("retrying in").count(), 5, "{reported}");
}

#[test]
fn a_failing_az_ends_the_script_before_it_creates_anything() {
    let system = System::new();
    fs::write(system.folder.path().join("register.sh"), system.script()).expect("written");
    let ended = run_az(&system, "\"cloud show\"*) exit 1;;");
    assert!(!ended.status.success());
    let calls = fs::read_to_string(system.folder.path().join("calls")).expect("calls");
    assert!(!calls.contains("POST"), "{calls}");
}

#[test]
fn the_script_is_for_the_cloud_of_the_settings() {
    for (cloud, name) in [("us-government", "AzureUSGovernment"), ("china", "AzureChinaCloud")] {
        let system = System::new().with(&format!("[entra]\ncloud = \"{cloud}\"\n"));
        let script = system.script();
        assert!(script.contains(&format!("az cloud set --name {name}")), "{script}");
        assert!(
            run_script(&system).0.contains(&format!("cloud = \"{cloud}\"")),
            "{script}"
        );
    }
    assert!(!System::new().script().contains("az cloud set"));
}

#[test]
fn a_chosen_app_id_uri_stays_and_a_generated_one_is_replaced() {
    for (uri, made) in [
        ("api://blog.contoso.com".to_owned(), "api://blog.contoso.com".to_owned()),
        (
            "https://contoso.com/blog".to_owned(),
            "https://contoso.com/blog".to_owned(),
        ),
        (
            "api://00000000-1111-4222-8333-444444444444".to_owned(),
            format!("api://{API}"),
        ),
    ] {
        let system = System::new();
        let path = system.folder.path().join("blog.toml");
        let settings = fs::read_to_string(&path).expect("settings");
        fs::write(path, settings.replace(&format!("api://{API}"), &uri)).expect("written");
        let (reported, calls) = run_script(&system);
        assert!(calls.contains(&format!("--identifier-uris {made}\n")), "{uri}: {calls}");
        assert!(
            reported.contains(&format!("app_id_uri = \"{made}\"")),
            "{uri}: {reported}"
        );
        assert!(
            reported.contains(&format!("api_scope = \"{made}/access_as_user\"")),
            "{uri}: {reported}"
        );
    }
}
