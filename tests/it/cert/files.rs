//! What `blogctl cert new` rejects before it writes, the next steps that it prints, and what has a thumbprint.

use std::fs;

use serde_json::json;

use super::{cert, folder, run};
use crate::support::{
    azure::{FakeAzure, VaultCertificate},
    binary::{CommandOutput, blogctl},
    certificates::{TestCertificate, file, pem},
    entra::keys,
};

#[test]
fn invalid_names_are_usage_errors_and_nothing_is_written() {
    let folder = folder();
    for arguments in [
        &["new", "--cn", ""][..],
        &["new", "--cn", &"x".repeat(65)],
        &["new", "--cn", "a\u{1b}[31mb"],
        &["new", "--name", "a/b"],
        &["new", "--name", "../a"],
        &["new", "--san", "10.0.0.256"],
        &["new", "--san", "blog.example.com:8080"],
    ] {
        let output = run(folder.path(), arguments);
        assert_eq!(output.code, Some(2), "{arguments:?}: {}", output.stderr);
    }
    assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

#[test]
fn a_start_up_job_creates_a_key_once_and_keeps_it() {
    let folder = folder();
    let new = |arguments: &[&str]| {
        run(
            folder.path(),
            &[&["new", "--out", "keys", "--keep"], arguments].concat(),
        )
    };
    let key = || fs::read(folder.path().join("keys/client.pem")).expect("a key");
    let first = new(&[]);
    assert_eq!(first.code, Some(0), "{}", first.stderr);
    let before = key();
    let second = new(&[]);
    assert_eq!(second.code, Some(0), "{}", second.stderr);
    assert!(second.stdout.starts_with("kept  keys/client.pem"), "{}", second.stdout);
    assert_eq!(key(), before);
    fs::remove_file(folder.path().join("keys/client-cert.pem")).expect("removed");
    let half = new(&[]);
    assert_eq!(half.code, Some(1), "{}", half.stdout);
    assert_eq!(key(), before, "half of the files is not replaced");
    assert_eq!(new(&["--force"]).code, Some(2));
}

#[test]
fn obstacles_are_reported_with_a_helpful_hint() {
    let folder = folder();
    fs::write(folder.path().join("file"), "").expect("written");
    fs::create_dir_all(folder.path().join("keys/client-cert.pem")).expect("made");
    for (arguments, expected_text, hint) in [
        (
            &["new", "--name", &"x".repeat(250)][..],
            "cannot be written",
            "choose a shorter --name",
        ),
        (
            &["new", "--out", "file"],
            "cannot be written",
            "choose a folder with --out",
        ),
        (
            &["new", "--out", "file/deeper"],
            "cannot be written",
            "choose a folder with --out",
        ),
        (
            &["new", "--out", "keys", "--force"],
            "is not a file",
            "choose another --name or --out",
        ),
    ] {
        let output = run(folder.path(), arguments);
        assert_eq!(output.code, Some(1), "{arguments:?}: {}", output.stderr);
        assert!(
            output.stderr.contains(expected_text) && output.stderr.contains(hint),
            "{arguments:?}: {}",
            output.stderr
        );
    }
}

#[test]
fn force_replaces_all_files_of_a_key_or_none() {
    let folder = folder();
    let read = |name: &str| fs::read(folder.path().join("cert").join(name)).expect("there");
    fs::write(folder.path().join("passphrase"), "open sesame").expect("written");
    let with_pfx = ["new", "--pfx", "--passphrase-file", "passphrase", "--force"];
    cert(folder.path(), &with_pfx);
    let (pem, pfx) = (read("client.pem"), read("client.pfx"));

    let rejected = run(folder.path(), &["new", "--force"]);
    assert_eq!(rejected.code, Some(1));
    assert!(
        rejected.stderr.contains("client.pfx exists already") && rejected.stderr.contains("--pfx"),
        "{}",
        rejected.stderr
    );
    assert_eq!(
        (read("client.pem"), read("client.pfx")),
        (pem.clone(), pfx.clone()),
        "the old key is there still"
    );

    fs::remove_file(folder.path().join("cert/client-cert.pem")).expect("removed");
    fs::create_dir(folder.path().join("cert/client-cert.pem")).expect("made");
    assert_eq!(run(folder.path(), &with_pfx).code, Some(1));
    assert_eq!(
        (read("client.pem"), read("client.pfx")),
        (pem.clone(), pfx.clone()),
        "nothing before everything can be"
    );

    fs::remove_dir(folder.path().join("cert/client-cert.pem")).expect("removed");
    cert(folder.path(), &with_pfx);
    assert!(read("client.pem") != pem && read("client.pfx") != pfx);
}

#[test]
fn the_steps_can_be_copied_into_a_shell() {
    let folder = folder();
    let reported = cert(folder.path(), &["new", "--name", "my site"]);
    assert!(
        reported.contains("az ad app credential reset --id CLIENT_ID --cert '@cert/my site-cert.pem' --append"),
        "{reported}"
    );
    let reported = cert(folder.path(), &["new", "--csr", "--name", "my site"]);
    for expected in [
        "blogctl cert check THE-CERTIFICATE.pem --key 'cert/my site-key.pem'",
        "Certificates & secrets > Certificates > Upload certificate",
        "--cert @THE-CERTIFICATE.pem --append",
    ] {
        assert!(reported.contains(expected), "{expected:?} in\n{reported}");
    }
}

#[test]
fn a_federated_token_has_no_thumbprint() {
    let folder = folder();
    fs::write(
        folder.path().join("blog.toml"),
        "[[client.credential]]\nsource = \"managed_identity\"\nclient_id = \"7d9c2f4e-1b3a-4c5d-8e6f-0a1b2c3d4e5f\"\n",
    )
    .expect("written");
    let output = run(folder.path(), &["thumbprint"]);
    assert_eq!(output.code, Some(1));
    assert!(
        output.stderr.contains("no entry of client.credential is a certificate"),
        "{}",
        output.stderr
    );
    assert!(!output.stderr.contains("cert_path"), "{}", output.stderr);
}

#[test]
fn the_thumbprint_of_a_key_that_stays_in_a_vault_is_that_of_its_certificate() {
    let azure = FakeAzure::start();
    let key = keys()[0].key.clone();
    let certificate = TestCertificate::new("site", &key).make();
    azure.put(
        "blog-site",
        VaultCertificate {
            certificate: certificate.clone(),
            key,
            exportable: false,
            as_pem: false,
        },
    );
    let folder = folder();
    let entry = json!([{ "source": "key_vault_sign", "vault_url": azure.server.url(""), "certificate": "blog-site" }]);
    let mut command = blogctl(folder.path());
    command
        .env("BLOG_CLIENT__CREDENTIAL", entry.to_string())
        .env("BLOG_AZURE__IMDS_URL", azure.server.url(""));
    let output = CommandOutput::from_command(command.args(["cert", "thumbprint", "--format", "sha256-hex"]));
    file(folder.path(), "cert.pem", &[&pem(&certificate)]);
    assert_eq!(
        output.stdout,
        cert(folder.path(), &["thumbprint", "--format", "sha256-hex", "cert.pem"]),
        "{output:?}"
    );
    assert!(
        azure.requests_to("/secrets/").is_empty(),
        "the key is not needed for that"
    );
}
