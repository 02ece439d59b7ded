//! Keys and certificates as vaults, pipelines, editors and shells pass them on: they are read, or the problem is named. No
//! input causes a panic.

use std::{fs, path::Path, process::Command, sync::LazyLock};

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use blogctl::{
    certificate::{CertificateError, ClientCertificate, Inspection, certificates_from_settings},
    config::CertificateSettings,
};
use chrono::Utc;
use openssl::{
    ec::{EcGroup, EcKey},
    nid::Nid,
    pkcs12::Pkcs12,
    pkey::{PKey, Private},
    symm::Cipher,
    x509::X509,
};
use proptest::prelude::*;
use secrecy::SecretString;

use crate::support::{
    binary::{CommandOutput, blogctl},
    certificates::{TestCertificate, file, key_pem, pem, settings},
    entra::keys,
};

const PASSPHRASE: &str = "open sesame";

fn key() -> &'static PKey<Private> {
    &keys()[0].key
}

static CERTIFICATE: LazyLock<X509> = LazyLock::new(|| TestCertificate::new("site", key()).make());

fn pem_text() -> String {
    String::from_utf8([pem(&CERTIFICATE), key_pem(key())].concat()).expect("text")
}

fn pfx(passphrase: &str) -> Vec<u8> {
    let mut builder = Pkcs12::builder();
    builder.pkey(key()).cert(&CERTIFICATE);
    builder.build2(passphrase).expect("a PFX").to_der().expect("DER")
}

fn utf16(text: &str, bytes_of: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes_of).collect()
}

/// The same content in each encoding.
fn forms_of_text(text: &str) -> Vec<(&'static str, Vec<u8>)> {
    let (le, be) = (utf16(text, u16::to_le_bytes), utf16(text, u16::to_be_bytes));
    vec![
        ("as it is", text.into()),
        ("byte-order mark", format!("\u{feff}{text}").into()),
        ("UTF-16 LE", [&[0xFF, 0xFE][..], &le].concat()),
        ("UTF-16 BE", [&[0xFE, 0xFF][..], &be].concat()),
        ("UTF-16 LE without mark", le),
        ("UTF-16 BE without mark", be),
        ("CRLF", text.replace('\n', "\r\n").into()),
        ("CR", text.replace('\n', "\r").into()),
        ("\\n", text.replace('\n', "\\n").into()),
        ("\\r\\n", text.replace('\n', "\\r\\n").into()),
        ("blanks", text.replace('\n', " ").into()),
        ("quotes", format!("\"{text}\"").into()),
        ("quotes and \\n", format!("'{}'", text.replace('\n', "\\n")).into()),
        ("indented", text.replace('\n', "\n    ").into()),
        ("trailing blanks", text.replace('\n', "  \n").into()),
        ("base64", STANDARD.encode(text).into()),
        ("base64 twice", STANDARD.encode(STANDARD.encode(text)).into()),
        (
            "base64 of CRLF with a mark",
            STANDARD
                .encode(format!("\u{feff}{}", text.replace('\n', "\r\n")))
                .into(),
        ),
        ("base64 in UTF-16", utf16(&STANDARD.encode(text), u16::to_le_bytes)),
    ]
}

fn forms_of_der(der: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let base64 = STANDARD.encode(der);
    let wrapped: Vec<&str> = base64
        .as_bytes()
        .chunks(76)
        .map(|line| std::str::from_utf8(line).expect("text"))
        .collect();
    vec![
        ("as it is", der.to_vec()),
        ("base64", base64.clone().into()),
        ("base64 with a line end", format!("{base64}\r\n").into()),
        ("base64 in lines", wrapped.join("\r\n").into()),
        ("base64 in lines, written", wrapped.join("\\n").into()),
        ("base64 with blanks", wrapped.join(" ").into()),
        ("base64url", URL_SAFE_NO_PAD.encode(der).into()),
        ("base64 in quotes", format!("\"{base64}\"").into()),
        ("base64 twice", STANDARD.encode(&base64).into()),
        (
            "base64 in UTF-16",
            utf16(&format!("\u{feff}{base64}"), u16::to_le_bytes),
        ),
        ("data URL", format!("data:application/x-pkcs12;base64,{base64}").into()),
        (
            "in a CERTIFICATE block",
            format!(
                "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
                wrapped.join("\n")
            )
            .into(),
        ),
        (
            "in a PKCS12 block",
            format!("-----BEGIN PKCS12-----\n{base64}\n-----END PKCS12-----\n").into(),
        ),
    ]
}

