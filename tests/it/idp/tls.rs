//! HTTPS with its own certificate authority.

use std::{fs, net::TcpStream, os::unix::fs::PermissionsExt, path::Path, time::Duration};

use blogctl::{config::Settings, idp::Server};
use openssl::{
    ssl::{SslConnector, SslMethod},
    x509::X509,
};

use super::provider::{Browser, Provider, Response};

fn with_tls() -> Provider {
    Provider::with(|settings| settings.idp.tls = true)
}

fn get(provider: &Provider, host: &str, path: &str) -> Response {
    let ca = fs::read(provider.folder().join("idp-ca.pem")).expect("the CA file");
    let ca = ureq::tls::Certificate::from_pem(&ca).expect("PEM");
    let tls = ureq::tls::TlsConfig::builder()
        .root_certs(ureq::tls::RootCerts::new_with_certs(&[ca]))
        .build();
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .tls_config(tls)
        .proxy(None)
        .timeout_global(Some(Duration::from_secs(30)))
        .build()
        .into();
    Response::new(
        agent
            .get(format!("https://{host}:{}{path}", provider.server.port))
            .call(),
    )
}

#[test]
fn it_serves_https_that_its_ca_file_verifies() {
    let provider = with_tls();
    let configuration = "/common/v2.0/.well-known/openid-configuration";
    for host in ["localhost", "127.0.0.1"] {
        let found = get(&provider, host, configuration);
        let base = format!("https://localhost:{}", provider.server.port);
        assert_eq!(
            found.text_of("token_endpoint"),
            format!("{base}/common/oauth2/v2.0/token"),
            "{host}"
        );
    }
}

#[test]
fn its_cookies_travel_over_https_only() {
    let provider = with_tls();
    let url = Browser::new(&provider).authorize_url(&[]);
    let path = url
        .split_once(&format!(":{}", provider.server.port))
        .expect("an address")
        .1;
    let page = get(&provider, "localhost", path);
    assert_eq!(page.status, 200, "{}", page.text);
    assert!(
        page.header("Set-Cookie").contains("; Secure"),
        "{}",
        page.header("Set-Cookie")
    );
}

#[test]
fn it_speaks_http_1_1_whose_bytes_are_bounded_and_no_http_2() {
    let provider = with_tls();
    let negotiated = |offered: &[u8]| {
        let mut connector = SslConnector::builder(SslMethod::tls()).expect("a connector");
        connector
            .set_ca_file(provider.folder().join("idp-ca.pem"))
            .expect("the CA file");
        connector.set_alpn_protos(offered).expect("protocols");
        let stream = TcpStream::connect(("127.0.0.1", provider.server.port)).expect("a connection");
        let stream = connector.build().connect("localhost", stream).ok()?;
        stream.ssl().selected_alpn_protocol().map(<[u8]>::to_vec)
    };
    assert_eq!(negotiated(b"\x02h2\x08http/1.1"), Some(b"http/1.1".to_vec()));
    assert_eq!(negotiated(b"\x08http/1.1"), Some(b"http/1.1".to_vec()));
    assert_eq!(negotiated(b"\x02h2"), None, "the handshake fails");
}

#[test]
fn private_keys_are_for_their_owner_only() {
    let provider = with_tls();
    let mode = |name: &str| {
        let path = provider.folder().join(name);
        fs::metadata(&path).expect("it is there").permissions().mode() & 0o777
    };
    assert_eq!([mode("idp-ca-key.pem"), mode("idp-localhost-key.pem")], [0o600, 0o600]);
}

#[actix_web::test]
async fn the_folder_is_private_and_its_files_are_reused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let state = folder.path().join("state");
    let [ca, certificate] = ["idp-ca.pem", "idp-localhost.pem"].map(|name| state.join(name));
    start_and_stop(&state).await;
    assert_eq!(
        fs::metadata(&state).expect("it is there").permissions().mode() & 0o777,
        0o700
    );
    let first = [
        fs::read(&ca).expect("a CA"),
        fs::read(&certificate).expect("a certificate"),
    ];
    start_and_stop(&state).await;
    assert_eq!(
        [
            fs::read(&ca).expect("a CA"),
            fs::read(&certificate).expect("a certificate")
        ],
        first
    );

    fs::remove_file(&certificate).expect("removed");
    start_and_stop(&state).await;
    assert_eq!(
        fs::read(&ca).expect("a CA"),
        first[0],
        "the CA stays, so no client has to trust a new one"
    );
    assert!(is_signed_by(&certificate, &ca));

    fs::remove_file(state.join("idp-ca-key.pem")).expect("removed");
    start_and_stop(&state).await;
    assert_ne!(
        fs::read(&ca).expect("a CA"),
        first[0],
        "without its key the CA is of no use"
    );
    assert!(
        is_signed_by(&certificate, &ca),
        "and what the old one signed is of none either"
    );

    fs::write(&ca, "damaged").expect("written");
    let error = Server::bind(&settings(&state))
        .err()
        .expect("it does not start")
        .to_string();
    assert!(error.contains("idp-ca.pem") && error.contains("delete it"), "{error}");
}

fn settings(state: &Path) -> Settings {
    let mut settings = Settings::default();
    settings.idp.port = 0;
    settings.idp.apps.clear();
    settings.idp.tls = true;
    state.clone_into(&mut settings.idp.state_dir);
    settings
}

async fn start_and_stop(state: &Path) {
    let server = Server::bind(&settings(state)).expect("it starts");
    let handle = server.handle();
    let (ended, ()) = tokio::join!(server.run(), handle.stop(false));
    ended.expect("it ends well");
}

fn is_signed_by(certificate: &Path, ca: &Path) -> bool {
    let read = |path: &Path| X509::from_pem(&fs::read(path).expect("a file")).expect("a certificate");
    let ca_key = read(ca).public_key().expect("a key");
    read(certificate).verify(&ca_key).expect("a verdict")
}
