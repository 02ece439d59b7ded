//! The certificate in every supported form: each signs in, and each error is explained.

use std::{fs, path::Path, process::Command};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use blogctl::{
    certificate::ClientCertificate,
    config::{CertificateSettings, Settings},
};
use secrecy::SecretString;

use crate::support::{
    system::{TestSystem, client_certificate},
    web::{ALICE, Browser},
};

const PASSPHRASE: &str = "open sesame";

/// A PFX file of the system's certificate, made by `openssl pkcs12` with these arguments.
fn pfx(folder: &Path, arguments: &[&str]) -> std::path::PathBuf {
    let combined = folder.join("combined.pem");
    fs::write(&combined, &client_certificate().1).expect("written");
    let path = folder.join("client.pfx");
    let ended = Command::new("openssl")
        .args(["pkcs12", "-export", "-passout", &format!("pass:{PASSPHRASE}"), "-in"])
        .arg(&combined)
        .arg("-out")
        .arg(&path)
        .args(arguments)
        .output()
        .expect("the openssl program");
    assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
    path
}

fn signs_in(change: impl FnOnce(&Path, &mut CertificateSettings)) {
    let system = TestSystem::with(|settings: &mut Settings| {
        let certificate = &mut settings.client.certificate;
        let folder = certificate
            .path
            .take()
            .expect("set")
            .parent()
            .expect("a folder")
            .to_owned();
        change(&folder, certificate);
    });
    let page = Browser::new().sign_in(&system, ALICE, "/posts");
    assert_eq!((page.status, page.url.path()), (200, "/posts"), "{}", page.body);
}

#[test]
fn a_pfx_file_signs_in() {
    signs_in(|folder, settings| {
        settings.path = Some(pfx(folder, &[]));
        settings.key_passphrase = Some(SecretString::from(PASSPHRASE));
    });
}

#[test]
fn a_legacy_pfx_file_signs_in() {
    signs_in(|folder, settings| {
        settings.path = Some(pfx(folder, &["-legacy"]));
        settings.key_passphrase = Some(SecretString::from(PASSPHRASE));
    });
}

#[test]
fn a_passphrase_file_opens_a_pfx_file() {
    signs_in(|folder, settings| {
        settings.path = Some(pfx(folder, &[]));
        fs::write(folder.join("passphrase"), format!("{PASSPHRASE}\n")).expect("written");
        settings.key_passphrase_file = Some(folder.join("passphrase"));
    });
}

#[test]
fn a_base64_setting_signs_in() {
    signs_in(|_, settings| settings.base64 = Some(SecretString::from(STANDARD.encode(&client_certificate().1))));
    signs_in(|folder, settings| {
        let encoded = STANDARD.encode(fs::read(pfx(folder, &[])).expect("a file"));
        // In lines, as the base64 program prints it.
        let lines: Vec<&str> = encoded
            .as_bytes()
            .chunks(76)
            .filter_map(|line| std::str::from_utf8(line).ok())
            .collect();
        settings.base64 = Some(SecretString::from(lines.join("\n")));
        settings.key_passphrase = Some(SecretString::from(PASSPHRASE));
    });
    // As in a Kubernetes secret: tls.crt and tls.key.
    signs_in(|_, settings| {
        let (certificate, combined) = client_certificate();
        let key = combined
            .find("-----BEGIN PRIVATE KEY-----")
            .map(|at| &combined[at..])
            .expect("a key");
        let secret = |text: &str| Some(SecretString::from(STANDARD.encode(text)));
        (settings.base64, settings.key_base64) = (secret(certificate), secret(key));
    });
}

#[test]
fn an_unusable_certificate_says_why() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = pfx(folder.path(), &[]);
    let with = |passphrase: Option<&str>| CertificateSettings {
        path: Some(path.clone()),
        key_passphrase: passphrase.map(SecretString::from),
        ..CertificateSettings::default()
    };
    let why = |settings: &CertificateSettings| {
        let error = ClientCertificate::load(settings).expect_err("it cannot be used");
        assert!(!error.hint().is_empty());
        error.to_string()
    };
    let shown = path.display();
    assert_eq!(
        why(&with(None)),
        format!("the private key in {shown} is encrypted, and no passphrase is set")
    );
    assert_eq!(
        why(&with(Some("wrong"))),
        format!("the passphrase does not open the private key in {shown}")
    );
    fs::write(&path, [&[0x30, 0x82][..], b"no PFX"].concat()).expect("written");
    assert_eq!(
        why(&with(Some(PASSPHRASE))),
        format!("{shown} is neither a PEM nor a PFX file")
    );

    let base64 = |text: &str| CertificateSettings {
        base64: Some(SecretString::from(text)),
        ..Default::default()
    };
    assert_eq!(why(&base64("not base64!")), "client.cert_base64 is not base64");
    assert_eq!(
        why(&base64("aGVsbG8=")),
        "client.cert_base64 is neither a PEM nor a PFX file"
    );
    let certificate_alone = STANDARD.encode(&client_certificate().0);
    assert_eq!(
        why(&base64(&certificate_alone)),
        "client.cert_base64 holds no private key"
    );
}
