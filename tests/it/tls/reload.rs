//! Certificates that change while the server runs.

use std::{
    fs,
    os::unix::fs::symlink,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use blogctl::config::TlsSettings;

use super::{HttpsServer, LOCAL, Role};
use crate::support::{
    certificates::file,
    logs,
    pki::{TestCa, TestIdentity, served_certificate, wait_until_served},
};

/// Clients that send requests on persistent connections until stopped.
struct Load {
    stop: Arc<AtomicBool>,
    succeeded: Arc<AtomicU32>,
    clients: Vec<thread::JoinHandle<Vec<String>>>,
}

impl Load {
    fn start(ca: &TestCa, url: &str) -> Self {
        let (stop, succeeded) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let clients = (0..4).map(|_| {
            let (agent, url) = (ca.agent(None), url.to_owned());
            let (stop, succeeded) = (Arc::clone(&stop), Arc::clone(&succeeded));
            thread::spawn(move || {
                let mut failures = Vec::new();
                while !stop.load(Ordering::SeqCst) {
                    match agent.get(&url).call().and_then(|mut response| {
                        response.body_mut().read_to_string()?;
                        Ok(response.status().as_u16())
                    }) {
                        Ok(200) => {
                            succeeded.fetch_add(1, Ordering::SeqCst);
                        }
                        outcome => failures.push(format!("{outcome:?}")),
                    }
                }
                failures
            })
        });
        Self {
            clients: clients.collect(),
            stop,
            succeeded,
        }
    }

    /// Waits until so many more requests have succeeded.
    fn wait_for(&self, more: u32) {
        let (begin, deadline) = (
            self.succeeded.load(Ordering::SeqCst),
            Instant::now() + Duration::from_mins(1),
        );
        while self.succeeded.load(Ordering::SeqCst) < begin + more {
            assert!(Instant::now() < deadline, "requests fail");
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn failures(self) -> Vec<String> {
        self.stop.store(true, Ordering::SeqCst);
        self.clients
            .into_iter()
            .flat_map(|client| client.join().expect("a client"))
            .collect()
    }
}

#[test]
fn no_request_fails_while_certificates_are_replaced() {
    for role in [Role::Api, Role::Site] {
        let server = HttpsServer::start(role, |_| {});
        let load = Load::start(&server.ca, &server.url("/health/live"));
        load.wait_for(50);
        for _ in 0..3 {
            let next = server.ca.server(&LOCAL);
            next.write(server.folder.path(), "server");
            wait_until_served(server.server.port, &next.der());
            load.wait_for(50);
        }
        assert_eq!(load.failures(), Vec::<String>::new(), "{role:?}");
    }
}

#[test]
fn a_secret_that_kubernetes_replaces_is_used_without_a_failed_request() {
    let (folder, ca) = (tempfile::tempdir().expect("a folder"), TestCa::new("test CA"));
    let at = |name: &str| folder.path().join(name);
    let mount = |version: &str, identity: &TestIdentity| {
        fs::create_dir(at(version)).expect("created");
        fs::write(at(version).join("tls.crt"), &identity.certificate).expect("written");
        file(&at(version), "tls.key", &[identity.key.as_bytes()]);
        symlink(version, at("..data_tmp")).expect("linked");
        fs::rename(at("..data_tmp"), at("..data")).expect("renamed");
    };
    mount("..2026_01", &ca.server(&LOCAL));
    for name in ["tls.crt", "tls.key"] {
        symlink(Path::new("..data").join(name), at(name)).expect("linked");
    }
    let server = HttpsServer::start(Role::Api, |settings| {
        settings.server.tls = TlsSettings {
            cert_path: Some(at("tls.crt")),
            key_path: Some(at("tls.key")),
            ..TlsSettings::default()
        };
    });
    let load = Load::start(&ca, &server.url("/health/live"));
    load.wait_for(20);
    let next = ca.server(&LOCAL);
    mount("..2026_02", &next);
    wait_until_served(server.server.port, &next.der());
    load.wait_for(20);
    assert_eq!(load.failures(), Vec::<String>::new());
}

#[test]
fn half_of_a_new_pair_is_not_used_and_reported_once() {
    logs::capture();
    let server = HttpsServer::start(Role::Api, |_| {});
    let port = server.server.port;
    let old = served_certificate(port).expect("a certificate");
    let next = server.ca.server(&LOCAL);
    let name = server.folder.path().display().to_string();
    let reports = || {
        let lines = logs::containing(&name);
        let is_report = |line: &String| line.contains("cannot be reloaded");
        lines.into_iter().filter(is_report).collect::<Vec<_>>()
    };
    let wait = |condition: &dyn Fn() -> bool| {
        let deadline = Instant::now() + Duration::from_mins(1);
        while !condition() {
            assert!(Instant::now() < deadline, "{:#?}", reports());
            thread::sleep(Duration::from_millis(20));
        }
    };
    file(server.folder.path(), "server.crt", &[next.certificate.as_bytes()]);
    wait(&|| !reports().is_empty());
    assert_eq!(served_certificate(port), Some(old.clone()));
    // Another error, and then the first one again: each is reported when it begins.
    file(server.folder.path(), "server.key", &[b"not a key"]);
    wait(&|| reports().len() == 2);
    // The same error again, in a file with another content.
    file(server.folder.path(), "server.key", &[b"still not a key"]);
    file(server.folder.path(), "server.key", &[next.key.as_bytes()]);
    wait_until_served(port, &next.der());
    let reports = reports();
    assert_eq!(reports.len(), 2, "{reports:#?}");
    assert!(reports[0].starts_with("WARN "), "{}", reports[0]);
    assert!(
        reports[0].contains("does not belong to the private key"),
        "{}",
        reports[0]
    );
    assert_ne!(old, next.der());
}

#[test]
fn certificates_that_change_and_cannot_be_used_are_in_the_audit_trail() {
    for role in [Role::Api, Role::Site] {
        let trail = tempfile::tempdir().expect("a folder");
        let path = trail.path().join("audit.jsonl");
        let server = HttpsServer::start(role, |settings| settings.audit.path = Some(path.clone()));
        let thumbprint = |der: &[u8]| hex::encode_upper(openssl::sha::sha256(der));
        let wait_for = |text: &str| {
            let deadline = Instant::now() + Duration::from_mins(1);
            loop {
                let lines = fs::read_to_string(&path).unwrap_or_default();
                if let Some(line) = lines.lines().find(|line| line.contains(text)) {
                    return line.to_owned();
                }
                assert!(Instant::now() < deadline, "{text} is not in {lines}");
                thread::sleep(Duration::from_millis(20));
            }
        };
        let first = served_certificate(server.server.port).expect("a certificate");
        let line = wait_for(&thumbprint(&first));
        assert!(
            line.contains("\"event\":\"certificate_in_use\",\"usage\":\"tls\""),
            "{role:?}: {line}"
        );
        file(server.folder.path(), "server.key", &[b"not a key"]);
        wait_for("\"event\":\"certificate_unusable\",\"usage\":\"tls\",\"reason\":\"reload_failed\"");
        let next = server.ca.server(&LOCAL);
        next.write(server.folder.path(), "server");
        wait_for(&thumbprint(&next.der()));
    }
}
