//! An identity provider that answers from a script, and tokens made with OpenSSL alone, so that no code of `src/entra` or
//! `src/idp` checks itself.
//!
//! ```ignore
//! let provider = ScriptedProvider::start();
//! let token = keys()[0].sign(&provider.access_claims());
//! provider.script().jwks = ScriptedResponse::with_status(503, &json!({}));
//! ```

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc, Mutex, MutexGuard, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use blogctl::config::{DEV_TENANT_ID, EntraSettings};
use chrono::Utc;
use openssl::{
    hash::MessageDigest,
    pkey::{PKey, Private},
    rsa::{Padding, Rsa},
    sign::{RsaPssSaltlen, Signer},
};
use serde_json::{Value, json};
use url::Url;

/// Client id of the API in these tests.
pub const API: &str = "a9100000-0000-4000-8000-000000008000";
/// Client id of the web site in these tests.
pub const SITE: &str = "c11e0000-0000-4000-8000-000000005000";
/// Object id of the user in these tests.
pub const ALICE: &str = "0a11ce00-0000-4000-8000-000000000001";

/// An RSA key with the `kid` under which the provider may publish it.
pub struct TestKey {
    pub kid: &'static str,
    pub key: PKey<Private>,
}

/// Two keys that all tests share, because it takes a while to make one.
pub fn keys() -> &'static [TestKey; 2] {
    static KEYS: OnceLock<[TestKey; 2]> = OnceLock::new();
    KEYS.get_or_init(|| {
        ["one", "two"].map(|kid| TestKey {
            kid,
            key: rsa_key(2048),
        })
    })
}

pub fn rsa_key(bits: u32) -> PKey<Private> {
    PKey::from_rsa(Rsa::generate(bits).expect("a key")).expect("a key")
}

impl TestKey {
    /// The key as Entra ID publishes it, without `alg`.
    pub fn jwk(&self) -> Value {
        let rsa = self.key.rsa().expect("RSA");
        json!({
            "kty": "RSA", "use": "sig", "kid": self.kid, "x5t": self.kid,
            "n": URL_SAFE_NO_PAD.encode(rsa.n().to_vec()), "e": URL_SAFE_NO_PAD.encode(rsa.e().to_vec()),
        })
    }

    /// A token with the usual header, signed RS256.
    pub fn sign(&self, claims: &Value) -> String {
        self.sign_with_header(
            &json!({"typ": "JWT", "alg": "RS256", "kid": self.kid}),
            &claims.to_string(),
        )
    }

    /// A token with any header and payload, signed RS256 whatever the header says.
    pub fn sign_with_header(&self, header: &Value, payload: &str) -> String {
        signed(header, payload, |input| {
            let mut signer = Signer::new(MessageDigest::sha256(), &self.key).expect("a signer");
            signer.sign_oneshot_to_vec(input).expect("a signature")
        })
    }

    /// A token signed PS256.
    pub fn sign_ps256(&self, claims: &Value) -> String {
        signed(
            &json!({"typ": "JWT", "alg": "PS256", "kid": self.kid}),
            &claims.to_string(),
            |input| {
                let mut signer = Signer::new(MessageDigest::sha256(), &self.key).expect("a signer");
                signer.set_rsa_padding(Padding::PKCS1_PSS).expect("PSS");
                signer.set_rsa_pss_saltlen(RsaPssSaltlen::custom(32)).expect("PSS");
                signer.sign_oneshot_to_vec(input).expect("a signature")
            },
        )
    }

    /// A token signed RS512.
    pub fn sign_rs512(&self, claims: &Value) -> String {
        signed(
            &json!({"typ": "JWT", "alg": "RS512", "kid": self.kid}),
            &claims.to_string(),
            |input| {
                let mut signer = Signer::new(MessageDigest::sha512(), &self.key).expect("a signer");
                signer.sign_oneshot_to_vec(input).expect("a signature")
            },
        )
    }

