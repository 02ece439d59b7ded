//! `blogctl cert`: the real binary, compared with the `openssl` program.

mod check;
mod files;

use std::{fs, path::Path, process::Command};

use openssl::pkey::{PKey, Private};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{
    binary::{CommandOutput, blogctl},
    certificates::{TestCertificate, file, key_pem, pem},
    entra::keys,
};

fn key() -> &'static PKey<Private> {
    &keys()[0].key
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// Runs `blogctl cert …` in `folder`, and returns its output.
fn cert(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    assert_eq!(output.code, Some(0), "{arguments:?}: {}", output.stderr);
    output.stdout
}

fn run(folder: &Path, arguments: &[&str]) -> CommandOutput {
    CommandOutput::run(folder, &[&["cert"], arguments].concat())
}

/// The output of `openssl x509 -fingerprint`, without colons.
fn fingerprint(path: &Path, digest: &str) -> String {
    let output = Command::new("openssl")
        .args(["x509", "-noout", "-fingerprint", digest, "-in"])
        .arg(path)
        .output();
    let output = output.expect("the openssl program");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let line = String::from_utf8(output.stdout).expect("text");
    line.trim().split_once('=').expect("NAME=HEX").1.replace(':', "")
}

#[test]
fn thumbprints_match_openssl() {
    let folder = folder();
    let certificate = TestCertificate::new("site", key()).make();
    file(folder.path(), "cert.pem", &[&pem(&certificate)]);
    file(folder.path(), "cert.der", &[&certificate.to_der().expect("DER")]);
    file(folder.path(), "client.pem", &[&key_pem(key()), &pem(&certificate)]);
    for name in ["cert.pem", "cert.der", "client.pem"] {
        let path = folder.path().join(name);
        let (sha1, sha256) = (fingerprint(&path, "-sha1"), fingerprint(&path, "-sha256"));
        assert_eq!((sha1.len(), sha256.len()), (40, 64));
        assert_eq!(
            cert(folder.path(), &["thumbprint", "--format", "sha1-hex", name]).trim_end(),
            sha1
        );
        assert_eq!(
            cert(folder.path(), &["thumbprint", "--format", "sha256-hex", name]).trim_end(),
            sha256
        );
        let text = cert(folder.path(), &["thumbprint", name]);
        assert!(text.contains(&sha1) && text.contains(&sha256), "{text}");
    }
}

#[test]
fn all_base64_notations_encode_the_same_bytes() {
    let folder = folder();
    let path = file(
        folder.path(),
        "cert.pem",
        &[&pem(&TestCertificate::new("site", key()).make())],
    );
    let json: Value = serde_json::from_str(&cert(folder.path(), &["thumbprint", "--json", "cert.pem"])).expect("JSON");
    let bytes = |digest| hex::decode(fingerprint(&path, digest)).expect("hex");
    let base64 = |digest| openssl::base64::encode_block(&bytes(digest));
    let base64url = |digest| base64(digest).replace('+', "-").replace('/', "_").replace('=', "");
    assert_eq!(json[0]["x5t"], base64url("-sha1"));
    assert_eq!(json[0]["x5t#S256"], base64url("-sha256"));
    assert_eq!(json[0]["customKeyIdentifier"], base64("-sha1"));
    for (format, member) in [("x5t", "x5t"), ("x5t-s256", "x5t#S256")] {
        let line = cert(folder.path(), &["thumbprint", "--format", format, "cert.pem"]);
        assert_eq!(Some(line.trim_end()), json[0][member].as_str());
    }
}

