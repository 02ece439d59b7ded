//! `blogctl cert renew`: creates the next certificate, and switches to it when Entra ID accepts it, while the site runs.

use std::{
    fs,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink},
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use blogctl::config::{DEV_API_ID, DEV_CLIENT_ID, DEV_TENANT_ID};

use crate::support::{
    binary::blogctl,
    certificates::{TestCertificate, file, key_pem, pem},
    entra::{keys, rsa_key, wait_until},
    idp::IdpControl,
    system::TestSystem,
    web::{ALICE, Browser},
};

fn renew(system: &TestSystem, folder: &Path, arguments: &[&str]) -> Command {
    let mut command = blogctl(folder);
    command
        .args(["cert", "renew"])
        .args(arguments)
        .env("BLOG_ENTRA__TENANT_ID", DEV_TENANT_ID)
        .env("BLOG_ENTRA__AUTHORITY_HOST", system.idp.url(""))
        .env("BLOG_CLIENT__CLIENT_ID", DEV_CLIENT_ID)
        .env("BLOG_CLIENT__CERT_PATH", "client.pem")
        .env("BLOG_CLIENT__API_SCOPE", format!("api://{DEV_API_ID}/access_as_user"));
    command
}

fn run(system: &TestSystem, arguments: &[&str]) -> (Option<i32>, String) {
    reported(
        &renew(system, system.folder.path(), arguments)
            .output()
            .expect("it runs"),
    )
}

fn reported(output: &Output) -> (Option<i32>, String) {
    let text = [&*output.stdout, &output.stderr].concat();
    (output.status.code(), String::from_utf8(text).expect("text"))
}

fn read(folder: &Path, name: &str) -> String {
    fs::read_to_string(folder.join(name)).expect(name)
}

fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<_> = entries.map(|name| name.into_string().expect("text")).collect();
    names.retain(|name| name.starts_with("client"));
    names.sort();
    names
}

fn used(control: &IdpControl) -> serde_json::Value {
    control.requests_to("/oauth2/v2.0/token").last().expect("a request")["assertion_header"]["x5t#S256"].clone()
}

#[test]
fn the_next_certificate_is_created_uploaded_accepted_and_used() {
    let system = TestSystem::start();
    let folder = system.folder.path();
    let control = IdpControl::new(&system.idp);
    let old = read(folder, "client.pem");
    let old_certificate = read(folder, "client-cert.pem");

    let (code, text) = run(&system, &[]);
    assert_eq!(code, Some(0), "{text}");
    assert!(
        text.contains("upload ./client.next-cert.pem") && text.contains("subject              CN=blogctl tests"),
        "{text}"
    );
    assert_eq!(
        files(folder),
        [
            "client-cert.pem",
            "client.next-cert.pem",
            "client.next.pem",
            "client.pem"
        ]
    );
    let mode = fs::metadata(folder.join("client.next.pem"))
        .expect("there")
        .permissions()
        .mode()
        & 0o777;
    assert_eq!(mode, 0o600);
    let next = read(folder, "client.next.pem");

    let (code, text) = run(&system, &[]);
    assert_eq!(code, Some(1), "{text}");
    assert!(
        text.contains("does not accept") && text.contains("AADSTS700027") && text.contains("Nothing has been changed"),
        "{text}"
    );
    assert_eq!(
        (read(folder, "client.pem"), read(folder, "client.next.pem")),
        (old.clone(), next.clone())
    );

    control.replace_certificates(
        DEV_CLIENT_ID,
        &[&old_certificate, &read(folder, "client.next-cert.pem")],
    );
    assert_eq!(Browser::new().sign_in(&system, ALICE, "/posts").status, 200);
    let before = used(&control);
    let (code, text) = run(&system, &[]);
    assert_eq!(code, Some(0), "{text}");
    assert_eq!(
        (read(folder, "client.pem"), read(folder, "client.previous.pem")),
        (next, old)
    );
    assert_eq!(files(folder), ["client-cert.pem", "client.pem", "client.previous.pem"]);
    wait_until("the site uses it", || {
        assert_eq!(
            Browser::new().sign_in(&system, ALICE, "/posts").status,
            200,
            "and no sign-in fails"
        );
        used(&control) != before
    });
}

#[test]
fn it_waits_until_entra_answers_and_accepts() {
    let system = TestSystem::start();
    let folder = system.folder.path();
    let old = read(folder, "client-cert.pem");
    let mut child = renew(&system, folder, &["--wait", "2", "--days", "40"]);
    let control = IdpControl::new(&system.idp);
    // Waiting includes network failures.
    control.down_at("/oauth2/v2.0/token");
    let child = child
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    wait_until("it has asked", || !control.requests_to("/oauth2/v2.0/token").is_empty());
    control.replace_certificates(DEV_CLIENT_ID, &[&old, &read(folder, "client.next-cert.pem")]);
    control.clear_faults();
    let (code, text) = reported(&child.wait_with_output().expect("it ends"));
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("Entra ID accepts the new certificate"), "{text}");
    let ends = openssl::x509::X509::from_pem(read(folder, "client-cert.pem").as_bytes()).expect("PEM");
    let days = openssl::asn1::Asn1Time::days_from_now(0)
        .expect("now")
        .diff(ends.not_after())
        .expect("a time")
        .days;
    assert!((39..=40).contains(&days), "{days}");
}

