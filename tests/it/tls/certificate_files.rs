//! Which files a server can serve HTTPS with, and what it says about the others.

use std::fs;

use blogctl::{
    api,
    config::{Settings, TlsSettings},
    hint::Hint as _,
    serve, web,
};
use openssl::{pkey::PKey, rsa::Rsa, symm::Cipher};
use rcgen::ExtendedKeyUsagePurpose;
use secrecy::SecretString;

use super::{HttpsServer, LOCAL, Role, settings, start};
use crate::support::{
    certificates::{TestCertificate, file, key_pem, pem},
    logs,
    pki::{TestCa, agent, pfx, served_certificate},
};

/// The error of a server that does not start, and its hint.
fn start_error(settings: &Settings) -> (String, String) {
    let listener = serve::listen("127.0.0.1", 0).expect("a free port");
    let settings = settings.clone();
    actix_web::rt::System::new().block_on(async move {
        let Err(error) = api::Server::from_listener(listener, &settings) else {
            panic!("it starts");
        };
        let hint = error.hint().unwrap_or_default().into_owned();
        (error.to_string(), hint)
    })
}

/// Spoils valid settings.
type Change<'c> = &'c dyn Fn(&mut TlsSettings);

#[test]
fn each_problem_of_the_files_has_its_message_and_a_hint() {
    let (folder, ca) = (tempfile::tempdir().expect("a folder"), TestCa::new("test CA"));
    let base = settings(&folder, Role::Api);
    let good = ca.server(&LOCAL).write(folder.path(), "good");
    let usage = || ExtendedKeyUsagePurpose::ServerAuth;
    let expired = ca.issue(&LOCAL, usage(), (-30, -1)).write(folder.path(), "expired");
    let early = ca.issue(&LOCAL, usage(), (2, 30)).write(folder.path(), "early");
    let weak_key = PKey::from_rsa(Rsa::generate(1024).expect("a key")).expect("a key");
    let weak = TestCertificate::new("weak", &weak_key).make();
    let weak = file(folder.path(), "weak.pem", &[&pem(&weak), &key_pem(&weak_key)]);
    let odd_key = PKey::generate_ed448().expect("a key");
    let odd = TestCertificate::new("odd", &odd_key);
    let odd = file(
        folder.path(),
        "odd.pem",
        &[&pem(&odd_signed(&odd, &ca_key())), &key_pem(&odd_key)],
    );
    let key = PKey::private_key_from_pem(&fs::read(&good.key).expect("a file")).expect("a key");
    let encrypted = key
        .private_key_to_pem_pkcs8_passphrase(Cipher::aes_256_cbc(), b"right")
        .expect("PEM");
    let encrypted = file(folder.path(), "encrypted.key", &[&encrypted]);
    let junk = file(folder.path(), "junk.pem", &[b"junk"]);
    let missing = folder.path().join("missing.pem");

    let cases: [(Change<'_>, &str, &str); 12] = [
        (
            &|tls| tls.cert_path = Some(missing.clone()),
            "cannot be read",
            "check that the file exists",
        ),
        (
            &|tls| tls.cert_path = Some(junk.clone()),
            "neither a PEM nor a PFX file",
            "use a PEM file",
        ),
        (
            &|tls| tls.key_path = None,
            "holds no private key",
            "server.tls.key_path",
        ),
        (
            &|tls| tls.key_path = Some(expired.key.clone()),
            "does not belong to the private key",
            "openssl",
        ),
        (
            &|tls| *tls = expired.settings(),
            "expired 1",
            "put the renewed certificate and its key into place",
        ),
        (&|tls| *tls = early.settings(), "is not valid before", "clock"),
        (
            &|tls| (tls.cert_path, tls.key_path) = (Some(weak.clone()), None),
            "has 1024 bits",
            "EC key (P-256)",
        ),
        (
            &|tls| (tls.cert_path, tls.key_path) = (Some(odd.clone()), None),
            "cannot be used for TLS (Ed448)",
            "Ed25519",
        ),
        (
            &|tls| tls.key_path = Some(encrypted.clone()),
            "is encrypted, and no passphrase is set",
            "server.tls.key_passphrase_file",
        ),
        (
            &|tls| {
                tls.key_path = Some(encrypted.clone());
                tls.key_passphrase = Some(SecretString::from("wrong"));
            },
            "the passphrase does not open",
            "server.tls.key_passphrase_file",
        ),
        (
            &|tls| tls.client_ca = Some(junk.clone()),
            "server.tls.client_ca: ",
            "the CAs that issue client certificates",
        ),
        (
            &|tls| tls.client_ca = Some(missing.clone()),
            "server.tls.client_ca: ",
            "check that the file exists",
        ),
    ];
    for (change, message, hint) in cases {
        let mut settings = base.clone();
        settings.server.tls = good.settings();
        change(&mut settings.server.tls);
        let (seen, seen_hint) = start_error(&settings);
        assert!(seen.contains(message), "{message}: {seen}");
        assert!(seen_hint.contains(hint), "{message}: {seen_hint}");
        assert!(
            !seen_hint.contains("Entra") && !seen_hint.contains("client.key"),
            "{message}: {seen_hint}"
        );
    }
}

fn ca_key() -> PKey<openssl::pkey::Private> {
    PKey::from_rsa(Rsa::generate(2048).expect("a key")).expect("a key")
}

/// Signed by another key: Ed448 signs without a digest.
fn odd_signed(odd: &TestCertificate<'_>, ca_key: &PKey<openssl::pkey::Private>) -> openssl::x509::X509 {
    let ca = TestCertificate::new("ca", ca_key).make();
    TestCertificate {
        issuer: Some((&ca, ca_key)),
        ..TestCertificate::new(odd.common_name, odd.key)
    }
    .make()
}

#[test]
fn a_site_whose_public_url_is_plain_http_does_not_serve_https() {
    let (folder, ca) = (tempfile::tempdir().expect("a folder"), TestCa::new("test CA"));
    let mut settings = settings(&folder, Role::Site);
    settings.server.tls = ca.server(&LOCAL).write(folder.path(), "server").settings();
    settings.client.public_url = Some("http://localhost:5000".parse().expect("a URL"));
    let listener = serve::listen("127.0.0.1", 0).expect("a free port");
    let error = actix_web::rt::System::new().block_on(async move {
        let error = web::Server::from_listener(listener, &settings).err().expect("an error");
        format!("{error}; {}", error.hint().unwrap_or_default())
    });
    assert!(error.contains("its public URL is http://localhost:5000/"), "{error}");
    assert!(error.contains("client.public_url"), "{error}");
}

#[test]
fn pem_pfx_and_encrypted_files_are_served() {
    let (folder, ca) = (tempfile::tempdir().expect("a folder"), TestCa::new("test CA"));
    let identity = ca.server(&LOCAL);
    let files = identity.write(folder.path(), "server");
    let key = PKey::private_key_from_pem(identity.key.as_bytes()).expect("a key");
    let encrypted = key
        .private_key_to_pem_pkcs8_passphrase(Cipher::aes_256_cbc(), b"right")
        .expect("PEM");
    let encrypted = file(folder.path(), "encrypted.key", &[&encrypted]);
    let combined = file(
        folder.path(),
        "combined.pem",
        &[
            identity.key.as_bytes(),
            ca.pem.as_bytes(),
            identity.certificate.as_bytes(),
        ],
    );
    let open_pfx = pfx(folder.path(), "open.p12", &identity.certificate, &identity.key, "");
    let closed_pfx = pfx(
        folder.path(),
        "closed.p12",
        &identity.certificate,
        &identity.key,
        "right",
    );
    let passphrase = Some(file(folder.path(), "passphrase", &[b"right\n"]));
    for (cert_path, key_path, key_passphrase_file) in [
        (files.certificate.clone(), Some(files.key.clone()), None),
        (files.certificate, Some(encrypted), passphrase.clone()),
        (combined, None, None),
        (open_pfx, None, None),
        (closed_pfx, None, passphrase),
    ] {
        let name = cert_path.display().to_string();
        let mut settings = settings(&folder, Role::Api);
        settings.server.tls.cert_path = Some(cert_path);
        settings.server.tls.key_path = key_path;
        settings.server.tls.key_passphrase_file = key_passphrase_file;
        let (server, _) = start(Role::Api, settings);
        let url = format!("https://localhost:{}/health/live", server.port);
        let response = agent(&ca.pem, None).get(url).call().expect(&name);
        assert_eq!(response.status(), 200, "{name}");
        assert_eq!(served_certificate(server.port), Some(identity.der()), "{name}");
    }
}

#[test]
fn a_certificate_for_other_names_than_the_public_url_is_a_warning() {
    logs::capture();
    let (other, same) = ("other-names.example.com", "same-names.example.com");
    for (host, names) in [(other, &["localhost"][..]), (same, &["localhost", "*.example.com"][..])] {
        let _server = HttpsServer::start(Role::Site, |settings| {
            let folder = settings.server.tls.cert_path.clone().expect("a path");
            let folder = folder.parent().expect("a folder");
            settings.server.tls = TestCa::new("CA").server(names).write(folder, "named").settings();
            settings.client.public_url = Some(format!("https://{host}").parse().expect("a URL"));
        });
    }
    let warnings = |host: &str| {
        let mut lines = logs::containing(host);
        lines.retain(|line| line.contains("is not for"));
        lines
    };
    assert_eq!(warnings(other).len(), 1, "{:?}", warnings(other));
    assert!(warnings(other)[0].starts_with("WARN "), "{:?}", warnings(other));
    assert_eq!(warnings(same), Vec::<String>::new());
}

#[test]
fn the_emulator_serves_https_with_a_configured_certificate_too() {
    let (folder, ca) = (tempfile::tempdir().expect("a folder"), TestCa::new("test CA"));
    let mut settings = settings(&folder, Role::Api);
    settings.server.tls = ca.server(&LOCAL).write(folder.path(), "server").settings();
    let listener = serve::listen("127.0.0.1", 0).expect("a free port");
    let server = crate::support::system::TestServer::idp(listener, settings);
    let base = format!("https://localhost:{}", server.port);
    let url = format!("{base}/common/v2.0/.well-known/openid-configuration");
    let mut response = agent(&ca.pem, None).get(url).call().expect("a response");
    let text = response.body_mut().read_to_string().expect("text");
    assert!(text.contains(&format!("{base}/common/oauth2/v2.0/token")), "{text}");
}
