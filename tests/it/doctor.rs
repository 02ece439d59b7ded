//! `blogctl doctor`: the real binary, on a healthy system and on ten broken ones. Each report is a snapshot; read it as an
//! operator does whose site is down.

mod credentials;
mod databases;
mod production;
mod services;
mod tls;
mod token;

use std::{collections::BTreeSet, fs, net::TcpListener};

use blogctl::config::{DEV_CLIENT_ID, Settings};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    binary::{CommandOutput, blogctl},
    certificates::{TestCertificate, file, key_pem, pem},
    dev::Dev,
    entra::{keys, wait_until},
    idp::{IdpControl, agent},
    system::TestSystem,
};

/// Random; every report is searched for it.
const COOKIE_KEY: &str = "Zk3vQ9rT1xWb7LdMnc5HyEuP0sGaJ6fRoi8KXtVBw2Cq";

/// A running system, and a folder with its settings in `blog.toml`.
struct DoctorSetup {
    system: TestSystem,
    folder: TempDir,
}

impl DoctorSetup {
    fn new() -> Self {
        let setup = Self {
            system: TestSystem::start(),
            folder: tempfile::tempdir().expect("a folder"),
        };
        let Settings {
            entra,
            client,
            api,
            database,
            ..
        } = &setup.system.settings;
        let authority = entra
            .authority_host
            .as_ref()
            .expect("set")
            .as_str()
            .trim_end_matches('/');
        let cert = client.certificate.path.as_ref().expect("set").display();
        let text = format!(
            "[server]\nenvironment = \"development\"\n[entra]\ntenant_id = \"{}\"\nauthority_host = \"{authority}\"\n\
             [client]\nport = {}\nclient_id = \"{}\"\ncert_path = \"{cert}\"\napi_scope = \"{}\"\napi_base_url = \"{}\"\n\
             cookie_key = \"{COOKIE_KEY}\"\n[api]\nport = {}\napp_id_uri = \"{}\"\n[database]\nurl = \"{}\"\n",
            entra.tenant_id,
            client.port,
            client.client_id,
            client.api_scope,
            client.api_base_url,
            api.port,
            api.app_id_uri,
            database.url,
        );
        fs::write(setup.folder.path().join("blog.toml"), text).expect("written");
        // The API fetches the signing keys in the background; until then it is not ready.
        let health = setup.system.api.url("/health/ready");
        wait_until("the API is ready", || {
            agent().get(&health).call().is_ok_and(|answer| answer.status() == 200)
        });
        setup
    }

    /// Replaces the certificate in the settings by this list of credentials.
    fn set_credentials(&self, list: &str) {
        let path = self.folder.path().join("blog.toml");
        let text = fs::read_to_string(&path).expect("there");
        let without: String = text
            .split_inclusive('\n')
            .filter(|line| !line.starts_with("cert_path"))
            .collect();
        fs::write(path, without + list).expect("written");
    }

    fn control(&self) -> IdpControl {
        IdpControl::new(&self.system.idp)
    }

    /// Runs doctor with these settings changed.
    fn doctor(&self, changes: &[&str]) -> CommandOutput {
        let set = changes.iter().flat_map(|change| ["--set", change]);
        let arguments: Vec<&str> = ["doctor"].into_iter().chain(set).collect();
        let output = CommandOutput::run(self.folder.path(), &arguments);
        assert_no_secret(&output);
        output
    }

    /// The report, with everything masked that differs between runs.
    fn report(&self, changes: &[&str]) -> String {
        self.shown(&self.doctor(changes))
    }

    fn shown(&self, output: &CommandOutput) -> String {
        let mut text = format!("exit code {}\n{}", output.code.expect("an exit code"), output.stdout);
        let settings = &self.system.settings;
        for (port, name) in [
            (self.system.idp.port, "IDP"),
            (settings.api.port, "API"),
            (settings.client.port, "SITE"),
        ] {
            text = text
                .replace(&format!(":{port}"), &format!(":{name}"))
                .replace(&format!("port {port}"), name);
        }
        for (folder, name) in [(self.system.folder.path(), "SYSTEM"), (self.folder.path(), "HERE")] {
            text = text.replace(&folder.display().to_string(), name);
        }
        without_times_and_thumbprints(&text)
    }
}