fn loads(settings: &CertificateSettings, form: &str) {
    let loaded = ClientCertificate::load(settings).unwrap_or_else(|error| panic!("{form}: {error}"));
    assert_eq!(loaded.details().subject, "CN=site", "{form}");
    assert_eq!(certificates_from_settings(settings).expect(form).len(), 1, "{form}");
}

#[test]
fn key_and_certificate_are_read_in_every_form_from_a_file_and_from_a_setting() {
    let folder = tempfile::tempdir().expect("a folder");
    let encrypted = key()
        .rsa()
        .expect("RSA")
        .private_key_to_pem_passphrase(Cipher::aes_128_cbc(), PASSPHRASE.as_bytes());
    let encrypted = [pem(&CERTIFICATE), encrypted.expect("PEM")].concat();
    let encrypted = String::from_utf8(encrypted).expect("text");
    let all = [
        forms_of_text(&pem_text()),
        forms_of_text(&encrypted),
        forms_of_der(&pfx(PASSPHRASE)),
    ]
    .concat();
    for (form, bytes) in all {
        let path = file(folder.path(), "client", &[&bytes]);
        let passphrase = Some(SecretString::from(PASSPHRASE));
        loads(
            &CertificateSettings {
                key_passphrase: passphrase.clone(),
                ..settings(&path)
            },
            form,
        );
        if let Ok(text) = String::from_utf8(bytes) {
            let base64 = Some(SecretString::from(text));
            loads(
                &CertificateSettings {
                    base64,
                    key_passphrase: passphrase,
                    ..CertificateSettings::default()
                },
                form,
            );
        }
    }
}

#[test]
fn a_separate_key_is_read_in_every_form() {
    let folder = tempfile::tempdir().expect("a folder");
    let certificate = file(folder.path(), "client-cert.pem", &[&pem(&CERTIFICATE)]);
    let text = String::from_utf8(key_pem(key())).expect("text");
    let pkcs1 = key().rsa().expect("RSA").private_key_to_der().expect("DER");
    let pkcs8 = key().private_key_to_pkcs8().expect("DER");
    let der: Vec<_> = [pkcs1, pkcs8, pfx(PASSPHRASE)]
        .iter()
        .flat_map(|der| forms_of_der(der))
        .collect();
    // A key in a CERTIFICATE block does not count as a key.
    let der = der.into_iter().filter(|(form, _)| !form.contains("block"));
    for (form, bytes) in forms_of_text(&text).into_iter().chain(der) {
        let key_path = Some(file(folder.path(), "client.key", &[&bytes]));
        let key_passphrase = Some(SecretString::from(PASSPHRASE));
        loads(
            &CertificateSettings {
                key_path,
                key_passphrase,
                ..settings(&certificate)
            },
            form,
        );
    }
}

#[test]
fn a_passphrase_file_is_read_in_every_encoding_and_binary_data_reported() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = file(folder.path(), "client.pfx", &[&pfx(PASSPHRASE)]);
    let with = |bytes: &[u8]| CertificateSettings {
        key_passphrase_file: Some(file(folder.path(), "passphrase.txt", &[bytes])),
        ..settings(&path)
    };
    let text = format!("{PASSPHRASE}\r\n");
    for (form, bytes) in [
        ("as it is", PASSPHRASE.as_bytes().to_vec()),
        ("CRLF", text.clone().into()),
        ("byte-order mark", format!("\u{feff}{text}").into()),
        ("UTF-16 LE", utf16(&format!("\u{feff}{text}"), u16::to_le_bytes)),
        ("UTF-16 BE", utf16(&format!("\u{feff}{text}"), u16::to_be_bytes)),
        ("UTF-16 LE without mark", utf16(&text, u16::to_le_bytes)),
        ("UTF-16 BE without mark", utf16(&text, u16::to_be_bytes)),
    ] {
        loads(&with(&bytes), form);
    }
    for bytes in [&b"open\0sesame"[..], b"caf\xe9", b"\0\0\0\0"] {
        let error = ClientCertificate::load(&with(bytes)).expect_err("no text");
        assert!(matches!(error, CertificateError::NotText { .. }), "{error}");
        assert!(error.hint().contains("UTF-8"), "{}", error.hint());
    }
    // A setting may also contain a null character.
    let null = CertificateSettings {
        key_passphrase: Some("open\0sesame".into()),
        ..settings(&path)
    };
    let error = ClientCertificate::load(&null).expect_err("wrong");
    assert!(matches!(error, CertificateError::PassphraseWrong { .. }), "{error}");
}

