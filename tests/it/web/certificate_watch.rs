//! What a running site logs about its certificate's files, and how it notices new ones.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
};

use blogctl::config::{DEV_API_ID, DEV_CLIENT_ID, DEV_TENANT_ID};

use crate::support::{
    binary::{Running, blogctl},
    certificates::{TestCertificate, file, key_pem, pem},
    entra::{keys, rsa_key, wait_until},
    idp::IdpControl,
    system::TestSystem,
    web::{ALICE, Browser},
};

/// The web site alone, with `client.pem` in `folder`, and its log.
fn site(folder: &Path) -> Running {
    let mut command = blogctl(folder);
    command.args(["serve-client", "--port", "0"]);
    for setting in [
        &format!("entra.tenant_id={DEV_TENANT_ID}"),
        "entra.authority_host=http://localhost:1",
        &format!("client.client_id={DEV_CLIENT_ID}"),
        &format!("client.api_scope=api://{DEV_API_ID}/access_as_user"),
        "client.cert_path=client.pem",
        "client.cookie_key=a cookie key for tests only, 64 characters long, not a real one!",
        "server.environment=development",
    ] {
        command.args(["--set", setting]);
    }
    Running::start(&mut command)
}

#[test]
fn each_warning_is_logged_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let key = &keys()[0].key;
    let certificate = pem(&TestCertificate {
        valid: (-1, 5),
        ..TestCertificate::new("site", key)
    }
    .make());
    let put = |name: &str, parts: &[&[u8]]| {
        let aside = file(folder.path(), "aside", parts);
        fs::set_permissions(&aside, Permissions::from_mode(0o644)).expect("changed");
        fs::rename(aside, folder.path().join(name)).expect("renamed");
    };
    put("client.pem", &[&certificate, &key_pem(key)]);
    let mut site = site(folder.path());
    site.wait_for("the certificate expires in 4 days (");

    put("client.pem", &[&certificate]);
    site.wait_for("the current one stays in use: client.pem holds no private key; hint: ");
    put("client.pem", &[b"half a file"]);
    site.wait_for("the current one stays in use: client.pem is neither a PEM nor a PFX file");
    let next = pem(&TestCertificate {
        valid: (-1, 6),
        ..TestCertificate::new("site", key)
    }
    .make());
    put("client.pem", &[&next, &key_pem(key)]);
    site.wait_for("a new credential is in use");
    site.wait_for("the certificate expires in 5 days (");

    site.signal("TERM");
    let (status, log) = site.wait_for_exit();
    assert!(status.success(), "{log}");
    for once in [
        "the certificate expires in 4 days",
        "the certificate expires in 5 days",
        "client.pem holds no private key",
        "every user of this machine may read the private key in client.pem",
    ] {
        assert_eq!(log.matches(once).count(), 1, "{once}: {log}");
    }
}

#[test]
fn a_mounted_kubernetes_secret_is_used_when_it_changes() {
    let mut mounted = None;
    let system = TestSystem::with(|settings| {
        let path = settings.client.certificate.path.clone().expect("set");
        let mount = path.with_file_name("mount");
        fs::create_dir_all(mount.join("..old")).expect("made");
        fs::rename(path, mount.join("..old/client.pem")).expect("moved");
        symlink("..old", mount.join("..data")).expect("linked");
        symlink("..data/client.pem", mount.join("client.pem")).expect("linked");
        settings.client.certificate.path = Some(mount.join("client.pem"));
        mounted = Some(mount);
    });
    let mount = mounted.expect("set");
    let key = rsa_key(2048);
    let certificate = pem(&TestCertificate::new("renewed", &key).make());
    let control = IdpControl::new(&system.idp);
    let old = fs::read_to_string(system.folder.path().join("client-cert.pem")).expect("there");
    control.replace_certificates(
        DEV_CLIENT_ID,
        &[&old, &String::from_utf8(certificate.clone()).expect("text")],
    );
    let used = || {
        assert_eq!(Browser::new().sign_in(&system, ALICE, "/posts").status, 200);
        control.requests_to("/oauth2/v2.0/token").last().expect("a request")["assertion_header"]["x5t#S256"].clone()
    };
    let before = used();
    fs::create_dir(mount.join("..new")).expect("made");
    file(&mount.join("..new"), "client.pem", &[&certificate, &key_pem(&key)]);
    symlink("..new", mount.join("..data_tmp")).expect("linked");
    fs::rename(mount.join("..data_tmp"), mount.join("..data")).expect("renamed");
    wait_until("the new one is used", || used() != before);
}