#[test]
fn an_interrupted_renewal_is_completed_by_the_next_run() {
    let system = TestSystem::start();
    let folder = system.folder.path();
    let control = IdpControl::new(&system.idp);
    let copy = |from: &str, to: &str| fs::write(folder.join(to), read(folder, from)).expect("written");
    let remove = |name: &str| fs::remove_file(folder.join(name)).expect("removed");
    let keep = || copy("client.pem", "client.previous.pem");
    let switch = || {
        keep();
        copy("client.next.pem", "client.pem");
    };
    let publish = || {
        switch();
        copy("client.next-cert.pem", "client-cert.pem");
    };
    let points: [(&str, &dyn Fn()); 6] = [
        ("the certificate was made, and the key was not", &|| {
            remove("client.next.pem");
            fs::write(folder.join("client.next-cert.pem"), "half of ").expect("written");
            let (code, text) = run(&system, &[]);
            assert_eq!(code, Some(0), "it begins anew: {text}");
        }),
        ("the certificate to upload is missing", &|| {
            remove("client.next-cert.pem");
        }),
        ("the old one was kept", &keep),
        ("the new one was put in place", &switch),
        ("its certificate, too", &publish),
        ("the first of the next ones was removed", &|| {
            publish();
            remove("client.next-cert.pem");
        }),
    ];
    for (point, end_there) in points {
        let old = read(folder, "client.pem");
        assert_eq!(run(&system, &[]).0, Some(0), "{point}");
        end_there();
        control.replace_certificates(DEV_CLIENT_ID, &[]);
        let (code, text) = run(&system, &[]);
        assert_eq!(code, Some(1), "{point}: {text}");
        let (next, certificate) = (read(folder, "client.next.pem"), read(folder, "client.next-cert.pem"));
        assert!(next.contains(&certificate), "{point}: what is uploaded is of the key");
        control.replace_certificates(DEV_CLIENT_ID, &[&certificate]);
        let (code, text) = run(&system, &[]);
        assert_eq!(code, Some(0), "{point}: {text}");
        assert_eq!(
            files(folder),
            ["client-cert.pem", "client.pem", "client.previous.pem"],
            "{point}"
        );
        assert_eq!(
            (read(folder, "client.pem"), read(folder, "client.previous.pem")),
            (next, old),
            "{point}"
        );
        assert_eq!(read(folder, "client-cert.pem"), certificate, "{point}");
    }
}

/// Creates the next certificate, registers it, and switches to it.
fn renew_at_once(system: &TestSystem) {
    let (code, text) = run(system, &[]);
    assert_eq!(code, Some(0), "{text}");
    let next = read(system.folder.path(), "client.next-cert.pem");
    IdpControl::new(&system.idp).replace_certificates(DEV_CLIENT_ID, &[&next]);
    let (code, text) = run(system, &[]);
    assert_eq!(code, Some(0), "{text}");
}

#[test]
fn the_new_file_keeps_owner_and_mode_of_the_old_one() {
    let system = TestSystem::start();
    let path = system.folder.path().join("client.pem");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("changed");
    // Only root may change the owner of a file.
    let is_given_away = chown(&path, Some(12_345), Some(23_456)).is_ok();
    let before = fs::metadata(&path).expect("there");
    renew_at_once(&system);
    let after = fs::metadata(&path).expect("there");
    assert_eq!(after.mode() & 0o7777, 0o640);
    assert_eq!(
        (after.uid(), after.gid()),
        (before.uid(), before.gid()),
        "given away: {is_given_away}"
    );
    assert_ne!(after.ino(), before.ino(), "it is another file");
}

#[test]
fn a_link_stays_and_its_target_is_renewed() {
    let system = TestSystem::start();
    let folder = system.folder.path();
    fs::create_dir(folder.join("keys")).expect("made");
    fs::rename(folder.join("client.pem"), folder.join("keys/site.pem")).expect("moved");
    symlink("keys/site.pem", folder.join("client.pem")).expect("linked");
    let old = read(folder, "client.pem");
    let (code, text) = run(&system, &[]);
    assert_eq!(code, Some(0), "{text}");
    IdpControl::new(&system.idp).replace_certificates(DEV_CLIENT_ID, &[&read(folder, "keys/site.next-cert.pem")]);
    let (code, text) = run(&system, &[]);
    assert_eq!(code, Some(0), "{text}");
    assert!(folder.join("client.pem").is_symlink());
    assert_ne!(read(folder, "client.pem"), old);
    assert_eq!(read(folder, "keys/site.previous.pem"), old);
}

