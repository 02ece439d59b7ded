//! `blogctl cert check`: all findings at once, in precise words.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::Command,
};

use serde_json::Value;

use super::{cert, fingerprint, folder, key, openssl, run};
use crate::support::{
    certificates::{TestCertificate, file, key_pem, pem},
    entra::{keys, rsa_key},
};

#[test]
fn a_failed_check_says_what_is_wrong_and_what_to_do_and_exits_1() {
    let folder = folder();
    let expired = TestCertificate {
        valid: (-9, -3),
        ..TestCertificate::new("site", key())
    }
    .make();
    file(folder.path(), "expired.pem", &[&key_pem(key()), &pem(&expired)]);
    file(
        folder.path(),
        "cert.pem",
        &[&pem(&TestCertificate::new("site", key()).make())],
    );
    file(folder.path(), "key.pem", &[&key_pem(&keys()[1].key)]);
    for (arguments, expected) in [
        (
            &["check", "expired.pem"][..],
            "✗ certificate expired.pem expired 3 days ago",
        ),
        (
            &["check", "cert.pem", "--key", "key.pem"],
            "✗ certificate cert.pem does not belong to the private key in key.pem",
        ),
        (&["check", "cert.pem"], "✗ cert.pem holds no private key"),
        (&["check", "missing.pem"], "✗ missing.pem cannot be read"),
        (&["check"], "✗ client.cert_path is not set"),
    ] {
        let ended = run(folder.path(), arguments);
        assert_eq!(ended.code, Some(1), "{arguments:?}");
        assert!(
            ended.stdout.contains(expected) && ended.stdout.contains("hint: "),
            "{}",
            ended.stdout
        );
    }
}