#[test]
fn of_two_certificates_for_one_key_the_valid_one_is_used() {
    let folder = tempfile::tempdir().expect("a folder");
    let dated = |valid| {
        TestCertificate {
            valid,
            ..TestCertificate::new("site", key())
        }
        .make()
    };
    let (old, current, next) = (dated((-400, -10)), dated((-30, 20)), dated((5, 370)));
    for order in [
        [&old, &current, &next],
        [&next, &old, &current],
        [&current, &next, &old],
    ] {
        let parts = order.map(pem);
        let path = file(
            folder.path(),
            "client.pem",
            &[&parts[0], &parts[1], &key_pem(key()), &parts[2]],
        );
        let loaded = ClientCertificate::load(&settings(&path)).expect("the valid one");
        assert_eq!(loaded.chain()[0], current.to_der().expect("DER"));
        let successor = loaded.successor().expect("the next one");
        assert!(successor.not_before > Utc::now());
        let expected_text = Inspection::new(&settings(&path), 30, Utc::now()).observations;
        let reported = expected_text
            .iter()
            .find(|one| one.seen.contains("the next certificate of the same key"))
            .expect("a warning");
        assert!(
            reported.seen.contains(&successor.thumbprints.sha1_hex()),
            "{}",
            reported.seen
        );
    }
    let path = file(folder.path(), "next.pem", &[&pem(&old), &pem(&next), &key_pem(key())]);
    let error = ClientCertificate::load(&settings(&path)).expect_err("none is valid");
    assert!(matches!(error, CertificateError::NotYetValid { .. }), "{error}");
}

#[test]
fn an_unsupported_key_type_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).expect("a curve");
    let elliptic = PKey::from_ec_key(EcKey::generate(&group).expect("a key")).expect("a key");
    let certificate = TestCertificate::new("site", &elliptic).make();
    let mut files = vec![(
        "EC",
        file(folder.path(), "ec.pem", &[&pem(&certificate), &key_pem(&elliptic)]),
    )];
    for (kind, algorithm) in [("RSA-PSS (id-RSASSA-PSS)", "rsa-pss"), ("Ed25519", "ed25519")] {
        let path = folder.path().join(format!("{algorithm}.pem"));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", algorithm, "-pkeyopt", "rsa_keygen_bits:2048"])
            .args(["-nodes", "-subj", "/CN=site", "-days", "30", "-keyout"])
            .arg(&path)
            .arg("-out")
            .arg(folder.path().join("cert.pem"))
            .output();
        let Ok(output) = made else { continue };
        let output = if output.status.success() {
            output
        } else {
            // Only RSA keys have a configurable length.
            let arguments = [
                "req", "-x509", "-newkey", algorithm, "-nodes", "-subj", "/CN=site", "-days", "30", "-keyout",
            ];
            let mut command = Command::new("openssl");
            command
                .args(arguments)
                .arg(&path)
                .arg("-out")
                .arg(folder.path().join("cert.pem"));
            command.output().expect("openssl")
        };
        assert!(output.status.success(), "{output:?}");
        let both = [
            fs::read(&path).expect("a key"),
            fs::read(folder.path().join("cert.pem")).expect("a certificate"),
        ];
        files.push((
            kind,
            file(folder.path(), &format!("{algorithm}-both.pem"), &[&both[0], &both[1]]),
        ));
    }
    for (kind, path) in files {
        let error = ClientCertificate::load(&settings(&path)).expect_err(kind);
        assert!(error.to_string().contains(&format!("is {kind}, not RSA")), "{error}");
        assert!(error.hint().contains("RSA"), "{}", error.hint());
        let expected_text = Inspection::new(&settings(&path), 30, Utc::now()).observations;
        assert!(
            expected_text.iter().any(|one| one.seen.contains(kind)),
            "{expected_text:?}"
        );
    }
}

