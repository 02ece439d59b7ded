//! `blogctl doctor` on the services that site and API depend on: the identity provider, the API, and Redis.

use std::time::Duration;

use actix_web::{HttpResponse, web::Bytes};
use blogctl::config::DEV_API_ID;
use futures_util::stream;
use serde_json::Value;

use super::{DoctorSetup, section};
use crate::support::{binary::CommandOutput, web::FakeApi};

#[test]
fn an_identity_provider_that_is_down_is_reported_in_time() {
    let setup = DoctorSetup::new();
    setup.control().slow(std::time::Duration::from_secs(30));
    let output = CommandOutput::run(
        setup.folder.path(),
        &["doctor", "--timeout", "1", "--role", "api", "--json"],
    );
    setup.control().clear_faults();
    assert_eq!(output.code, Some(1), "{output:?}");
    let report: Value = serde_json::from_str(&output.stdout).expect("JSON");
    let discovery = report["checks"]
        .as_array()
        .expect("checks")
        .iter()
        .find(|check| check["check"] == "discovery");
    let discovery = discovery.expect("the check");
    assert_eq!(discovery["status"], "failed", "{report:#}");
    assert!(
        discovery["remedy"].as_str().expect("text").contains("firewall"),
        "{report:#}"
    );
}

#[test]
fn another_program_at_the_address_of_the_api_is_recognised() {
    let setup = DoctorSetup::new();
    let with_api_at = |url: &str| section(&setup.report(&[&format!("client.api_base_url={url}")]), " API ");
    let site = with_api_at(&setup.system.web.url(""));
    assert!(
        site.contains('✗') && site.contains("is not blogctl's API; it may be the web site"),
        "{site}"
    );
    let tls = with_api_at(&setup.system.api.url("").replace("http:", "https:"));
    assert!(tls.contains("use http:// in client.api_base_url"), "{tls}");
    let default = setup.report(&[&format!("client.api_scope=api://{DEV_API_ID}/.default")]);
    assert!(
        section(&default, " API ").contains("the API accepts tokens from this issuer"),
        "{default}"
    );
    let other = setup.report(&["client.api_scope=api://other/.default"]);
    assert!(
        section(&other, " API ").contains("the scope api://other/.default"),
        "{other}"
    );

    let page = FakeApi::start(|_| HttpResponse::Ok().body("<html>Welcome</html>"));
    for arguments in [
        [
            "--set",
            &format!("client.api_base_url={}", page.url()),
            "--role",
            "client",
        ],
        [
            "--set",
            &format!("api.port={}", page.url().port().expect("set")),
            "--role",
            "api",
        ],
    ] {
        let output = CommandOutput::run(setup.folder.path(), &[&["doctor"][..], &arguments].concat());
        let reported = section(&output.stdout, " API ");
        assert!(output.code == Some(1) && reported.starts_with('✗'), "{reported}");
        assert!(
            reported.contains("is not blogctl's API") && !reported.contains('✓'),
            "{reported}"
        );
        let setting = if arguments[3] == "api" {
            "api.port"
        } else {
            "client.api_base_url"
        };
        assert!(reported.contains(setting), "{reported}");
    }
    let endless = FakeApi::start(|_| {
        let part = || Ok::<_, actix_web::Error>(Bytes::from_static(&[b'x'; 4096]));
        HttpResponse::Ok().streaming(stream::repeat_with(part))
    });
    let port = format!("api.port={}", endless.url().port().expect("set"));
    let output = CommandOutput::run(setup.folder.path(), &["doctor", "--role", "api", "--set", &port]);
    let reported = section(&output.stdout, " API ");
    assert!(output.code == Some(1) && reported.starts_with('✗'), "{reported}");
    assert!(
        reported.contains("sent an incomplete response") && reported.contains("api.port"),
        "{reported}"
    );

    let output = setup.doctor(&["entra.ca_file=missing.pem"]);
    let reported = section(&output.stdout, " API ");
    assert!(
        reported.contains("missing.pem") && reported.contains("correct entra.ca_file"),
        "never asked: {reported}"
    );
    assert!(!reported.contains("does not answer"), "{reported}");
}

#[test]
fn contradicting_settings_are_reported_even_while_the_api_is_down() {
    let setup = DoctorSetup::new();
    for change in [
        "api.required_scope=other",
        "api.app_id_uri=api://99999999-1111-4222-8333-444444444444",
        "client.api_scope=api://99999999-1111-4222-8333-444444444444/.default",
    ] {
        let output = setup.doctor(&[change, "client.api_base_url=http://localhost:9"]);
        let reported = section(&output.stdout, " API ");
        assert!(
            reported.contains("✗ API") && reported.contains("the site requests tokens that this API rejects"),
            "{reported}"
        );
    }
    let output = CommandOutput::run(
        setup.folder.path(),
        &["doctor", "--role", "client", "--set", "api.required_scope=other"],
    );
    assert_eq!(
        output.code,
        Some(0),
        "the API's settings may be of another machine: {output:?}"
    );

    let client_id = |id: &str| section(&setup.report(&[&format!("api.client_id={id}")]), " API ");
    let other = client_id("99999999-1111-4222-8333-444444444444");
    assert!(
        other.contains("! API") && other.contains("but api.client_id is 99999999-1111"),
        "{other}"
    );
    assert!(!client_id(DEV_API_ID).contains("! API"));
}