    /// A token "signed" HS256 with the public key as the secret: a classic attack on JWT libraries.
    pub fn sign_hs256_with_public_key(&self, claims: &Value) -> String {
        let secret = PKey::hmac(&self.key.public_key_to_pem().expect("PEM")).expect("a key");
        signed(
            &json!({"typ": "JWT", "alg": "HS256", "kid": self.kid}),
            &claims.to_string(),
            |input| {
                let mut signer = Signer::new(MessageDigest::sha256(), &secret).expect("a signer");
                signer.sign_oneshot_to_vec(input).expect("a signature")
            },
        )
    }
}

fn signed(header: &Value, payload: &str, sign: impl FnOnce(&[u8]) -> Vec<u8>) -> String {
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let input = format!(
        "{}.{}",
        encode(header.to_string().as_bytes()),
        encode(payload.as_bytes())
    );
    let signature = encode(&sign(input.as_bytes()));
    format!("{input}.{signature}")
}

/// The responses of a scripted provider, and the requests that it received.
pub struct Script {
    /// Members changed in the discovery document.
    pub discovery: HashMap<&'static str, Value>,
    /// Response of the key endpoint.
    pub jwks: ScriptedResponse,
    /// Response of the token endpoint.
    pub token: ScriptedResponse,
    pub discoveries: usize,
    pub key_fetches: usize,
    /// Query of the last request for keys.
    pub key_query: Option<String>,
    /// The forms that the token endpoint received.
    pub token_forms: Vec<HashMap<String, String>>,
}

#[derive(Clone)]
pub struct ScriptedResponse {
    pub status: u16,
    pub headers: &'static str,
    pub body: String,
}

impl ScriptedResponse {
    pub fn json(value: &Value) -> Self {
        Self::with_status(200, value)
    }
    pub fn with_status(status: u16, value: &Value) -> Self {
        Self {
            status,
            headers: "Content-Type: application/json\r\n",
            body: value.to_string(),
        }
    }
}

/// An HTTP server on loopback that plays the tenant [`DEV_TENANT_ID`] by its script.
pub struct ScriptedProvider {
    pub url: Url,
    script: Arc<Mutex<Script>>,
    stopped: Arc<AtomicBool>,
}

impl ScriptedProvider {
    /// Publishes the first of [`keys`].
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("bound").port();
        let url = Url::parse(&format!("http://localhost:{port}")).expect("a URL");
        let script = Arc::new(Mutex::new(Script {
            discovery: HashMap::new(),
            jwks: ScriptedResponse::json(&json!({"keys": [keys()[0].jwk()]})),
            token: ScriptedResponse::with_status(500, &json!({})),
            discoveries: 0,
            key_fetches: 0,
            key_query: None,
            token_forms: Vec::new(),
        }));
        let stopped = Arc::new(AtomicBool::new(false));
        let provider = Self { url, script, stopped };
        let (script, stopped, base) = (
            Arc::clone(&provider.script),
            Arc::clone(&provider.stopped),
            provider.url.as_str().trim_end_matches('/').to_owned(),
        );
        thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                if stopped.load(Ordering::Acquire) {
                    return;
                }
                let (script, base) = (Arc::clone(&script), base.clone());
                // The client may give up on a connection.
                thread::spawn(move || drop(serve(connection, &script, &base)));
            }
        });
        provider
    }

    pub fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().expect("no test panics while it holds this")
    }

    pub fn publish(&self, keys: &[Value]) {
        self.script().jwks = ScriptedResponse::json(&json!({ "keys": keys }));
    }

    pub fn settings(&self) -> EntraSettings {
        EntraSettings {
            tenant_id: DEV_TENANT_ID.to_owned(),
            authority_host: Some(self.url.clone()),
            ..EntraSettings::default()
        }
    }

    pub fn issuer_v2(&self) -> String {
        format!("{}{DEV_TENANT_ID}/v2.0", self.url)
    }

    pub fn issuer_v1(&self) -> String {
        format!("{}{DEV_TENANT_ID}/", self.url)
    }

    pub fn token_endpoint(&self) -> String {
        format!("{}{DEV_TENANT_ID}/oauth2/v2.0/token", self.url)
    }

    /// Claims of a v2 access token that is valid for an hour.
    pub fn access_claims(&self) -> Value {
        let now = Utc::now().timestamp();
        json!({
            "iss": self.issuer_v2(), "aud": API, "tid": DEV_TENANT_ID, "oid": ALICE, "sub": "s", "ver": "2.0",
            "iat": now, "nbf": now, "exp": now + 3600, "scp": "access_as_user", "azp": SITE, "azpacr": "2",
            "name": "Alice Archer", "preferred_username": "alice@contoso.example", "roles": ["Blog.Writer"],
        })
    }

    /// Claims of an ID token that is valid for an hour.
    pub fn id_claims(&self, nonce: &str) -> Value {
        let now = Utc::now().timestamp();
        json!({
            "iss": self.issuer_v2(), "aud": SITE, "tid": DEV_TENANT_ID, "oid": ALICE, "sub": "s", "ver": "2.0",
            "iat": now, "nbf": now, "exp": now + 3600, "nonce": nonce, "sid": "session", "login_hint": "hint",
            "name": "Alice Archer", "email": "alice@contoso.example", "preferred_username": "alice@contoso.example",
        })
    }
}

