//! Client certificates between site and API.

use std::time::{Duration, Instant};

use openssl::{pkey::PKey, rsa::Rsa};
use rcgen::ExtendedKeyUsagePurpose;
use url::Url;

use super::{HttpsServer, LOCAL, Role};
use crate::support::{
    certificates::{TestCertificate, file, key_pem, pem},
    pki::{TestCa, TestIdentity, agent},
    system::{TestServer, TestSystem, client_certificate, settings_for},
    web::{ALICE, Browser},
};

/// The status of a GET by a client with this certificate, or `None` if there is no connection.
fn status(server: &HttpsServer, path: &str, identity: Option<&TestIdentity>) -> Option<u16> {
    let response = server.ca.agent(identity).get(server.url(path)).call().ok()?;
    Some(response.status().as_u16())
}

fn api_with_clients_of(clients: &TestCa) -> HttpsServer {
    HttpsServer::start(Role::Api, |settings| {
        let folder = settings.server.tls.cert_path.clone().expect("a path");
        let folder = folder.parent().expect("a folder");
        settings.server.tls.client_ca = Some(clients.write(folder, "clients.pem"));
    })
}

#[test]
fn only_clients_with_a_certificate_of_the_ca_are_served_but_every_probe() {
    let (clients, others) = (TestCa::new("clients"), TestCa::new("others"));
    let server = api_with_clients_of(&clients);
    assert_eq!(
        status(&server, "/v1/posts", Some(&clients.client())),
        Some(401),
        "a token is missing"
    );
    for path in ["/v1/posts", "/", "/healthy", "/v1/openapi.json", "/v1/docs"] {
        assert_eq!(status(&server, path, None), Some(403), "{path}");
    }
    for path in ["/health", "/health/ready"] {
        assert!(matches!(status(&server, path, None), Some(200 | 503)), "{path}");
    }
    assert_eq!(status(&server, "/health/live", None), Some(200));
    let usage = || ExtendedKeyUsagePurpose::ClientAuth;
    for (identity, reason) in [
        (others.client(), "another CA"),
        (clients.issue(&[], usage(), (-30, -1)), "expired"),
        (clients.issue(&[], usage(), (2, 30)), "not valid yet"),
        (clients.server(&LOCAL), "for servers"),
    ] {
        for path in ["/v1/posts", "/health/live"] {
            assert_eq!(status(&server, path, Some(&identity)), None, "{reason}: {path}");
        }
    }
    let problem = server
        .ca
        .agent(None)
        .get(server.url("/v1/posts"))
        .call()
        .expect("a response")
        .body_mut()
        .read_to_string()
        .expect("text");
    assert!(
        problem.contains("\"code\":\"client_certificate_required\""),
        "{problem}"
    );
}

#[test]
fn a_self_signed_certificate_can_be_listed_itself() {
    let key = PKey::from_rsa(Rsa::generate(2048).expect("a key")).expect("a key");
    let folder = tempfile::tempdir().expect("a folder");
    let (certificate, combined) = client_certificate();
    let identity = TestIdentity {
        certificate: certificate.clone(),
        key: combined.clone(),
    };
    let other = TestIdentity {
        certificate: String::from_utf8(pem(&TestCertificate::new("blogctl tests", &key).make())).expect("text"),
        key: String::from_utf8(key_pem(&key)).expect("text"),
    };
    let server = HttpsServer::start(Role::Api, |settings| {
        settings.server.tls.client_ca = Some(file(folder.path(), "clients.pem", &[certificate.as_bytes()]));
    });
    assert_eq!(status(&server, "/v1/posts", Some(&identity)), Some(401));
    assert_eq!(status(&server, "/v1/posts", Some(&other)), None, "of the same name");
}

#[test]
fn another_ca_of_clients_is_used_without_a_restart() {
    let (old, new) = (TestCa::new("old"), TestCa::new("new"));
    let server = api_with_clients_of(&old);
    let (old_client, new_client) = (old.client(), new.client());
    assert_eq!(status(&server, "/v1/posts", Some(&new_client)), None);
    file(
        server.folder.path(),
        "clients.pem",
        &[old.pem.as_bytes(), new.pem.as_bytes()],
    );
    let deadline = Instant::now() + Duration::from_mins(1);
    while status(&server, "/v1/posts", Some(&new_client)) != Some(401) {
        assert!(Instant::now() < deadline, "the new CA is never used");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(status(&server, "/v1/posts", Some(&old_client)), Some(401));
}

#[test]
fn the_site_calls_an_api_that_requires_its_certificate_also_after_that_is_replaced() {
    let folder = tempfile::tempdir().expect("a folder");
    let (apis, clients) = (TestCa::new("APIs"), TestCa::new("clients"));
    let [idp, api, web] = [(); 3].map(|()| blogctl::serve::listen("127.0.0.1", 0).expect("a free port"));
    let mut settings = settings_for(folder.path(), &idp, &api, &web);
    let api_port = settings.api.port;
    let (api_files, client_ca) = (
        apis.server(&LOCAL).write(folder.path(), "api"),
        clients.write(folder.path(), "clients.pem"),
    );
    let mut api_settings = settings.clone();
    api_settings.server.tls = api_files.settings();
    api_settings.server.tls.client_ca = Some(client_ca);
    let site_files = clients.client().write(folder.path(), "site");
    settings.client.api_base_url = Url::parse(&format!("https://localhost:{api_port}")).expect("a URL");
    settings.client.api_ca_file = Some(apis.write(folder.path(), "apis.pem"));
    settings.client.api_tls_cert_path = Some(site_files.certificate.clone());
    settings.client.api_tls_key_path = Some(site_files.key.clone());
    let system = TestSystem {
        idp: TestServer::idp(idp, settings.clone()),
        api: TestServer::api(api, api_settings),
        web: TestServer::web(web, settings.clone()),
        settings,
        folder,
    };
    let browser = Browser::new();
    let page = browser.sign_in(&system, ALICE, "/posts");
    assert_eq!((page.status, page.url.path()), (200, "/posts"), "{}", page.body);

    // The API now trusts another CA only, and the site gets a certificate of it.
    let next = TestCa::new("next clients");
    file(system.folder.path(), "clients.pem", &[next.pem.as_bytes()]);
    next.client().write(system.folder.path(), "site");
    let deadline = Instant::now() + Duration::from_mins(1);
    let probe = next.client();
    let api_status = |identity| {
        let url = format!("https://localhost:{api_port}/v1/posts");
        agent(&apis.pem, Some(identity))
            .get(url)
            .call()
            .ok()
            .map(|response| response.status().as_u16())
    };
    while api_status(&probe) != Some(401) || browser.get(&system.web.url("/posts")).status != 200 {
        assert!(Instant::now() < deadline, "the site's new certificate is never used");
        std::thread::sleep(Duration::from_millis(50));
    }
}
