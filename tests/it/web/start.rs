//! Errors at the start of the site: all at once, each with a hint.

use blogctl::{config::Settings, serve, web::Server};
use secrecy::SecretString;
use tempfile::TempDir;

use crate::support::system::settings_for;

fn settings() -> (Settings, TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let [a, b, c] = [(); 3].map(|()| serve::listen("127.0.0.1", 0).expect("a free port"));
    let mut settings = settings_for(folder.path(), &a, &b, &c);
    settings.client.port = 0;
    (settings, folder)
}

fn complaint(change: impl FnOnce(&mut Settings)) -> (String, String) {
    let (mut settings, folder) = settings();
    change(&mut settings);
    let error = Server::bind(&settings).err().expect("it does not start");
    drop(folder);
    (error.to_string(), error.hint().unwrap_or_default())
}

#[actix_web::test]
async fn it_listens_on_the_configured_port() {
    let (settings, folder) = settings();
    let server = Server::bind(&settings).expect("it starts");
    assert_ne!(server.port(), 0);
    drop(folder);
}

#[test]
fn all_missing_settings_are_reported_at_once() {
    let (message, hint) = complaint(|settings| {
        settings.client.client_id = String::new();
        settings.client.api_scope = String::new();
        settings.client.cookie_keys = vec![SecretString::from("short and secret")];
    });
    for setting in ["client.client_id", "client.api_scope", "client.cookie_key"] {
        assert!(message.contains(setting), "{message}");
    }
    assert!(!message.contains("short and secret"));
    assert!(hint.contains("BLOG_CLIENT__"));
}

#[test]
fn an_unusable_certificate_is_reported() {
    let (message, hint) = complaint(|settings| settings.client.certificate.path = Some("/nowhere/client.pem".into()));
    assert!(message.contains("/nowhere/client.pem"), "{message}");
    assert!(!hint.is_empty());
}

#[test]
fn a_port_in_use_is_reported() {
    let taken = serve::listen("127.0.0.1", 0).expect("a free port");
    let port = taken.local_addr().expect("bound").port();
    let (message, hint) = complaint(|settings| settings.client.port = port);
    assert!(message.contains(&port.to_string()), "{message}");
    assert!(hint.contains("client.port"));
}

#[test]
fn an_invalid_tenant_is_reported() {
    let (message, _) = complaint(|settings| settings.entra.tenant_id = "contoso".to_owned());
    assert!(message.contains("entra.tenant_id"), "{message}");
}
