//! Certificates from an ACME CA: Pebble.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use blogctl::{
    api,
    config::{AcmeSettings, Settings},
    hint::Hint as _,
    serve,
};
use openssl::x509::X509;
use tempfile::TempDir;
use ureq::tls::TlsConfig;
use url::Url;

use super::{Role, settings, start};
use crate::support::{
    logs,
    pebble::{Pebble, free_port},
    pki::{agent, served_certificate},
    system::TestServer,
};

/// Resolved by the DNS server of Pebble only.
const DOMAIN: &str = "blog.test";
/// A day, in seconds.
const LONG: u64 = 86_400;

struct AcmeServer {
    server: TestServer,
    folder: TempDir,
}

impl AcmeServer {
    fn start(pebble: &Pebble, plain_http_port: u16) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let (server, _) = start(Role::Api, acme_settings(&folder, pebble, plain_http_port));
        Self { server, folder }
    }

    fn port(&self) -> u16 {
        self.server.port
    }

    fn cache(&self) -> PathBuf {
        self.folder.path().join("acme")
    }

    /// Waits until the server shows another certificate than this one, and returns it.
    fn wait_for_another(&self, than: Option<&[u8]>) -> Vec<u8> {
        wait(&format!("no new certificate on port {}", self.port()), || {
            served_certificate(self.port()).filter(|der| Some(der.as_slice()) != than)
        })
    }
}

fn acme_settings(folder: &TempDir, pebble: &Pebble, plain_http_port: u16) -> Settings {
    let mut settings = settings(folder, Role::Api);
    settings.server.tls.redirect_port = Some(plain_http_port);
    settings.server.tls.acme = AcmeSettings {
        directory: Some(pebble.directory()),
        contact: vec!["ops@example.com".to_owned()],
        domains: vec![DOMAIN.to_owned(), "127.0.0.1".to_owned()],
        cache_dir: Some(folder.path().join("acme")),
        ca_file: Some(pebble.ca_file()),
    };
    settings
}

fn wait<T>(message: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "{message}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Status and body of a GET without checking the certificate.
fn get(port: u16, path: &str) -> (u16, String) {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .tls_config(TlsConfig::builder().disable_verification(true).build())
        .proxy(None)
        .http_status_as_error(false)
        .build()
        .into();
    let mut response = agent
        .get(format!("https://localhost:{port}{path}"))
        .call()
        .expect("a response");
    let text = response.body_mut().read_to_string().expect("text");
    (response.status().as_u16(), text)
}

fn is_temporary(der: &[u8]) -> bool {
    let certificate = X509::from_der(der).expect("a certificate");
    format!("{:?}", certificate.subject_name()).contains("no certificate yet")
}

fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("an entry").file_name().into_string().expect("text"))
        .collect();
    names.sort();
    names
}

#[test]
fn a_certificate_is_issued_served_and_still_there_after_a_restart() {
    let plain_http_port = free_port();
    let Some(mut pebble) = Pebble::start(plain_http_port, LONG) else {
        return;
    };
    let server = AcmeServer::start(&pebble, plain_http_port);
    let issued = wait("no certificate is issued", || {
        served_certificate(server.port()).filter(|der| !is_temporary(der))
    });
    let names = X509::from_der(&issued)
        .expect("a certificate")
        .subject_alt_names()
        .expect("names");
    assert!(names.iter().any(|name| name.dnsname() == Some(DOMAIN)), "{names:?}");
    // The chain leads to the CA's root.
    let url = format!("https://127.0.0.1:{}/health/live", server.port());
    let response = agent(&pebble.root(), None)
        .get(url)
        .call()
        .expect("a trusted certificate");
    assert_eq!(response.status(), 200);
    let (_, ready) = get(server.port(), "/health/ready");
    assert!(!ready.contains("no_certificate"), "{ready}");
    let names = files(&server.cache());
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(
        names[0].starts_with("account-") && names[1].starts_with("certificate-"),
        "{names:?}"
    );
    for name in names {
        let mode = fs::metadata(server.cache().join(&name))
            .expect("a file")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
    let mode = fs::metadata(server.cache()).expect("a folder").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);

    pebble.stop();
    let settings = acme_settings(&server.folder, &pebble, free_port());
    server.server.stop();
    let (again, _) = start(Role::Api, settings);
    assert_eq!(served_certificate(again.port), Some(issued));
}

#[test]
fn a_certificate_is_renewed_even_by_a_ca_that_has_lost_its_accounts() {
    let plain_http_port = free_port();
    let Some(mut pebble) = Pebble::start(plain_http_port, 12) else {
        return;
    };
    let server = AcmeServer::start(&pebble, plain_http_port);
    let first = wait("no certificate is issued", || {
        served_certificate(server.port()).filter(|der| !is_temporary(der))
    });
    let second = server.wait_for_another(Some(&first));
    pebble.stop();
    pebble.run();
    let third = server.wait_for_another(Some(&second));
    assert!([&second, &third].iter().all(|der| !is_temporary(der)));
    let (status, _) = get(server.port(), "/health/live");
    assert_eq!(status, 200);
}