#[test]
fn the_right_passphrase_is_not_called_wrong_where_openssl_lacks_the_cipher() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    fs::write(path("both.pem"), pem_text()).expect("written");
    fs::write(path("cert.pem"), pem(&CERTIFICATE)).expect("written");
    fs::write(path("passphrase"), PASSPHRASE).expect("written");
    let openssl = |arguments: &[&str]| {
        let output = Command::new("openssl")
            .args(arguments)
            .current_dir(folder.path())
            .output();
        output.is_ok_and(|output| output.status.success())
    };
    let legacy = ["-provider", "legacy", "-provider", "default"];
    let des = [
        "pkcs8",
        "-topk8",
        "-in",
        "both.pem",
        "-out",
        "des.key",
        "-v1",
        "PBE-MD5-DES",
        "-passout",
        "file:passphrase",
    ];
    let rc2 = [
        "pkcs12",
        "-export",
        "-legacy",
        "-in",
        "both.pem",
        "-out",
        "rc2.pfx",
        "-passout",
        "file:passphrase",
    ];
    if !openssl(&[&des[..], &legacy].concat()) || !openssl(&rc2) {
        // The openssl program lacks these ciphers, so there is nothing to test.
        return;
    }
    let check = |file: &[&str], has_legacy: bool, passphrase: &str| {
        let mut command = blogctl(folder.path());
        command
            .args(["cert", "check"])
            .args(file)
            .env("BLOG_CLIENT__KEY_PASSPHRASE", passphrase);
        if !has_legacy {
            command.env("OPENSSL_MODULES", folder.path());
        }
        CommandOutput::from_command(&mut command).stdout
    };
    for file in [&["rc2.pfx"][..], &["cert.pem", "--key", "des.key"]] {
        let reported = check(file, true, PASSPHRASE);
        assert!(
            reported.contains("is the certificate of its private key"),
            "{file:?}: {reported}"
        );
        let reported = check(file, true, "wrong");
        assert!(
            reported.contains("the passphrase does not open"),
            "{file:?}: {reported}"
        );
        let reported = check(file, false, PASSPHRASE);
        assert!(
            !reported.contains("the passphrase does not open") && reported.contains("legacy"),
            "{file:?}: {reported}"
        );
    }
}

fn load_all(folder: &Path, bytes: &[u8]) {
    let path = file(folder, "any", &[bytes]);
    let certificate = file(folder, "certificate", &[&pem(&CERTIFICATE)]);
    let text = SecretString::from(String::from_utf8_lossy(bytes).into_owned());
    let passphrase = Some(SecretString::from(PASSPHRASE));
    for settings in [
        CertificateSettings {
            key_passphrase: passphrase.clone(),
            ..settings(&path)
        },
        CertificateSettings {
            key_path: Some(path.clone()),
            key_passphrase: passphrase.clone(),
            ..settings(&certificate)
        },
        CertificateSettings {
            key_passphrase_file: Some(path.clone()),
            ..settings(&file(folder, "pfx", &[&pfx(PASSPHRASE)]))
        },
        CertificateSettings {
            base64: Some(text.clone()),
            key_passphrase: passphrase.clone(),
            ..CertificateSettings::default()
        },
        CertificateSettings {
            key_base64: Some(text.clone()),
            key_passphrase: passphrase,
            ..settings(&certificate)
        },
        CertificateSettings {
            thumbprint: Some(String::from_utf8_lossy(bytes).into_owned()),
            ..settings(&certificate)
        },
    ] {
        if let Err(error) = ClientCertificate::load(&settings) {
            assert!(!error.to_string().is_empty() && !error.hint().is_empty());
        }
        Inspection::new(&settings, 30, Utc::now());
    }
}

/// Valid content with one changed part.
fn mutated() -> impl Strategy<Value = Vec<u8>> {
    let content = prop::sample::select(vec![
        pem_text().into_bytes(),
        pfx(PASSPHRASE),
        STANDARD.encode(pfx(PASSPHRASE)).into_bytes(),
        CERTIFICATE.to_der().expect("DER"),
        utf16(&pem_text(), u16::to_le_bytes),
    ]);
    (
        content,
        any::<prop::sample::Index>(),
        prop::collection::vec(any::<u8>(), 0..8),
        0_usize..40,
    )
        .prop_map(|(mut content, at, put, taken)| {
            let from = at.index(content.len());
            let to = (from + taken).min(content.len());
            content.splice(from..to, put);
            content
        })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let folder = tempfile::tempdir().expect("a folder");
        load_all(folder.path(), &bytes);
    }

    #[test]
    fn no_changed_file_makes_it_panic(bytes in mutated()) {
        let folder = tempfile::tempdir().expect("a folder");
        load_all(folder.path(), &bytes);
    }
}