impl Drop for ScriptedProvider {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Release);
        // Wakes the thread that accepts connections.
        drop(TcpStream::connect(("127.0.0.1", self.url.port().expect("a port"))));
    }
}

fn serve(connection: TcpStream, script: &Mutex<Script>, base: &str) -> std::io::Result<()> {
    let mut reader = BufReader::new(connection);
    let mut request_line = String::new();
    reader.read_line(&mut request_line)?;
    let mut length = 0;
    loop {
        let mut header = String::new();
        reader.read_line(&mut header)?;
        if header.trim().is_empty() {
            break;
        }
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;

    let tenant = format!("{base}/{DEV_TENANT_ID}");
    let target = request_line.split(' ').nth(1).unwrap_or_default();
    let (path, query) = target
        .split_once('?')
        .map_or((target, None), |(path, query)| (path, Some(query.to_owned())));
    let answer = {
        let mut script = script.lock().expect("no test panics while it holds this");
        if path.ends_with("/openid-configuration") {
            script.discoveries += 1;
            let mut document = json!({
                "issuer": format!("{tenant}/v2.0"),
                "authorization_endpoint": format!("{tenant}/oauth2/v2.0/authorize"),
                "token_endpoint": format!("{tenant}/oauth2/v2.0/token"),
                "jwks_uri": format!("{tenant}/discovery/v2.0/keys"),
                "end_session_endpoint": format!("{tenant}/oauth2/v2.0/logout"),
            });
            for (name, value) in &script.discovery {
                document
                    .as_object_mut()
                    .expect("an object")
                    .insert((*name).to_owned(), value.clone());
            }
            ScriptedResponse::json(&document)
        } else if path.ends_with("/keys") {
            script.key_fetches += 1;
            script.key_query = query;
            script.jwks.clone()
        } else if path.ends_with("/token") {
            script
                .token_forms
                .push(url::form_urlencoded::parse(&body).into_owned().collect());
            script.token.clone()
        } else {
            ScriptedResponse::with_status(404, &json!({}))
        }
    };
    let ScriptedResponse { status, headers, body } = answer;
    let length = body.len();
    let head = format!("HTTP/1.1 {status} Scripted\r\n{headers}Content-Length: {length}\r\nConnection: close\r\n\r\n");
    let connection = reader.get_mut();
    connection.write_all(head.as_bytes())?;
    connection.write_all(body.as_bytes())
}

/// Waits until `condition` holds; fails after ten seconds.
pub fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while !condition() {
        assert!(Instant::now() < deadline, "{what} did not happen in ten seconds");
        thread::sleep(Duration::from_millis(5));
    }
}