#[test]
fn the_configured_certificate_is_checked_with_its_passphrase_and_thumbprint() {
    let folder = folder();
    let encrypted = key().private_key_to_pem_pkcs8_passphrase(openssl::symm::Cipher::aes_256_cbc(), b"open sesame");
    let path = file(
        folder.path(),
        "site.pem",
        &[
            &pem(&TestCertificate::new("site", key()).make()),
            &encrypted.expect("PEM"),
        ],
    );
    let configure = |thumbprint: &str| {
        let settings = format!(
            "[client]\ncert_path = \"site.pem\"\nkey_passphrase = \"open sesame\"\ncert_thumbprint = \"{thumbprint}\"\n"
        );
        fs::write(folder.path().join("blog.toml"), settings).expect("written");
    };
    configure(&fingerprint(&path, "-sha256"));
    assert!(cert(folder.path(), &["check"]).contains("✓ client.cert_thumbprint is its thumbprint"));
    assert!(
        cert(folder.path(), &["check", "site.pem"]).contains("valid, but expires"),
        "the passphrase serves a named file too"
    );
    configure(&"0".repeat(40));
    let ended = run(folder.path(), &["check"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stdout.contains(&fingerprint(&path, "-sha1")), "{}", ended.stdout);
}

#[test]
fn all_findings_are_reported_at_once() {
    let folder = folder();
    let stranger = pem(&TestCertificate::new("stranger", &keys()[1].key).make());
    let expired = pem(&TestCertificate {
        valid: (-40, -3),
        ..TestCertificate::new("site", key())
    }
    .make());
    let path = file(folder.path(), "all.pem", &[&stranger, &expired, &key_pem(key())]);
    let mode = |mode| {
        use std::os::unix::fs::PermissionsExt as _;
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("changed");
    };
    mode(0o644);
    fs::write(
        folder.path().join("blog.toml"),
        format!(
            "[client]\ncert_path = \"all.pem\"\ncert_thumbprint = \"{}\"",
            "a".repeat(40)
        ),
    )
    .expect("written");
    let ended = run(folder.path(), &["check"]);
    assert_eq!(ended.code, Some(1));
    for expected in [
        "✓ CN=site is the certificate of its private key",
        "✗ certificate all.pem expired 3 days ago",
        "✗ client.cert_thumbprint is AAAA",
        "! all.pem contains 1 more certificate, which is not part of its chain",
        "! every user of this machine may read the private key in all.pem (mode 0644)",
    ] {
        assert!(ended.stdout.contains(expected), "{expected:?} in\n{}", ended.stdout);
    }
    let json: Value = serde_json::from_str(&run(folder.path(), &["check", "--json"]).stdout).expect("JSON");
    assert_eq!(json["usable"], false);
    let of = |severity: &str| {
        json["observations"]
            .as_array()
            .expect("a list")
            .iter()
            .filter(|one| one["severity"] == severity)
            .count()
    };
    assert_eq!((of("bad"), of("warning")), (2, 2), "{json}");

    // Usable, but with a warning.
    let soon = pem(&TestCertificate {
        valid: (-40, 9),
        ..TestCertificate::new("site", key())
    }
    .make());
    file(folder.path(), "soon.pem", &[&soon, &key_pem(key())]);
    let ended = run(folder.path(), &["check", "soon.pem"]);
    assert_eq!(ended.code, Some(0));
    assert!(ended.stdout.contains("! valid, but expires in"), "{}", ended.stdout);
    // A problem in one file does not hide the problem in the other.
    file(folder.path(), "no-cert.pem", &[&key_pem(key())]);
    let ended = run(folder.path(), &["check", "no-cert.pem", "--key", "missing.pem"]);
    assert_eq!(ended.code, Some(1));
    for expected in ["✗ missing.pem cannot be read", "✗ no-cert.pem holds no certificate"] {
        assert!(ended.stdout.contains(expected), "{expected:?} in\n{}", ended.stdout);
    }
}

fn set_mode(folder: &Path, name: &str, mode: u32) {
    fs::set_permissions(folder.join(name), Permissions::from_mode(mode)).expect("changed");
}

/// The findings about a file, whether or not it is usable.
fn checked(folder: &Path, arguments: &[&str]) -> String {
    run(folder, &[&["check"], arguments].concat()).stdout
}

#[test]
fn neither_of_two_missing_files_hides_the_other() {
    let folder = folder();
    let reported = checked(folder.path(), &["missing.pem", "--key", "other.pem"]);
    for expected in ["✗ missing.pem cannot be read", "✗ other.pem cannot be read"] {
        assert!(reported.contains(expected), "{expected:?} in\n{reported}");
    }
}

#[test]
fn an_unreadable_passphrase_matters_only_for_an_encrypted_key() {
    let folder = folder();
    let certificate = pem(&TestCertificate::new("site", key()).make());
    file(folder.path(), "plain.pem", &[&key_pem(key()), &certificate]);
    let encrypted = key().private_key_to_pem_pkcs8_passphrase(openssl::symm::Cipher::aes_256_cbc(), b"open sesame");
    file(
        folder.path(),
        "encrypted.pem",
        &[&certificate, &encrypted.expect("PEM")],
    );
    fs::write(
        folder.path().join("blog.toml"),
        "[client]\nkey_passphrase_file = \"missing.txt\"\n",
    )
    .expect("written");
    assert!(!cert(folder.path(), &["check", "plain.pem"]).contains("missing.txt"));
    cert(folder.path(), &["thumbprint", "plain.pem"]);
    cert(folder.path(), &["thumbprint", "encrypted.pem"]);
    let reported = checked(folder.path(), &["encrypted.pem"]);
    assert!(
        reported.contains("✗ missing.txt cannot be read") && reported.contains("valid, but expires"),
        "{reported}"
    );
}

#[test]
fn the_key_strength_is_checked_with_and_without_the_key() {
    let folder = folder();
    let weak = rsa_key(1024);
    let certificate = pem(&TestCertificate::new("site", &weak).make());
    file(folder.path(), "cert.pem", &[&certificate]);
    file(folder.path(), "both.pem", &[&certificate, &key_pem(&weak)]);
    for name in ["cert.pem", "both.pem"] {
        let reported = checked(folder.path(), &[name]);
        assert_eq!(
            reported.matches("has 1024 bits; at least 2048 are required").count(),
            1,
            "{reported}"
        );
    }
}

#[test]
fn weak_digests_are_found_in_every_kind_of_signature() {
    let folder = folder();
    file(folder.path(), "site.key", &[&key_pem(key())]);
    for (digest, padding, expected) in [
        ("-sha1", "pkcs1", true),
        ("-sha1", "pss", true),
        ("-sha256", "pkcs1", false),
        ("-sha256", "pss", false),
        ("-sha384", "pss", false),
    ] {
        let padding = format!("rsa_padding_mode:{padding}");
        openssl(
            folder.path(),
            &[
                "req", "-x509", "-key", "site.key", "-subj", "/CN=site", "-sigopt", &padding, digest, "-out",
                "site.pem",
            ],
        );
        let reported = checked(folder.path(), &["site.pem", "--key", "site.key"]);
        assert_eq!(
            reported.contains("signed with SHA-1, which is no longer secure"),
            expected,
            "{digest} {padding}: {reported}"
        );
        assert!(
            reported.contains("CN=site is the certificate of its private key"),
            "{reported}"
        );
    }
}

#[test]
fn a_chain_in_another_order_is_accepted_and_reported() {
    let folder = folder();
    let root_key = &keys()[1].key;
    let root = TestCertificate::new("root", root_key).make();
    let leaf = pem(&TestCertificate {
        issuer: Some((&root, root_key)),
        ..TestCertificate::new("site", key())
    }
    .make());
    let root = pem(&root);
    file(folder.path(), "ordered.pem", &[&key_pem(key()), &leaf, &root]);
    file(folder.path(), "turned.pem", &[&key_pem(key()), &root, &leaf]);
    assert!(cert(folder.path(), &["check", "ordered.pem"]).contains("✓ the chain of 2 certificates is complete"));
    let reported = cert(folder.path(), &["check", "turned.pem"]);
    assert!(
        reported.contains("! turned.pem does not have the certificate first and its issuers after it"),
        "{reported}"
    );
    assert!(reported.contains("✓ CN=site is the certificate"), "{reported}");
}

#[test]
fn of_two_certificates_for_one_key_the_later_expiry_counts() {
    let folder = folder();
    let [expired, renewed] = [(-400, -3), (-1, 90)].map(|valid| {
        pem(&TestCertificate {
            valid,
            ..TestCertificate::new("site", key())
        }
        .make())
    });
    for (name, parts) in [
        ("appended.pem", [&expired, &renewed]),
        ("put-first.pem", [&renewed, &expired]),
    ] {
        file(folder.path(), name, &[&key_pem(key()), parts[0], parts[1]]);
        let reported = cert(folder.path(), &["check", name]);
        assert!(
            reported.contains("✓ valid; expires") && !reported.contains("chain of 2"),
            "{reported}"
        );
        assert!(
            reported.contains("contains 1 more certificate, which is not part of its chain"),
            "{reported}"
        );
    }
}

#[test]
fn file_modes_are_reported_for_files_with_a_key() {
    let folder = folder();
    let certificate = pem(&TestCertificate::new("site", key()).make());
    file(folder.path(), "client.pem", &[&key_pem(key()), &certificate]);
    for (mode, expected) in [
        (0o600, "✓ the key's file has mode 0600"),
        (0o640, "✓ the key's file has mode 0640"),
        (0o660, "! the file's group may replace the private key"),
        (0o644, "! every user of this machine may read the private key"),
        (0o602, "! every user of this machine may replace the private key"),
        (
            0o666,
            "! every user of this machine may read or replace the private key",
        ),
    ] {
        set_mode(folder.path(), "client.pem", mode);
        let reported = cert(folder.path(), &["check", "client.pem"]);
        assert!(reported.contains(expected), "{expected:?} in\n{reported}");
    }
    file(folder.path(), "cert.pem", &[&certificate]);
    file(folder.path(), "empty.pem", &[]);
    for name in ["cert.pem", "empty.pem"] {
        set_mode(folder.path(), name, 0o644);
        let reported = checked(folder.path(), &[name]);
        assert!(
            !reported.contains("the private key in") && !reported.contains("chmod"),
            "there is none: {reported}"
        );
    }
    assert!(
        checked(folder.path(), &["cert.pem"]).contains("or --key of blogctl cert check"),
        "the option is named"
    );
}

#[test]
fn a_certificate_expires_soon_from_the_first_configured_warning() {
    let folder = folder();
    let certificate = pem(&TestCertificate {
        valid: (-1, 40),
        ..TestCertificate::new("site", key())
    }
    .make());
    file(folder.path(), "client.pem", &[&key_pem(key()), &certificate]);
    assert!(cert(folder.path(), &["check", "client.pem"]).contains("✓ valid; expires"));
    fs::write(
        folder.path().join("blog.toml"),
        "[client]\ncert_path = \"client.pem\"\nexpiry_warning_days = [60, 7]\n",
    )
    .expect("written");
    for arguments in [&["check"][..], &["check", "client.pem"]] {
        assert!(cert(folder.path(), arguments).contains("! valid, but expires in 39 days"));
    }
}

#[test]
fn a_certificate_that_has_just_expired_has_expired() {
    let folder = folder();
    let certificate = pem(&TestCertificate {
        valid: (-9, 0),
        ..TestCertificate::new("site", key())
    }
    .make());
    file(folder.path(), "client.pem", &[&key_pem(key()), &certificate]);
    // Expired from the second after its last one.
    crate::support::entra::wait_until("it has expired", || {
        let reported = cert(folder.path(), &["thumbprint", "client.pem"]);
        reported.contains("(expired less than a day ago)")
    });
    let reported = checked(folder.path(), &["client.pem"]);
    assert!(
        reported.contains("✗ certificate client.pem expired less than a day ago"),
        "{reported}"
    );
    assert!(reported.contains("blogctl cert renew"), "{reported}");
}

#[test]
fn a_pipe_or_a_huge_file_is_not_read() {
    let folder = folder();
    assert!(
        Command::new("mkfifo")
            .arg(folder.path().join("pipe.pem"))
            .status()
            .expect("mkfifo")
            .success()
    );
    let huge = fs::File::create(folder.path().join("huge.pem")).expect("made");
    huge.set_len(1 << 40).expect("it has holes");
    for (name, expected) in [
        ("pipe.pem", "pipe.pem is not a file"),
        ("/dev/zero", "/dev/zero is not a file"),
        (".", ". is not a file"),
        ("huge.pem", "huge.pem is larger than 1 MiB"),
    ] {
        for command in ["check", "thumbprint"] {
            let ended = run(folder.path(), &[command, name]);
            assert_eq!(ended.code, Some(1), "{name}");
            let reported = [ended.stdout, ended.stderr].concat();
            assert!(reported.contains(expected) && reported.contains("hint: "), "{reported}");
        }
    }
}