#[test]
fn a_wrong_clock_is_reported_with_its_direction() {
    let setup = DoctorSetup::new();
    let clock = || section(&setup.report(&[]), " Clock ");
    setup.control().advance_clock(Duration::from_secs(20));
    let slow = clock();
    assert!(slow.starts_with('!') && slow.contains("behind"), "{slow}");
    setup.control().advance_clock(Duration::from_mins(10));
    let far = clock();
    assert!(far.starts_with('✗') && far.contains("behind"), "{far}");
}

#[test]
fn an_api_that_is_not_ready_says_why() {
    let setup = DoctorSetup::new();
    let api = FakeApi::start(|seen| {
        if seen.path == "/health/ready" {
            let checks = serde_json::json!({ "database": "unavailable", "signing_keys": "ok" });
            return HttpResponse::ServiceUnavailable().json(serde_json::json!({ "checks": checks }));
        }
        HttpResponse::Ok().json(serde_json::json!({}))
    });
    let report = setup.report(&[&format!("client.api_base_url={}", api.url())]);
    assert!(report.contains("is not ready: database\n"), "{report}");
}

#[test]
fn redis_is_tested_with_a_session() {
    let Some(mut redis) = crate::support::redis::RedisServer::start() else {
        return;
    };
    let setup = DoctorSetup::new();
    let sessions = |url: &str| {
        let output = setup.doctor(&[&format!("redis.url={url}")]);
        assert!(!output.stdout.contains("hunter"), "no password: {}", output.stdout);
        (output.code, section(&output.stdout, " Sessions "))
    };
    let (code, well) = sessions(&redis.url());
    assert_eq!(code, Some(0), "{well}");
    assert!(
        well.contains("✓ Sessions") && well.contains("in Redis 7") || well.contains("in Redis "),
        "{well}"
    );
    let left: Vec<String> = redis::Commands::keys(&mut redis.connection(), "*").expect("keys");
    assert_eq!(left, Vec::<String>::new(), "nothing is left behind");
    let (code, wrong) = sessions(&redis.url().replace("hunter2", "hunter3"));
    assert!(code == Some(1) && wrong.contains("✗ Sessions"), "{wrong}");
    assert!(wrong.contains("correct user and password in redis.url"), "{wrong}");
    let (_, tls) = sessions(&redis.url().replacen("redis://", "rediss://", 1));
    assert!(tls.contains("does not answer to rediss://"), "{tls}");
    let url = redis.url();
    redis.stop();
    let (code, away) = sessions(&url);
    assert!(
        code == Some(1) && away.contains("start Redis, or correct host and port in redis.url"),
        "{away}"
    );
    let (_, plain) = sessions("redis://redis.invalid:1");
    assert!(plain.contains("set redis.url to a rediss:// URL"), "{plain}");
}

#[test]
fn a_password_in_any_address_is_not_shown() {
    let setup = DoctorSetup::new();
    for change in [
        "client.public_url=https://u:s3cretpw@blog.example",
        "client.redirect_uri=https://blog.example/callback?code=s3cretpw",
        "client.api_base_url=https://api.example/?key=s3cretpw",
        "client.api_base_url=u:s3cretpw@api.example",
        "client.port=https://u:s3cretpw@host",
        "azure.identity_endpoint=http://10.0.0.1/#s3cretpw",
        "server.trusted_proxies=https://u:s3cretpw@proxy",
        "database.url=postgres://blog@127.0.0.1:9/blog?sslmode=s3cretpw",
        "database.url=postgres://blog@127.0.0.1:9/blog?sslmode=s3cretpw%21",
        "database.url=postgres://blog@127.0.0.1:9/blog?password=s3cretpw",
        "database.url=postgres://blog@127.0.0.1:9/blog?s3cretpw",
        "database.url=postgres://blog@127.0.0.1:9/blog?s3cretpw=1",
        "database.url=postgres://blog:s3cretpw%zz@127.0.0.1:9/blog",
        "redis.url=http://u:s3cretpw@cache.example",
    ] {
        let is_of_database = change.starts_with("database.");
        let serves: &[&[&str]] = if is_of_database {
            &[&["serve-api"], &["migrate", "status"]]
        } else {
            &[]
        };
        for command in [&["doctor"][..], &["doctor", "--json"], &["config"]]
            .iter()
            .chain(serves)
        {
            let output = CommandOutput::run(setup.folder.path(), &[*command, &["--set", change]].concat());
            assert!(
                !format!("{output:?}").contains("s3cretpw"),
                "{command:?} {change}: {output:?}"
            );
            let is_told = output.code != Some(0) || (is_of_database && *command == ["config"]);
            assert!(is_told, "{command:?} {change}: {output:?}");
        }
    }
}
