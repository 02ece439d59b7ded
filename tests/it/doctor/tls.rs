//! `blogctl doctor` on the certificates of HTTPS.

use super::{DoctorSetup, section};
use crate::support::pki::TestCa;

#[test]
fn the_certificates_of_https_are_checked_if_there_are_any() {
    let setup = DoctorSetup::new();
    assert!(!setup.report(&[]).contains(" TLS "), "nothing to check");
    let ca = TestCa::new("test CA");
    let folder = setup.folder.path();
    let files = ca.server(&["blog.example.com"]).write(folder, "server");
    let other = ca.client().write(folder, "other");
    let set = |name: &str, path: &std::path::Path| format!("{name}={}", path.display());
    let certificate = set("server.tls.cert_path", &files.certificate);
    let key = set("server.tls.key_path", &files.key);
    let report = |changes: &[&str]| section(&setup.report(changes), " TLS ");

    let public_url = "client.public_url=https://blog.example.com";
    let good = report(&[&certificate, &key, public_url]);
    assert!(
        good.contains("EC 256 bits, expires in ") && !good.contains('✗'),
        "{good}"
    );
    let named = report(&[&certificate, &key, "client.public_url=https://other.example.com"]);
    assert!(named.contains("is not for other.example.com"), "{named}");
    let mismatch = report(&[&certificate, &set("server.tls.key_path", &other.key), public_url]);
    assert!(
        mismatch.contains('✗') && mismatch.contains("does not belong to the private key"),
        "{mismatch}"
    );
    let for_api = report(&[
        &set("client.api_tls_cert_path", &other.certificate),
        "client.api_base_url=https://localhost:1",
    ]);
    assert!(
        for_api.contains('✗') && for_api.contains("client.api_tls_key_path"),
        "{for_api}"
    );
    let acme = report(&[
        "server.tls.acme.directory=https://ca.example/dir",
        "server.tls.acme.domains=blog.example.com",
        "server.tls.acme.cache_dir=acme",
        "server.tls.redirect_port=80",
        "client.public_url=https://other.example.com",
    ]);
    assert!(
        acme.contains('✗') && acme.contains("does not contain other.example.com"),
        "{acme}"
    );
}
