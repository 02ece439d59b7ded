//! Loading the client certificate: every common file format, and a helpful message for every failure.

use std::path::Path;

use blogctl::{
    certificate::{
        CertificateError, ClientCertificate, Thumbprints,
        issue::{Destination, IssueError, NewCertificate, Subject},
    },
    config::CertificateSettings,
};
use openssl::{
    ec::{EcGroup, EcKey},
    nid::Nid,
    pkey::{PKey, Private},
    symm::Cipher,
};
use secrecy::SecretString;
use tempfile::TempDir;

use crate::support::{
    certificates::{TestCertificate, file, key_pem, pem, settings},
    entra::{keys, rsa_key},
};

fn key() -> &'static PKey<Private> {
    &keys()[0].key
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

fn certificate_pem() -> Vec<u8> {
    pem(&TestCertificate::new("site", key()).make())
}

fn failure(settings: &CertificateSettings) -> CertificateError {
    let error = ClientCertificate::load(settings).expect_err("rejected");
    assert!(!error.hint().is_empty());
    error
}

#[test]
fn every_form_of_key_file_is_read() {
    let folder = folder();
    let certificate = certificate_pem();
    let pkcs1 = key().rsa().expect("RSA").private_key_to_pem().expect("PEM");
    let encrypted = key()
        .private_key_to_pem_pkcs8_passphrase(Cipher::aes_256_cbc(), b"open sesame")
        .expect("PEM");
    let legacy = key()
        .rsa()
        .expect("RSA")
        .private_key_to_pem_passphrase(Cipher::aes_128_cbc(), b"open sesame");
    for (name, pem) in [
        ("pkcs8", key_pem(key())),
        ("pkcs1", pkcs1),
        ("encrypted pkcs8", encrypted),
        ("encrypted pkcs1", legacy.expect("PEM")),
    ] {
        let one = file(folder.path(), &format!("{name} one.pem"), &[&certificate, &pem]);
        let key_file = file(folder.path(), &format!("{name} key.pem"), &[&pem]);
        let cert_file = file(folder.path(), &format!("{name} cert.pem"), &[&certificate]);
        let passphrase = Some(SecretString::from("open sesame"));
        let in_one = CertificateSettings {
            key_passphrase: passphrase.clone(),
            ..settings(&one)
        };
        let in_two = CertificateSettings {
            key_path: Some(key_file),
            key_passphrase: passphrase,
            ..settings(&cert_file)
        };
        for settings in [in_one, in_two] {
            let loaded = ClientCertificate::load(&settings).expect(name);
            assert_eq!(loaded.details().subject, "CN=site", "{name}");
        }
    }
}

#[test]
fn the_leaf_is_the_certificate_of_the_key_wherever_it_stands() {
    let folder = folder();
    let root_key = &keys()[1].key;
    let root = TestCertificate::new("root", root_key).make();
    let leaf = TestCertificate {
        issuer: Some((&root, root_key)),
        ..TestCertificate::new("site", key())
    }
    .make();
    let stranger = TestCertificate::new("stranger", root_key).make();
    for (n, parts) in [
        [&leaf, &root, &stranger],
        [&root, &stranger, &leaf],
        [&stranger, &leaf, &root],
    ]
    .iter()
    .enumerate()
    {
        let [one, two, three] = parts.map(pem);
        let path = file(
            folder.path(),
            &format!("{n}.pem"),
            &[&one, &two, &key_pem(key()), &three],
        );
        let loaded = ClientCertificate::load(&settings(&path)).expect("a certificate");
        assert_eq!(
            loaded.thumbprints(),
            &Thumbprints::from_der(&leaf.to_der().expect("DER"))
        );
        assert_eq!(loaded.chain().first(), Some(&leaf.to_der().expect("DER")));
    }
}