#[test]
fn without_the_ca_the_server_is_up_but_not_ready_and_gets_its_certificate_later() {
    let plain_http_port = free_port();
    let Some(mut pebble) = Pebble::prepare(plain_http_port, LONG) else {
        return;
    };
    logs::capture();
    let server = AcmeServer::start(&pebble, plain_http_port);
    let line = wait("no failure is reported", || {
        let lines = logs::containing("no certificate from the ACME CA, the server is not ready");
        lines.into_iter().find(|line| line.contains("Connection refused"))
    });
    assert!(
        line.starts_with("WARN ") && line.contains("server.tls.acme.directory"),
        "{line}"
    );
    let temporary = served_certificate(server.port()).expect("a certificate");
    assert!(is_temporary(&temporary));
    assert_eq!(get(server.port(), "/health/live").0, 200);
    let (status, body) = get(server.port(), "/health/ready");
    assert_eq!(status, 503);
    assert!(body.contains("\"reason\":\"no_certificate\""), "{body}");
    pebble.run();
    let issued = server.wait_for_another(Some(&temporary));
    assert!(!is_temporary(&issued));
    wait("readiness never changes", || {
        (!get(server.port(), "/health/ready").1.contains("no_certificate")).then_some(())
    });
}

#[test]
fn a_domain_that_the_ca_cannot_verify_is_reported_with_the_port() {
    let plain_http_port = free_port();
    // Pebble asks another port than the one that the server listens on.
    let Some(pebble) = Pebble::start(free_port(), LONG) else {
        return;
    };
    logs::capture();
    let server = AcmeServer::start(&pebble, plain_http_port);
    let line = wait("no failure is reported", || {
        logs::containing("the CA could not verify").into_iter().next()
    });
    assert!(line.contains("server.tls.redirect_port"), "{line}");
    assert!(is_temporary(&served_certificate(server.port()).expect("a certificate")));
    assert_eq!(get(server.port(), "/health/live").0, 200);
    // Nothing is left of the challenges.
    let url = format!("http://127.0.0.1:{plain_http_port}/.well-known/acme-challenge/unknown");
    let error = ureq::get(url).call().expect_err("not found");
    assert!(matches!(error, ureq::Error::StatusCode(404)), "{error}");
}

#[test]
fn a_url_that_is_no_directory_is_reported() {
    let plain_http_port = free_port();
    let Some(pebble) = Pebble::start(plain_http_port, LONG) else {
        return;
    };
    logs::capture();
    let folder = tempfile::tempdir().expect("a folder");
    let mut settings = acme_settings(&folder, &pebble, plain_http_port);
    let url: Url = pebble.directory().join("/no-directory").expect("a URL");
    settings.server.tls.acme.directory = Some(url);
    let (server, _) = start(Role::Api, settings);
    let line = wait("no failure is reported", || {
        let lines = logs::containing("set server.tls.acme.directory to the URL of the CA's directory");
        lines.into_iter().next()
    });
    assert!(line.starts_with("WARN "), "{line}");
    assert_eq!(get(server.port, "/health/live").0, 200);
}

#[test]
fn a_cache_that_others_may_write_or_that_cannot_be_written_prevents_the_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut settings = settings(&folder, Role::Api);
    settings.server.tls.redirect_port = Some(0);
    settings.server.tls.acme = AcmeSettings {
        directory: Some("https://localhost:1/dir".parse().expect("a URL")),
        domains: vec!["localhost".to_owned()],
        ..AcmeSettings::default()
    };
    let open = folder.path().join("open");
    fs::create_dir(&open).expect("created");
    fs::set_permissions(&open, fs::Permissions::from_mode(0o777)).expect("a mode");
    for (cache_dir, message) in [
        (open, "other users may write to its folder"),
        (folder.path().join("no/parent"), "No such file or directory"),
        ("/proc/acme".into(), "cannot be used"),
    ] {
        let mut settings = settings.clone();
        settings.server.tls.acme.cache_dir = Some(cache_dir);
        let listener = serve::listen("127.0.0.1", 0).expect("a free port");
        let error = actix_web::rt::System::new().block_on(async move {
            let error = api::Server::from_listener(listener, &settings).err().expect("an error");
            format!("{error}; {}", error.hint().unwrap_or_default())
        });
        assert!(error.contains(message), "{error}");
        assert!(error.contains("server.tls.acme.cache_dir must be a folder"), "{error}");
    }
}
