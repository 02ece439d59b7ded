//! Which handshakes succeed, and what handshakes may cost.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use openssl::ssl::{SslConnector, SslConnectorBuilder, SslMethod, SslVerifyMode, SslVersion};

use super::{HttpsServer, Role};
use crate::support::pki::served_certificate;

/// A handshake: protocol version and ALPN, or OpenSSL's error.
fn connect(port: u16, name: &str, change: impl FnOnce(&mut SslConnectorBuilder)) -> Result<(String, String), String> {
    let mut connector = SslConnector::builder(SslMethod::tls()).expect("a connector");
    connector.set_verify(SslVerifyMode::NONE);
    change(&mut connector);
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("a connection");
    let configuration = connector.build().configure().expect("a configuration");
    let sends_name = !name.is_empty();
    let mut stream = configuration
        .use_server_name_indication(sends_name)
        .verify_hostname(false)
        .connect(name, stream)
        .map_err(|error| error.to_string())?;
    // In TLS 1.3 the client has finished before the server may reject it.
    stream
        .write_all(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .map_err(|error| error.to_string())?;
    let mut text = String::new();
    stream.read_to_string(&mut text).map_err(|error| error.to_string())?;
    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
    let alpn = stream.ssl().selected_alpn_protocol().unwrap_or_default();
    Ok((
        stream.ssl().version_str().to_owned(),
        String::from_utf8_lossy(alpn).into_owned(),
    ))
}

fn only(version: SslVersion) -> impl FnOnce(&mut SslConnectorBuilder) {
    move |connector| {
        connector.set_min_proto_version(Some(version)).expect("a version");
        connector.set_max_proto_version(Some(version)).expect("a version");
        // Otherwise this OpenSSL offers no version below 1.2.
        connector.set_cipher_list("ALL:@SECLEVEL=0").expect("ciphers");
    }
}

#[test]
fn tls_1_2_and_1_3_are_served_and_older_versions_are_refused() {
    for role in [Role::Api, Role::Site] {
        let server = HttpsServer::start(role, |_| {});
        let port = server.server.port;
        for (version, expected) in [(SslVersion::TLS1_2, "TLSv1.2"), (SslVersion::TLS1_3, "TLSv1.3")] {
            let (negotiated, _) = connect(port, "localhost", only(version)).expect("a connection");
            assert_eq!(negotiated, expected, "{role:?}");
        }
        for version in [SslVersion::TLS1, SslVersion::TLS1_1] {
            let error = connect(port, "localhost", only(version)).expect_err("too old");
            assert!(error.contains("SSL alert number"), "{role:?}: {error}");
        }
    }
}

#[test]
fn http_1_1_is_the_only_protocol_and_a_client_that_insists_on_http_2_is_refused() {
    for role in [Role::Api, Role::Site] {
        let server = HttpsServer::start(role, |_| {});
        let offer = |protocols: &'static [u8]| {
            connect(server.server.port, "localhost", move |connector| {
                connector.set_alpn_protos(protocols).expect("protocols");
            })
        };
        let alpn = |protocols| offer(protocols).map(|(_, alpn)| alpn);
        assert_eq!(alpn(b"\x08http/1.1").as_deref(), Ok("http/1.1"), "{role:?}");
        assert_eq!(alpn(b"\x02h2\x08http/1.1").as_deref(), Ok("http/1.1"), "{role:?}");
        let error = alpn(b"\x02h2").expect_err("no common protocol");
        assert!(error.contains("no application protocol"), "{role:?}: {error}");
        let without = connect(server.server.port, "localhost", |_| {}).map(|(_, alpn)| alpn);
        assert_eq!(without.as_deref(), Ok(""), "{role:?}");
    }
}

#[test]
fn a_client_that_names_another_server_or_none_gets_the_same_certificate() {
    let server = HttpsServer::start(Role::Api, |_| {});
    let port = server.server.port;
    for name in ["localhost", "unknown.example", ""] {
        assert!(connect(port, name, |_| {}).is_ok(), "{name:?}");
    }
    let certificate = std::fs::read(&server.files.certificate).expect("a file");
    let certificate = openssl::x509::X509::from_pem(&certificate).expect("PEM");
    assert_eq!(served_certificate(port), Some(certificate.to_der().expect("DER")));
}

#[test]
fn a_handshake_that_does_not_end_is_ended() {
    let server = HttpsServer::start(Role::Api, |settings| {
        settings.server.head_timeout = Duration::from_secs(1);
    });
    // Nothing, half a record, and a record that is longer than what follows.
    for begin in [&b""[..], b"\x16\x03", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"] {
        let mut stream = TcpStream::connect(("127.0.0.1", server.server.port)).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_mins(1))).expect("a limit");
        stream.write_all(begin).expect("sent");
        assert_eq!(stream.read(&mut [0; 16]).expect("closed by the server"), 0, "{begin:?}");
    }
    assert_eq!(server.status("/health/live").expect("a response"), 200);
}

#[test]
fn what_is_not_tls_is_refused() {
    let server = HttpsServer::start(Role::Api, |_| {});
    let mut stream = TcpStream::connect(("127.0.0.1", server.server.port)).expect("a connection");
    stream
        .write_all(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        .expect("sent");
    let mut answer = Vec::new();
    // The server may reset the connection.
    let _ = stream.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP/"), "{answer:?}");
    assert_eq!(server.status("/health/live").expect("a response"), 200);
}

#[test]
fn unfinished_handshakes_make_room_for_other_clients() {
    let server = HttpsServer::start(Role::Api, |settings| {
        settings.server.max_connections = 8;
        settings.server.head_timeout = Duration::from_mins(5);
    });
    let port = server.server.port;
    let silent: Vec<TcpStream> = (0..30)
        .map(|_| TcpStream::connect(("127.0.0.1", port)).expect("a connection"))
        .collect();
    // The server closes connections that have been idle for a moment.
    let deadline = std::time::Instant::now() + Duration::from_mins(1);
    loop {
        match server.status("/v1/posts") {
            Ok(401) => break,
            outcome => assert!(std::time::Instant::now() < deadline, "{outcome:?}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    drop(silent);
}