#[test]
fn each_failure_has_its_own_message_with_the_file() {
    let folder = folder();
    let at = |name: &str, parts: &[&[u8]]| settings(&file(folder.path(), name, parts));
    let certificate = certificate_pem();
    let der = TestCertificate::new("site", key()).make().to_der().expect("DER");
    let dated = |valid| {
        pem(&TestCertificate {
            valid,
            ..TestCertificate::new("site", key())
        }
        .make())
    };
    let weak = rsa_key(1024);
    let weak_certificate = pem(&TestCertificate::new("weak", &weak).make());
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("a curve");
    let elliptic = PKey::from_ec_key(EcKey::generate(&group).expect("a key")).expect("a key");
    let elliptic_certificate = pem(&TestCertificate::new("ec", &elliptic).make());
    let garbled = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let garbled_key = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    let missing = settings(&folder.path().join("missing.pem"));
    for (settings, expected) in [
        (CertificateSettings::default(), "client.cert_path is not set"),
        (missing, "missing.pem cannot be read: No such file"),
        (at("a.pfx", &[&der]), "a.pfx holds no private key"),
        (at("empty.pem", &[]), "empty.pem is neither a PEM nor a PFX file"),
        (
            at("key-only.pem", &[&key_pem(key())]),
            "key-only.pem holds no certificate",
        ),
        (
            at("garbled.pem", &[garbled]),
            "garbled.pem holds a certificate that cannot be parsed",
        ),
        (
            at("cert-only.pem", &[&certificate]),
            "cert-only.pem holds no private key",
        ),
        (
            at("bad-key.pem", &[&certificate, garbled_key]),
            "bad-key.pem holds a private key that cannot be parsed",
        ),
        (
            at("other.pem", &[&certificate, &key_pem(&keys()[1].key)]),
            "other.pem: no certificate in it belongs to its",
        ),
        (
            at("weak.pem", &[&weak_certificate, &key_pem(&weak)]),
            "weak.pem has 1024 bits; at least 2048 are required",
        ),
        (
            at("ec.pem", &[&elliptic_certificate, &key_pem(&elliptic)]),
            "the key in",
        ),
        (
            at("old.pem", &[&dated((-40, -3)), &key_pem(key())]),
            "old.pem expired 3 days ago (20",
        ),
        (
            at("new.pem", &[&dated((2, 30)), &key_pem(key())]),
            "new.pem is not valid before 20",
        ),
    ] {
        let message = failure(&settings).to_string();
        assert!(message.contains(expected), "{message:?} lacks {expected:?}");
    }
    let elliptic = failure(&settings(&folder.path().join("ec.pem")));
    assert!(matches!(elliptic, CertificateError::NotRsa { .. }), "{elliptic}");
}

#[test]
fn key_and_certificate_in_two_files_are_both_named_when_they_do_not_belong_together() {
    let folder = folder();
    let cert_file = file(folder.path(), "cert.pem", &[&certificate_pem()]);
    let key_file = file(folder.path(), "key.pem", &[&key_pem(&keys()[1].key)]);
    let message = failure(&CertificateSettings {
        key_path: Some(key_file),
        ..settings(&cert_file)
    })
    .to_string();
    assert!(
        message.contains("cert.pem does not belong to the private key in") && message.ends_with("key.pem"),
        "{message}"
    );
}

#[test]
fn a_missing_passphrase_differs_from_a_wrong_one() {
    let folder = folder();
    let encrypted = key()
        .private_key_to_pem_pkcs8_passphrase(Cipher::aes_256_cbc(), b"open sesame")
        .expect("PEM");
    let path = file(folder.path(), "client.pem", &[&certificate_pem(), &encrypted]);
    let with = |passphrase: Option<&str>| {
        failure(&CertificateSettings {
            key_passphrase: passphrase.map(SecretString::from),
            ..settings(&path)
        })
    };
    assert!(matches!(with(None), CertificateError::PassphraseMissing { .. }));
    for wrong in ["", "OPEN SESAME", &"x".repeat(5000)] {
        let error = with(Some(wrong));
        assert!(matches!(error, CertificateError::PassphraseWrong { .. }), "{error}");
        assert!(!format!("{error} {error:?} {}", error.hint()).contains("SESAME"));
    }
}

#[test]
fn a_configured_thumbprint_is_compared_in_either_hash_and_any_notation() {
    let folder = folder();
    let path = file(folder.path(), "client.pem", &[&certificate_pem(), &key_pem(key())]);
    let with = |thumbprint: &str| {
        ClientCertificate::load(&CertificateSettings {
            thumbprint: Some(thumbprint.to_owned()),
            ..settings(&path)
        })
    };
    let thumbprints = ClientCertificate::load(&settings(&path))
        .expect("a certificate")
        .thumbprints()
        .clone();
    let (sha1, sha256) = (thumbprints.sha1_hex(), thumbprints.sha256_hex());
    let colons = |hex: &str| {
        hex.as_bytes()
            .chunks(2)
            .map(|pair| String::from_utf8_lossy(pair))
            .collect::<Vec<_>>()
            .join(":")
    };
    for right in [
        sha1.clone(),
        sha256.clone(),
        sha1.to_lowercase(),
        colons(&sha1),
        colons(&sha256).replace(':', " "),
    ] {
        with(&right).expect(&right);
    }
    let other = "0123456789ABCDEF0123456789ABCDEF01234567";
    let message = with(other).expect_err("another certificate's").to_string();
    assert!(
        message.contains(other) && message.contains(&sha1),
        "both are shown: {message}"
    );
    for malformed in ["", "abc", &sha1[1..], &thumbprints.x5t(), &thumbprints.x5t_s256()] {
        let error = with(malformed).expect_err("no thumbprint");
        assert!(matches!(error, CertificateError::ThumbprintFormat { .. }), "{error}");
    }
}

