//! What it needs to start, and where it refuses to listen.

use std::{fs, path::PathBuf};

use blogctl::{
    config::{AppRegistration, Settings},
    idp::{RegistrationError, Server, StartError},
    serve,
};

fn rejection(change: impl FnOnce(&mut Settings)) -> StartError {
    let mut settings = Settings::default();
    settings.idp.port = 0;
    settings.idp.apps.clear();
    change(&mut settings);
    Server::bind(&settings).err().expect("it does not start")
}

#[test]
fn it_listens_on_loopback_only() {
    for host in ["0.0.0.0", "::", "192.0.2.1", ""] {
        let error = rejection(|settings| settings.idp.host = host.to_owned());
        assert!(matches!(error, StartError::NotLoopback { .. }), "{host}: {error}");
        assert!(
            error
                .to_string()
                .contains("--i-know-this-is-not-a-real-identity-provider"),
            "{error}"
        );
    }
}

#[test]
fn a_socket_beyond_loopback_is_rejected_too() {
    let listener = serve::listen("0.0.0.0", 0).expect("a free port");
    let error = Server::from_listener(listener, &Settings::default())
        .err()
        .expect("it does not start");
    assert!(matches!(error, StartError::NotLoopback { .. }), "{error}");
}

#[actix_web::test]
async fn it_listens_beyond_loopback_when_forced() {
    let mut settings = Settings::default();
    settings.idp.host = "0.0.0.0".to_owned();
    settings.idp.port = 0;
    settings.idp.apps.clear();
    settings.idp.allow_remote = true;
    let server = Server::bind(&settings).expect("it starts");
    assert_ne!(server.port(), 0);
    let handle = server.handle();
    let (ended, ()) = tokio::join!(server.run(), handle.stop(false));
    ended.expect("it ends well");
}

#[test]
fn a_missing_or_unusable_certificate_is_reported() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let not_pem = folder.path().join("not-pem.pem");
    fs::write(&not_pem, "not PEM").expect("written");
    for (path, missing) in [(PathBuf::from("/nowhere/cert.pem"), true), (not_pem, false)] {
        let app = AppRegistration {
            name: "The site".to_owned(),
            certificates: vec![path.clone()],
            ..Default::default()
        };
        let error = rejection(|settings| settings.idp.apps = vec![app]);
        let is_right = match &error {
            StartError::Registration(RegistrationError::Unreadable { .. }) => missing,
            StartError::Registration(RegistrationError::Unusable { .. }) => !missing,
            _ => false,
        };
        assert!(is_right, "{error}");
        let message = error.to_string();
        assert!(
            message.contains(&path.display().to_string()) && message.contains("The site"),
            "{message}"
        );
    }
}

#[test]
fn two_registrations_with_one_client_id_are_rejected() {
    let app = AppRegistration {
        client_id: "the same".to_owned(),
        ..Default::default()
    };
    let error = rejection(|settings| settings.idp.apps = vec![app.clone(), app]);
    assert!(error.to_string().contains("the same"), "{error}");
}

#[test]
fn a_damaged_file_of_signing_keys_prevents_the_start_and_stays_unchanged() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("keys.json");
    fs::write(&path, "damaged").expect("written");
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).expect("set");
    let error = rejection(|settings| settings.idp.signing_keys_file = Some(path.clone())).to_string();
    assert!(
        error.contains(&path.display().to_string()) && error.contains("delete it"),
        "{error}"
    );
    assert_eq!(fs::read_to_string(&path).expect("there"), "damaged");
}
