//! `blogctl doctor` on certificates, keys, and lists of credentials.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    time::Duration,
};

use base64::{Engine as _, engine::general_purpose::STANDARD};

use super::{DoctorSetup, section};
use crate::support::{
    azure::{FakeAzure, registered},
    binary::CommandOutput,
    certificates::{TestCertificate, file, key_pem, pem},
};

#[test]
fn a_key_file_that_others_may_read_is_reported() {
    let setup = DoctorSetup::new();
    let path = setup.system.settings.client.certificate.path.clone().expect("set");
    fs::set_permissions(&path, Permissions::from_mode(0o644)).expect("a mode");
    let output = setup.doctor(&[]);
    assert_eq!(output.code, Some(0), "{output:?}");
    let reported = section(&output.stdout, " Certificate ");
    assert!(
        reported.contains("! Certificate") && reported.contains(&format!("chmod 600 {}", path.display())),
        "{reported}"
    );

    // Other users may read a certificate; its key is in another file.
    let both = fs::read_to_string(&path).expect("there");
    let (key, public) = split_pem(&both);
    let alone = setup.folder.path().join("public.pem");
    fs::write(&alone, public).expect("written");
    fs::set_permissions(&alone, Permissions::from_mode(0o644)).expect("a mode");
    let cert = format!("client.cert_path={}", alone.display());
    let reported = section(
        &setup.report(&[&cert, &format!("client.key_base64={}", STANDARD.encode(key))]),
        " Certificate ",
    );
    assert!(reported.contains('✓') && !reported.contains('!'), "{reported}");
}

/// The private key of a PEM text, and the rest of the text.
fn split_pem(both: &str) -> (String, String) {
    let parts: Vec<_> = both.split_inclusive("-----\n").collect();
    let blocks = parts.chunks(2).map(<[&str]>::concat);
    let (keys, rest): (Vec<_>, Vec<_>) = blocks.partition(|block| block.contains("PRIVATE KEY"));
    (keys.concat(), rest.concat())
}

#[test]
fn a_vault_that_hangs_blocks_no_other_entry() {
    let azure = FakeAzure::start();
    azure.put("blog-site", registered(false, false));
    let setup = DoctorSetup::new();
    let own = setup.system.settings.client.certificate.path.clone().expect("set");
    setup.set_credentials(&format!(
        "[[client.credential]]\nsource = \"key_vault_sign\"\nvault_url = \"{0}\"\ncertificate = \"blog-site\"\n\
         [[client.credential]]\nsource = \"file\"\ncert_path = \"{1}\"\n\
         [azure]\nimds_url = \"{0}\"\nidentity = \"managed\"\n",
        azure.server.url(""),
        own.display()
    ));
    azure.delay_responses(Duration::from_mins(10));
    let output = CommandOutput::run(setup.folder.path(), &["doctor", "--timeout", "2"]);
    let reported = section(&output.stdout, " Certificate ");
    assert!(
        output.code == Some(0) && reported.contains("! Certificate") && reported.contains("✓ Certificate"),
        "{output:?}"
    );
    assert_eq!(azure.requests_to("/certificates/").len(), 1, "once for all checks");
    assert!(
        section(&output.stdout, " Client assertion ").contains("is accepted"),
        "{output:?}"
    );
}

#[test]
fn each_entry_of_a_list_is_checked_and_one_that_is_accepted_is_enough() {
    let setup = DoctorSetup::new();
    let own = setup.system.settings.client.certificate.path.clone().expect("set");
    let folder = setup.folder.path();
    let key = crate::support::entra::rsa_key(2048);
    let stranger = pem(&TestCertificate::new("stranger", &key).make());
    file(folder, "stranger.pem", &[&stranger, &key_pem(&key)]);
    setup.set_credentials(&format!(
        "[[client.credential]]\nsource = \"file\"\ncert_path = \"stranger.pem\"\n[[client.credential]]\n\
         source = \"file\"\ncert_path = \"{}\"\n[[client.credential]]\nsource = \"workload_identity\"\n\
         token_file = \"missing\"\n",
        own.display()
    ));
    insta::assert_snapshot!("doctor_list_of_credentials", setup.report(&[]));
}

#[test]
fn entries_do_not_wait_for_each_other_while_entra_is_slow() {
    let setup = DoctorSetup::new();
    let own = setup.system.settings.client.certificate.path.clone().expect("set");
    let entry = format!(
        "[[client.credential]]\nsource = \"file\"\ncert_path = \"{}\"\n",
        own.display()
    );
    setup.set_credentials(&entry.repeat(5));
    setup.control().slow(Duration::from_millis(1200));
    let output = CommandOutput::run(setup.folder.path(), &["doctor", "--timeout", "2", "--role", "client"]);
    setup.control().clear_faults();
    let reported = section(&output.stdout, " Client assertion ");
    assert_eq!(reported.matches("is accepted").count(), 5, "{}", output.stdout);
}

#[test]
fn a_vault_that_does_not_sign_is_reported_with_the_missing_permission() {
    let azure = FakeAzure::start();
    azure.put("blog-site", registered(false, false));
    let setup = DoctorSetup::new();
    setup.set_credentials(&format!(
        "[[client.credential]]\nsource = \"key_vault_sign\"\nvault_url = \"{0}\"\ncertificate = \"blog-site\"\n\
         [azure]\nimds_url = \"{0}\"\nidentity = \"managed\"\n",
        azure.server.url("")
    ));
    let output = setup.doctor(&[]);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(
        section(&output.stdout, " Client assertion ").contains("accepts the certificate"),
        "{}",
        output.stdout
    );

    let forbidden = serde_json::json!({ "error": { "code": "Forbidden", "message": "not allowed" }});
    azure.fail("/keys/", 100, 403, forbidden);
    let output = setup.doctor(&[]);
    assert_eq!(output.code, Some(1), "{output:?}");
    let reported = section(&output.stdout, " Certificate ");
    assert!(
        reported.starts_with('✗') && reported.contains("answered 403 (Forbidden"),
        "{reported}"
    );
    assert!(
        reported.contains("keys/sign") && reported.contains("\"Key Vault Crypto User\""),
        "{reported}"
    );
}