#[test]
fn each_certificate_of_a_chain_and_of_several_files_is_shown_with_its_subject() {
    let folder = folder();
    let root_key = &keys()[1].key;
    let root = TestCertificate::new("root", root_key).make();
    let leaf = TestCertificate {
        issuer: Some((&root, root_key)),
        ..TestCertificate::new("site", key())
    }
    .make();
    file(folder.path(), "chain.pem", &[&pem(&leaf), &key_pem(key()), &pem(&root)]);
    file(
        folder.path(),
        "other.pem",
        &[&pem(&TestCertificate::new("other", key()).make())],
    );
    let json = cert(folder.path(), &["thumbprint", "--json", "chain.pem", "other.pem"]);
    let json: Value = serde_json::from_str(&json).expect("JSON");
    let subjects: Vec<_> = json
        .as_array()
        .expect("an array")
        .iter()
        .map(|found| found["subject"].as_str())
        .collect();
    assert_eq!(subjects, [Some("CN=site"), Some("CN=root"), Some("CN=other")]);
    assert_eq!(json[0]["issuer"], "CN=root");
    assert_eq!(
        (json[0]["key_type"].as_str(), json[0]["key_bits"].as_u64()),
        (Some("RSA"), Some(2048))
    );
    assert_eq!(json[0]["days_left"], 29);
    let lines = cert(
        folder.path(),
        &["thumbprint", "--format", "x5t", "chain.pem", "other.pem"],
    );
    assert_eq!(lines.lines().count(), 3);
}

#[test]
fn without_a_file_the_configured_certificate_is_shown() {
    let folder = folder();
    file(
        folder.path(),
        "site.pem",
        &[&key_pem(key()), &pem(&TestCertificate::new("site", key()).make())],
    );
    fs::write(folder.path().join("blog.toml"), "[client]\ncert_path = \"site.pem\"\n").expect("written");
    let shown = cert(folder.path(), &["thumbprint", "--format", "sha1-hex"]);
    assert_eq!(
        shown,
        cert(folder.path(), &["thumbprint", "--format", "sha1-hex", "site.pem"])
    );
}

#[test]
fn no_private_key_is_ever_printed() {
    let folder = folder();
    file(
        folder.path(),
        "client.pem",
        &[&key_pem(key()), &pem(&TestCertificate::new("site", key()).make())],
    );
    let pem = String::from_utf8(key_pem(key())).expect("text");
    let secret = pem.lines().nth(1).expect("a line of base64");
    for arguments in [
        &["thumbprint", "client.pem"][..],
        &["thumbprint", "--json", "client.pem"],
        &["check", "client.pem"],
    ] {
        assert!(!cert(folder.path(), arguments).contains(secret), "{arguments:?}");
    }
}

#[test]
fn an_invalid_file_fails_with_its_name_and_a_hint() {
    let folder = folder();
    file(
        folder.path(),
        "good.pem",
        &[&pem(&TestCertificate::new("site", key()).make())],
    );
    file(folder.path(), "bad.pem", &[b"hello"]);
    for bad in ["bad.pem", "missing.pem"] {
        let output = run(folder.path(), &["thumbprint", "good.pem", bad]);
        assert_eq!(output.code, Some(1));
        assert!(
            output.stderr.contains(&format!("error: {bad} ")) && output.stderr.contains("hint: "),
            "{}",
            output.stderr
        );
        assert_eq!(output.stdout, "");
    }
}

#[test]
fn openssl_and_the_check_accept_a_new_certificate() {
    let folder = folder();
    let shown = cert(
        folder.path(),
        &[
            "new", "--cn", "my blog", "--days", "90", "--out", "keys", "--name", "site",
        ],
    );
    let (combined, certificate) = (
        folder.path().join("keys/site.pem"),
        folder.path().join("keys/site-cert.pem"),
    );
    for expected in [
        "keys/site.pem",
        "keys/site-cert.pem",
        &fingerprint(&certificate, "-sha1"),
        "CN=my blog",
        "Upload",
    ] {
        assert!(shown.contains(expected), "{expected:?} in\n{shown}");
    }
    let openssl = |arguments: &[&str], path: &Path| {
        let output = Command::new("openssl")
            .args(arguments)
            .arg(path)
            .output()
            .expect("the openssl program");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("text")
    };
    let of_key = openssl(&["pkey", "-pubout", "-in"], &combined);
    assert_eq!(openssl(&["x509", "-noout", "-pubkey", "-in"], &certificate), of_key);
    let text = openssl(&["x509", "-noout", "-text", "-in"], &certificate);
    for expected in [
        "Version: 3",
        "CA:FALSE",
        "Digital Signature",
        "sha256WithRSAEncryption",
        "2048 bit",
    ] {
        assert!(text.contains(expected), "{expected:?} in\n{text}");
    }
    let checked = cert(folder.path(), &["check", "keys/site.pem"]);
    assert!(checked.contains("✓") && !checked.contains("✗"), "{checked}");
}