/// No report shows a key, a cookie key or a token.
fn assert_no_secret(output: &CommandOutput) {
    for text in [&output.stdout, &output.stderr] {
        for secret in [COOKIE_KEY, "BEGIN PRIVATE", "BEGIN ENCRYPTED", "eyJ"] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
}

fn without_times_and_thumbprints(text: &str) -> String {
    let is_date = |word: &str| word.len() == 10 && word.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    let is_thumbprint = |word: &str| word.len() == 40 && word.bytes().all(|b| b.is_ascii_hexdigit());
    let mut shown = String::new();
    for word in text.split_inclusive(|c: char| !c.is_ascii_alphanumeric() && c != '-') {
        let bare = word.trim_end_matches(|c: char| !c.is_ascii_alphanumeric() && c != '-');
        let rest = &word[bare.len()..];
        shown.push_str(if is_date(bare) {
            "DATE"
        } else if is_thumbprint(bare) {
            "THUMBPRINT"
        } else {
            bare
        });
        shown.push_str(rest);
    }
    shown
}

#[test]
fn a_healthy_system_has_no_findings() {
    let setup = DoctorSetup::new();
    insta::assert_snapshot!("doctor_well", setup.report(&[]));
}

#[test]
fn the_system_of_dev_is_healthy() {
    let folder = tempfile::tempdir().expect("a folder");
    let dev = Dev::start_in(folder.path(), &[]);
    let port = |url: String| url.rsplit(':').next().expect("a port").to_owned();
    let (idp, api, site) = (port(dev.idp("")), port(dev.api("")), port(dev.site("")));
    let printed = CommandOutput::run(
        folder.path(),
        &[
            "dev",
            "--print-env",
            "--idp-port",
            &idp,
            "--api-port",
            &api,
            "--client-port",
            &site,
        ],
    );
    let mut command = blogctl(folder.path());
    for line in printed.stdout.lines() {
        let (name, value) = line.split_once('=').expect("NAME=value");
        command.env(name, value.trim_matches('\''));
    }
    let output = CommandOutput::from_command(command.args(["doctor", "--json"]));
    assert_eq!(output.code, Some(0), "{output:?}");
    let report: Value = serde_json::from_str(&output.stdout).expect("JSON");
    assert_eq!(report["status"], "ok", "{report:#}");
    let checks = report["checks"].as_array().expect("checks");
    assert!(
        checks.len() >= 11 && checks.iter().all(|check| check["status"] == "ok"),
        "{report:#}"
    );
}

#[test]
fn no_settings() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = CommandOutput::run(
        folder.path(),
        &["doctor", "--set", "client.api_base_url=http://localhost:9"],
    );
    assert_eq!(output.code, Some(1), "{output:?}");
    insta::assert_snapshot!(
        "doctor_nothing_is_set",
        output.stdout.replace(&folder.path().display().to_string(), "HERE")
    );
    assert!(!folder.path().join("blog.db").exists(), "a check makes no file");
}

#[test]
fn mistyped_settings() {
    let setup = DoctorSetup::new();
    let report = setup.report(&["client.port=fifty", "client.cokie_key=x", "entra.tenant_id=contoso"]);
    insta::assert_snapshot!("doctor_settings_are_mistyped", report);
}

#[test]
fn expired_certificate() {
    let setup = DoctorSetup::new();
    let key = &keys()[0].key;
    let expired = TestCertificate {
        valid: (-40, -3),
        ..TestCertificate::new("site", key)
    }
    .make();
    file(setup.folder.path(), "expired.pem", &[&key_pem(key), &pem(&expired)]);
    insta::assert_snapshot!(
        "doctor_certificate_expired",
        setup.report(&["client.cert_path=expired.pem"])
    );
}

#[test]
fn key_of_another_certificate() {
    let setup = DoctorSetup::new();
    let certificate = TestCertificate::new("site", &keys()[0].key).make();
    file(
        setup.folder.path(),
        "mixed.pem",
        &[&key_pem(&keys()[1].key), &pem(&certificate)],
    );
    insta::assert_snapshot!(
        "doctor_key_of_another_certificate",
        setup.report(&["client.cert_path=mixed.pem"])
    );
}

#[test]
fn certificate_not_uploaded() {
    let setup = DoctorSetup::new();
    setup.control().remove_certificates(DEV_CLIENT_ID);
    insta::assert_snapshot!("doctor_certificate_not_uploaded", setup.report(&[]));
}

#[test]
fn unknown_client_id() {
    let setup = DoctorSetup::new();
    let report = setup.report(&["client.client_id=00000000-1111-4222-8333-444444444444"]);
    insta::assert_snapshot!("doctor_client_id_of_nobody", report);
}

#[test]
fn unreachable_authority() {
    let setup = DoctorSetup::new();
    let report = setup.report(&["entra.authority_host=http://localhost:9"]);
    insta::assert_snapshot!("doctor_authority_out_of_reach", report);
}

#[test]
fn unknown_tenant() {
    let setup = DoctorSetup::new();
    let report = setup.report(&["entra.tenant_id=99999999-2222-4333-8444-555555555555"]);
    insta::assert_snapshot!("doctor_tenant_does_not_exist", report);
}

#[test]
fn site_requests_another_api() {
    let setup = DoctorSetup::new();
    let report = setup.report(&["client.api_scope=api://a9100000-0000-4000-8000-000000008999/access_as_user"]);
    insta::assert_snapshot!("doctor_another_api", report);
}

#[test]
fn missing_api_and_database() {
    let setup = DoctorSetup::new();
    let closed = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = closed.local_addr().expect("bound").port();
    drop(closed);
    let api = format!("client.api_base_url=http://localhost:{port}");
    let report = setup
        .report(&[&api, "database.url=missing/blog.db"])
        .replace(&format!(":{port}"), ":CLOSED");
    insta::assert_snapshot!("doctor_api_not_there", report);
}