#[test]
fn the_next_certificate_has_the_full_name_of_the_current_one() {
    let system = TestSystem::start();
    let folder = system.folder.path();
    let subject = "/C=DE/O=Contoso/OU=Web/CN=the blog";
    let made = Command::new("openssl")
        .current_dir(folder)
        .args([
            "req", "-x509", "-newkey", "rsa:3072", "-noenc", "-days", "20", "-subj", subject,
        ])
        .args([
            "-addext",
            "subjectAltName=DNS:blog.example.com,IP:192.0.2.7",
            "-keyout",
            "own.key",
            "-out",
            "own.pem",
        ])
        .output()
        .expect("the openssl program");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let stranger = pem(&TestCertificate::new("stranger", &keys()[1].key).make());
    file(
        folder,
        "client.pem",
        &[
            &stranger,
            read(folder, "own.pem").as_bytes(),
            read(folder, "own.key").as_bytes(),
        ],
    );
    let (code, text) = run(&system, &[]);
    assert_eq!(code, Some(0), "{text}");
    let parse = |name: &str| openssl::x509::X509::from_pem(read(folder, name).as_bytes()).expect("a certificate");
    let (own, next) = (parse("own.pem"), parse("client.next-cert.pem"));
    let der = |name: &openssl::x509::X509NameRef| name.to_der().expect("DER");
    assert_eq!(
        (der(next.subject_name()), der(next.issuer_name())),
        (der(own.subject_name()), der(own.subject_name()))
    );
    assert_eq!(next.subject_alt_names().expect("names").len(), 2);
    assert_eq!(next.public_key().expect("a key").bits(), 3072);
    assert!(
        text.contains(&format!("--id {DEV_CLIENT_ID} ")),
        "the command can be run as it is: {text}"
    );
}

#[test]
fn an_unsupported_renewal_names_the_alternative() {
    let system = TestSystem::start();
    let folder = tempfile::tempdir().expect("a folder");
    let (issuer_key, key) = (rsa_key(2048), &keys()[0].key);
    let authority = TestCertificate::new("Company CA", &issuer_key).make();
    let issued = TestCertificate {
        issuer: Some((&authority, &issuer_key)),
        ..TestCertificate::new("site", key)
    }
    .make();
    file(folder.path(), "client.pem", &[&key_pem(key), &pem(&issued)]);
    let told_with = |name: &str, value: &str, cert_path: &str| {
        let mut command = renew(&system, folder.path(), &[]);
        command.env("BLOG_CLIENT__CERT_PATH", cert_path).env(name, value);
        reported(&command.output().expect("it runs"))
    };
    file(folder.path(), "client.pfx", &[b"\x30\x82"]);
    for (name, value, cert_path, expected_text) in [
        ("BLOG_LOG__LEVEL", "info", "client.pem", "CN=Company CA issued it"),
        ("BLOG_CLIENT__KEY_PATH", "client.key", "client.pem", "are in two files"),
        (
            "BLOG_CLIENT__CERT_THUMBPRINT",
            &"A".repeat(40),
            "client.pem",
            "client.cert_thumbprint names the certificate",
        ),
        (
            "BLOG_CLIENT__CERT_BASE64",
            "AAAA",
            "",
            "client.cert_base64, which no command can change",
        ),
        ("BLOG_LOG__LEVEL", "info", "client.pfx", "is not a PEM file"),
        ("BLOG_LOG__LEVEL", "info", "missing.pem", "missing.pem cannot be read"),
        (
            "BLOG_CLIENT__CREDENTIAL",
            r#"[{"source":"workload_identity"}]"#,
            "",
            "no entry of client.credential is a file",
        ),
        ("BLOG_LOG__LEVEL", "info", "", "client.cert_path is not set"),
    ] {
        let (code, text) = told_with(name, value, cert_path);
        assert_eq!(code, Some(1), "{text}");
        assert!(
            text.contains(expected_text) && text.contains("hint:"),
            "{expected_text}: {text}"
        );
    }
    let left: Vec<PathBuf> = fs::read_dir(folder.path())
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    assert_eq!(left.len(), 2, "nothing was made: {left:?}");
}

#[test]
fn an_unusable_next_file_is_reported_and_kept() {
    let system = TestSystem::start();
    let folder = system.folder.path();
    fs::write(folder.join("client.next.pem"), "half a file").expect("written");
    let (code, text) = run(&system, &[]);
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("client.next.pem"), "{text}");
    assert_eq!(read(folder, "client.next.pem"), "half a file");
}
