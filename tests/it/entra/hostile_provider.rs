//! Responses of a broken or hostile identity provider. Each is an error and leaves the known keys and endpoints in use; no
//! response is read endlessly, decompressed or followed.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use blogctl::{
    config::{ApiSettings, DEV_TENANT_ID, EntraSettings},
    entra::{AccessTokenValidator, Provider, ProviderError, TokenError, clock::Clock, signing_keys::KeyPolicy},
};
use serde_json::json;
use url::Url;

use crate::support::entra::{API, keys};

/// Longest response that is read.
const LIMIT: usize = 1024 * 1024;

/// The bytes that the server sends for one URL.
#[derive(Clone)]
enum WireResponse {
    Bytes(Vec<u8>),
    /// A head, and then these bytes repeatedly, until the client disconnects.
    Endless(&'static str, &'static [u8]),
}

impl WireResponse {
    fn json(body: &str) -> Self {
        Self::with("HTTP/1.1 200 OK\r\nContent-Type: application/json", body.as_bytes())
    }

    fn with(head: &str, body: &[u8]) -> Self {
        let length = body.len();
        let mut bytes = format!("{head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n").into_bytes();
        bytes.extend_from_slice(body);
        Self::Bytes(bytes)
    }
}

/// A server on loopback that answers as the test says.
struct HostileServer {
    url: Url,
    discovery: Arc<Mutex<WireResponse>>,
    keys: Arc<Mutex<WireResponse>>,
    sent: Arc<AtomicUsize>,
    stopped: Arc<AtomicBool>,
}

impl HostileServer {
    /// Sends valid responses at first.
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = Url::parse(&format!(
            "http://localhost:{}",
            listener.local_addr().expect("bound").port()
        ))
        .expect("a URL");
        let base = format!("{url}{DEV_TENANT_ID}");
        let document = json!({
            "issuer": format!("{base}/v2.0"),
            "authorization_endpoint": format!("{base}/oauth2/v2.0/authorize"),
            "token_endpoint": format!("{base}/oauth2/v2.0/token"),
            "jwks_uri": format!("{base}/discovery/v2.0/keys"),
            "end_session_endpoint": format!("{base}/oauth2/v2.0/logout"),
        });
        let hostile = Self {
            url,
            discovery: Arc::new(Mutex::new(WireResponse::json(&document.to_string()))),
            keys: Arc::new(Mutex::new(WireResponse::json(
                &json!({ "keys": [keys()[0].jwk()] }).to_string(),
            ))),
            sent: Arc::default(),
            stopped: Arc::default(),
        };
        let (discovery, keys) = (Arc::clone(&hostile.discovery), Arc::clone(&hostile.keys));
        let (sent, stopped) = (Arc::clone(&hostile.sent), Arc::clone(&hostile.stopped));
        thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                if stopped.load(Ordering::Acquire) {
                    return;
                }
                let (discovery, keys, sent) = (Arc::clone(&discovery), Arc::clone(&keys), Arc::clone(&sent));
                thread::spawn(move || drop(serve(connection, &discovery, &keys, &sent)));
            }
        });
        hostile
    }

    fn provider(&self, clock: Clock) -> Arc<Provider> {
        let settings = EntraSettings {
            tenant_id: DEV_TENANT_ID.to_owned(),
            authority_host: Some(self.url.clone()),
            // Endless responses must end some time.
            timeout: Duration::from_secs(2),
            ..EntraSettings::default()
        };
        Arc::new(Provider::with_policy(&settings, &[], KeyPolicy::default(), clock).expect("a provider"))
    }

    fn token(&self) -> String {
        let now = chrono::Utc::now().timestamp();
        keys()[0].sign(&json!({
            "iss": format!("{}{DEV_TENANT_ID}/v2.0", self.url), "aud": API, "tid": DEV_TENANT_ID, "ver": "2.0",
            "oid": "0a11ce00-0000-4000-8000-000000000001", "iat": now, "nbf": now, "exp": now + 36_000,
            "scp": "access_as_user",
        }))
    }
}

impl Drop for HostileServer {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Release);
        drop(TcpStream::connect(("127.0.0.1", self.url.port().expect("a port"))));
    }
}

fn serve(
    stream: TcpStream,
    discovery: &Mutex<WireResponse>,
    keys: &Mutex<WireResponse>,
    sent: &AtomicUsize,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.by_ref().read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    let wire = if head.contains("openid-configuration") {
        discovery
    } else {
        keys
    };
    let wire = wire.lock().expect("no test panics while it holds this").clone();
    let stream = reader.get_mut();
    let mut write = |bytes: &[u8]| {
        stream.write_all(bytes)?;
        sent.fetch_add(bytes.len(), Ordering::Relaxed);
        Ok(())
    };
    match wire {
        WireResponse::Bytes(bytes) => write(&bytes),
        WireResponse::Endless(head, part) => {
            write(head.as_bytes())?;
            loop {
                write(part)?;
            }
        }
    }
}

/// Ten megabytes of spaces, compressed to ten kilobytes.
fn gzip_bomb() -> Vec<u8> {
    let mut gzip = std::process::Command::new("gzip");
    let mut child = gzip
        .arg("-9")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .expect("gzip is part of every Debian");
    let mut stdin = child.stdin.take().expect("piped");
    let writer = thread::spawn(move || stdin.write_all(&vec![b' '; 10 * LIMIT]));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("it ends").expect("written");
    output.stdout
}