#[test]
fn not_ready_for_production() {
    let setup = DoctorSetup::new();
    let folder = setup.folder.path();
    let text = fs::read_to_string(folder.join("blog.toml")).expect("settings");
    fs::write(
        folder.join("blog.toml"),
        text.replace(COOKIE_KEY, &"change-me ".repeat(4)),
    )
    .expect("written");
    let report = setup.report(&[
        "server.environment=production",
        "client.redirect_uri=http://localhost:5123/getAToken",
        "database.migrate_at_start=false",
        "database.url=new.db",
    ]);
    insta::assert_snapshot!("doctor_not_ready_for_production", report);
    assert!(!folder.join("new.db").exists(), "a check makes no file");
}

/// The lines of one check.
fn section(report: &str, title: &str) -> String {
    let mut is_of_it = false;
    let lines = report.lines().filter(|line| {
        if !line.starts_with("   ") {
            is_of_it = line.contains(title);
        }
        is_of_it
    });
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn doctor_leaves_no_files_behind() {
    let setup = DoctorSetup::new();
    let folder = tempfile::tempdir().expect("a folder");
    let database = format!("database.url={}", folder.path().join("blog.db").display());
    let migrated = CommandOutput::run(folder.path(), &["migrate", "run", "--set", &database]);
    assert_eq!(migrated.code, Some(0), "{migrated:?}");
    let cache = format!("entra.keys_cache_file={}", folder.path().join("keys.json").display());
    let files = || {
        let names = fs::read_dir(folder.path())
            .expect("a folder")
            .map(|entry| entry.expect("an entry").file_name());
        names.collect::<BTreeSet<_>>()
    };
    let before = files();
    let output = setup.doctor(&[&database, &cache]);
    assert!(
        section(&output.stdout, " Database ").contains("has every migration"),
        "{output:?}"
    );
    let token = setup.control().token().mint();
    let explained = folder.path().join("token.txt");
    fs::write(&explained, token).expect("written");
    CommandOutput::run(
        setup.folder.path(),
        &["doctor", "--token", &explained.display().to_string(), "--set", &cache],
    );
    fs::remove_file(explained).expect("there");
    assert_eq!(files(), before);
}

#[test]
fn a_simple_cookie_key_in_development_is_not_a_failure() {
    let setup = DoctorSetup::new();
    let weak = "a".repeat(40);
    let (development, production) = ("server.environment=development", "server.environment=production");
    let key = format!("client.cookie_key={weak}");
    let reported = section(&setup.report(&[&key, development]), "Cookie key");
    assert!(
        reported.starts_with('!') && reported.contains("replace it") && reported.contains("Users must sign in again"),
        "{reported}"
    );
    assert!(
        !reported.contains("in a list"),
        "an old key stays weak next to a new one: {reported}"
    );
    let words = "client.cookie_key=correct horse battery staple correct horse";
    let reported = section(&setup.report(&[words, development]), "Cookie key");
    assert!(
        reported.starts_with('!') && reported.contains("consists of words") && !reported.contains("horse"),
        "{reported}"
    );
    assert!(
        setup.report(&[&key, production]).contains("client.cookie_key"),
        "rejected with the settings"
    );
}

#[test]
fn each_role_can_be_checked_alone_and_usage_errors_have_their_own_exit_code() {
    let setup = DoctorSetup::new();
    let names = |role: &str| {
        let output = CommandOutput::run(setup.folder.path(), &["doctor", "--role", role, "--json"]);
        assert_eq!(output.code, Some(0), "{output:?}");
        let report: Value = serde_json::from_str(&output.stdout).expect("JSON");
        let checks = report["checks"].as_array().expect("checks").clone();
        checks
            .iter()
            .map(|check| check["check"].as_str().expect("text").to_owned())
            .collect::<Vec<_>>()
    };
    let (api, client) = (names("api"), names("client"));
    let has = |names: &[String], name: &str| names.iter().any(|other| other == name);
    assert!(
        has(&api, "database") && !has(&api, "certificate") && !has(&api, "cookie_key"),
        "{api:?}"
    );
    assert!(
        !has(&client, "database") && has(&client, "certificate") && has(&client, "assertion"),
        "{client:?}"
    );
    for wrong in [
        &["doctor", "--role", "idp"][..],
        &["doctor", "--timeout", "0"],
        &["doctor", "--token"],
    ] {
        assert_eq!(
            CommandOutput::run(setup.folder.path(), wrong).code,
            Some(2),
            "{wrong:?}"
        );
    }
}

#[test]
fn a_locale_without_utf8_gets_ascii_symbols() {
    let setup = DoctorSetup::new();
    let output = CommandOutput::from_command(blogctl(setup.folder.path()).env("LC_ALL", "C").arg("doctor"));
    assert!(
        output.stdout.is_ascii() && output.stdout.contains("ok Settings"),
        "{}",
        output.stdout
    );
}

#[test]
fn a_site_on_plain_http_causes_a_warning_even_if_allowed() {
    let setup = DoctorSetup::new();
    let report = setup.report(&[
        "client.public_url=http://blog.internal",
        "client.allow_plain_http=true",
        "client.port=0",
    ]);
    assert!(
        report.contains("! Addresses") && report.contains("can read and take over sessions"),
        "{report}"
    );
}