#[test]
fn an_existing_key_is_replaced_by_force_only() {
    let folder = folder();
    cert(folder.path(), &["new"]);
    let path = folder.path().join("cert/client.pem");
    let before = fs::read(&path).expect("written");
    let rejected = run(folder.path(), &["new"]);
    assert_eq!(rejected.code, Some(1));
    assert!(
        rejected.stderr.contains("cert/client.pem exists already") && rejected.stderr.contains("--force"),
        "{}",
        rejected.stderr
    );
    assert_eq!(fs::read(&path).expect("there"), before);
    cert(folder.path(), &["new", "--force"]);
    assert_ne!(fs::read(&path).expect("there"), before);
}

/// The output of `openssl ARGUMENTS PATH`.
fn openssl(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("openssl")
        .current_dir(folder)
        .args(arguments)
        .output()
        .expect("the openssl program");
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn alternative_names_of_every_kind_appear_in_certificate_and_request() {
    let folder = folder();
    let names = [
        "blog.example.com",
        "192.0.2.7",
        "https://blog.example.com/",
        "ops@example.com",
    ];
    let sans: Vec<_> = names.iter().flat_map(|name| ["--san", name]).collect();
    cert(folder.path(), &[&["new"][..], &sans].concat());
    cert(folder.path(), &[&["new", "--csr"][..], &sans].concat());
    let certificate = openssl(
        folder.path(),
        &["x509", "-noout", "-text", "-in", "cert/client-cert.pem"],
    );
    let request = openssl(
        folder.path(),
        &["req", "-noout", "-text", "-verify", "-in", "cert/client.csr"],
    );
    for text in [certificate, request] {
        for expected in [
            "DNS:blog.example.com",
            "IP Address:192.0.2.7",
            "URI:https://blog.example.com/",
            "email:ops@example.com",
            "TLS Web Client Authentication",
        ] {
            assert!(text.contains(expected), "{expected:?} in\n{text}");
        }
    }
    for bad in ["a b", "blog.example.com,DNS:evil.example"] {
        assert_eq!(
            run(folder.path(), &["new", "--force", "--san", bad]).code,
            Some(2),
            "{bad:?}"
        );
    }
}

#[test]
fn the_check_accepts_a_signed_request_with_its_key() {
    let folder = folder();
    let shown = cert(
        folder.path(),
        &["new", "--csr", "--cn", "blog.example.com", "--bits", "3072"],
    );
    for expected in ["cert/client-key.pem", "cert/client.csr", "authority"] {
        assert!(shown.contains(expected), "{expected:?} in\n{shown}");
    }
    openssl(
        folder.path(),
        &[
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-noenc",
            "-subj",
            "/CN=authority",
            "-keyout",
            "ca.key",
            "-out",
            "ca.pem",
        ],
    );
    openssl(
        folder.path(),
        &[
            "x509",
            "-req",
            "-in",
            "cert/client.csr",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-days",
            "9",
            "-out",
            "signed.pem",
        ],
    );
    let checked = cert(folder.path(), &["check", "signed.pem", "--key", "cert/client-key.pem"]);
    assert!(checked.contains("3072"), "{checked}");
    let rejected = run(folder.path(), &["new", "--csr"]);
    assert_eq!(rejected.code, Some(1));
    assert!(
        rejected.stderr.contains("cert/client-key.pem exists already"),
        "{}",
        rejected.stderr
    );
}

#[test]
fn a_pfx_file_opens_with_its_passphrase_and_hides_its_key() {
    let folder = folder();
    fs::write(folder.path().join("passphrase.txt"), "open sesame\nnot this\n").expect("written");
    cert(folder.path(), &["new", "--pfx", "--passphrase-file", "passphrase.txt"]);
    let opened = openssl(
        folder.path(),
        &[
            "pkcs12",
            "-in",
            "cert/client.pfx",
            "-passin",
            "pass:open sesame",
            "-nodes",
            "-info",
        ],
    );
    assert!(
        opened.contains("PRIVATE KEY") && opened.contains("CERTIFICATE"),
        "{opened}"
    );
    let pem = fs::read_to_string(folder.path().join("cert/client.pem")).expect("text");
    assert!(
        pem.contains("BEGIN ENCRYPTED PRIVATE KEY") && !pem.contains("BEGIN PRIVATE KEY"),
        "{pem}"
    );
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(folder.path().join("cert/client.pfx"))
            .expect("there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn a_pfx_file_without_a_passphrase_is_wrong_usage_and_an_empty_one_fails() {
    let folder = folder();
    assert_eq!(run(folder.path(), &["new", "--pfx"]).code, Some(2));
    fs::write(folder.path().join("empty.txt"), "\n").expect("written");
    let output = run(folder.path(), &["new", "--pfx", "--passphrase-file", "empty.txt"]);
    assert_eq!(output.code, Some(1));
    assert!(
        output.stderr.contains("the first line of empty.txt is empty"),
        "{}",
        output.stderr
    );
    assert!(!folder.path().join("cert").exists());
}

#[test]
fn unsupported_key_sizes_and_days_are_usage_errors() {
    let folder = folder();
    for arguments in [
        &["new", "--bits", "1024"][..],
        &["new", "--days", "0"],
        &["new", "--days", "3651"],
        &["new", "--csr", "--days", "9"],
        &["new", "--csr", "--pfx", "--passphrase-file", "-"],
    ] {
        assert_eq!(run(folder.path(), arguments).code, Some(2), "{arguments:?}");
    }
    assert!(!folder.path().join("cert").exists());
}

#[test]
fn every_file_format_has_the_same_thumbprint() {
    let folder = folder();
    let certificate = TestCertificate::new("site", key()).make();
    let combined = file(folder.path(), "client.pem", &[&key_pem(key()), &pem(&certificate)]);
    openssl(
        folder.path(),
        &[
            "pkcs12",
            "-export",
            "-in",
            "client.pem",
            "-out",
            "client.pfx",
            "-passout",
            "pass:open sesame",
        ],
    );
    let expected = cert(folder.path(), &["thumbprint", "--format", "sha1-hex", "client.pem"]);
    let with = |name: &str, value: &str, arguments: &[&str]| {
        let mut command = blogctl(folder.path());
        command
            .args(["cert", "thumbprint", "--format", "sha1-hex"])
            .args(arguments)
            .env(name, value);
        CommandOutput::from_command(&mut command)
    };
    let opened = with("BLOG_CLIENT__KEY_PASSPHRASE", "open sesame", &["client.pfx"]);
    assert_eq!((opened.code, &opened.stdout), (Some(0), &expected), "{}", opened.stderr);
    let base64 = openssl::base64::encode_block(&fs::read(combined).expect("a file"));
    let configured = with("BLOG_CLIENT__CERT_BASE64", &base64, &[]);
    assert_eq!(
        (configured.code, &configured.stdout),
        (Some(0), &expected),
        "{}",
        configured.stderr
    );
    let closed = run(folder.path(), &["thumbprint", "client.pfx"]);
    assert_eq!(closed.code, Some(1));
    assert!(closed.stderr.contains("no passphrase is set"), "{}", closed.stderr);
}