fn hostile_answers() -> Vec<(&'static str, WireResponse)> {
    let json = "HTTP/1.1 200 OK\r\nContent-Type: application/json";
    let html = b"<!doctype html><title>Sign in to the hotel's network</title>";
    let encoded = format!("{json}\r\nContent-Encoding: gzip");
    vec![
        (
            "a page",
            WireResponse::with("HTTP/1.1 200 OK\r\nContent-Type: text/html", html),
        ),
        ("a page that calls itself JSON", WireResponse::with(json, html)),
        ("nothing", WireResponse::with(json, b"")),
        (
            "204",
            WireResponse::Bytes(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n".to_vec()),
        ),
        (
            "304",
            WireResponse::Bytes(b"HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n".to_vec()),
        ),
        (
            "a redirect elsewhere",
            WireResponse::with("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/keys", b""),
        ),
        (
            "a redirect to itself",
            WireResponse::with("HTTP/1.1 307 Temporary Redirect\r\nLocation: /", b""),
        ),
        (
            "a redirect to a file",
            WireResponse::with("HTTP/1.1 301 Moved\r\nLocation: file:///etc/passwd", b""),
        ),
        ("not HTTP", WireResponse::Bytes(b"SSH-2.0-OpenSSH_9.6\r\n".to_vec())),
        ("a closed connection", WireResponse::Bytes(Vec::new())),
        (
            "half a head",
            WireResponse::Bytes(b"HTTP/1.1 200 OK\r\nContent-".to_vec()),
        ),
        (
            "less than its length",
            WireResponse::Bytes(format!("{json}\r\nContent-Length: 5000\r\n\r\n{{\"keys\":[").into_bytes()),
        ),
        (
            "an absurd length",
            WireResponse::Bytes(format!("{json}\r\nContent-Length: 99999999999999999999\r\n\r\n").into_bytes()),
        ),
        ("null", WireResponse::json("null")),
        ("text", WireResponse::json("\"keys\"")),
        ("a number", WireResponse::json("1e999")),
        ("not UTF-8", WireResponse::with(json, b"{\"keys\":[\"\xff\xfe\"]}")),
        ("nested very deeply", WireResponse::json(&"[".repeat(200_000))),
        (
            "keys nested very deeply",
            WireResponse::json(&format!("{{\"keys\":{}", "[".repeat(200_000))),
        ),
        (
            "too long",
            WireResponse::json(&format!("{{\"keys\":[],\"x\":\"{}\"}}", "x".repeat(LIMIT + 1))),
        ),
        ("compressed", WireResponse::with(&encoded, &gzip_bomb())),
        (
            "a head that is too large",
            WireResponse::with(&format!("{json}\r\nX: {}", "x".repeat(200_000)), b"{}"),
        ),
        (
            "very many headers",
            WireResponse::with(&format!("{json}{}", "\r\nX: y".repeat(20_000)), b"{}"),
        ),
        (
            "a body without end",
            WireResponse::Endless("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n", &[b' '; 65_536]),
        ),
        (
            "chunks without end",
            WireResponse::Endless(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                b"8\r\n        \r\n",
            ),
        ),
        (
            "a head without end",
            WireResponse::Endless(
                "HTTP/1.1 200 OK\r\n",
                b"X: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\r\n",
            ),
        ),
        (
            "interim answers without end",
            WireResponse::Endless("", b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"),
        ),
        ("a line without end", WireResponse::Endless("", &[b'H'; 65_536])),
    ]
}

#[test]
fn no_response_of_the_key_endpoint_removes_good_keys_or_is_read_endlessly() {
    let hostile = HostileServer::start();
    let clock = Clock::default();
    let provider = hostile.provider(clock.clone());
    let settings = ApiSettings {
        client_id: Some(API.to_owned()),
        ..ApiSettings::default()
    };
    let validator = AccessTokenValidator::new(Arc::clone(&provider), &settings);
    validator.validate(&hostile.token()).expect("good at first");
    for (name, wire) in hostile_answers() {
        *hostile.keys.lock().expect("not poisoned") = wire.clone();
        let before = hostile.sent.load(Ordering::Relaxed);
        assert!(provider.refresh_keys().is_err(), "{name} is no key set");
        let sent = hostile.sent.load(Ordering::Relaxed) - before;
        assert!(sent < 32 * LIMIT, "{name}: {sent} bytes were sent");
        validator
            .validate(&hostile.token())
            .unwrap_or_else(|error| panic!("{name}: {error}"));

        let fresh = AccessTokenValidator::new(hostile.provider(Clock::default()), &settings);
        assert_eq!(fresh.prepare(), Err(TokenError::KeysUnavailable), "{name}");
        assert!(!fresh.is_ready(), "{name}");
    }
}

#[test]
fn no_response_of_discovery_changes_known_endpoints() {
    let hostile = HostileServer::start();
    let clock = Clock::default();
    let provider = hostile.provider(clock.clone());
    let known = provider.metadata().expect("good at first");
    for (name, wire) in hostile_answers() {
        *hostile.discovery.lock().expect("not poisoned") = wire;
        clock.advance(Duration::from_hours(25));
        let metadata = provider.metadata().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(metadata.token_endpoint, known.token_endpoint, "{name}");
        let unknown = hostile.provider(Clock::default()).metadata();
        assert!(
            matches!(unknown, Err(ProviderError::Unreachable { .. })),
            "{name}: {unknown:?}"
        );
    }
}