#[test]
fn debug_output_shows_no_key() {
    let folder = folder();
    let path = file(folder.path(), "client.pem", &[&certificate_pem(), &key_pem(key())]);
    let shown = format!(
        "{:?}",
        ClientCertificate::load(&settings(&path)).expect("a certificate")
    );
    assert!(
        shown.starts_with("ClientCertificate { location: ") && shown.ends_with(".. }"),
        "{shown}"
    );
    assert!(!shown.contains("PKey") && !shown.contains("signer"), "{shown}");
}

fn new(days: u32, bits: u32) -> NewCertificate {
    NewCertificate {
        subject: Subject::with_common_name("blog"),
        days,
        bits,
    }
}

fn into(folder: &Path, name: &str) -> Destination {
    Destination {
        folder: folder.to_owned(),
        name: name.to_owned(),
        ..Destination::default()
    }
}

fn over(folder: &Path, name: &str) -> Destination {
    Destination {
        overwrite: true,
        ..into(folder, name)
    }
}

#[test]
fn an_issued_certificate_can_be_loaded_and_its_key_is_private() {
    let folder = folder();
    let out = folder.path().join("deep/cert");
    let files = new(90, 2048).write(&into(&out, "client")).expect("written");
    let loaded = ClientCertificate::load(&settings(&files.combined)).expect("usable");
    let details = loaded.details();
    assert_eq!(
        (details.subject.as_str(), details.issuer.as_str()),
        ("CN=blog", "CN=blog")
    );
    assert_eq!((details.key_type, details.key_bits), ("RSA", 2048));
    assert_eq!((details.not_after - details.not_before).num_days(), 90);
    assert!(
        !std::fs::read_to_string(&files.certificate)
            .expect("text")
            .contains("PRIVATE")
    );
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = |path: &Path| std::fs::metadata(path).expect("there").permissions().mode() & 0o777;
        assert_eq!((mode(&files.combined), mode(&out)), (0o600, 0o700));
    }
}

#[test]
fn nothing_is_overwritten_unless_asked_for() {
    let folder = folder();
    let read = |path: &Path| std::fs::read(path).expect("there");
    let files = new(1, 2048).write(&into(folder.path(), "client")).expect("written");
    let (combined, certificate) = (read(&files.combined), read(&files.certificate));
    let rejected = new(1, 2048).write(&into(folder.path(), "client"));
    assert!(matches!(rejected, Err(IssueError::Exists(path)) if path == files.combined));
    assert_eq!(
        (read(&files.combined), read(&files.certificate)),
        (combined.clone(), certificate)
    );

    std::fs::remove_file(&files.combined).expect("removed");
    let rejected = new(1, 2048).write(&into(folder.path(), "client"));
    assert!(matches!(rejected, Err(IssueError::Exists(path)) if path == files.certificate));
    assert!(!files.combined.exists(), "all or nothing");

    new(1, 2048).write(&over(folder.path(), "client")).expect("replaced");
    assert_ne!(read(&files.combined), combined);
    ClientCertificate::load(&settings(&files.combined)).expect("usable");
    let left: Vec<_> = std::fs::read_dir(folder.path()).expect("a folder").collect();
    assert_eq!(left.len(), 2, "no temporary file is left: {left:?}");
}

#[test]
fn invalid_requests_are_rejected_before_anything_is_written() {
    let folder = folder();
    let named = |common_name: &str| NewCertificate {
        subject: Subject::with_common_name(common_name),
        days: 1,
        bits: 2048,
    };
    for (new, name) in [
        (new(0, 2048), "client"),
        (new(3651, 2048), "client"),
        (new(1, 1024), "client"),
        (new(1, 2049), "client"),
        (named(""), "client"),
        (named(&"x".repeat(65)), "client"),
        (named("blog"), ""),
        (named("blog"), "../client"),
        (named("blog"), "/client"),
        (named("blog"), ".client"),
    ] {
        new.write(&over(folder.path(), name)).expect_err("rejected");
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
}
