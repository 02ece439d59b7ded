//! Outbound HTTP: creates the agents for requests to other servers. Every request has a timeout and honours the proxy
//! variables. Redirects are not followed, and compressed responses are neither requested nor decompressed. The agents
//! trust the system's CAs and one configured file. Calls block: never make them on a serving thread.

mod client_span;
mod local_names;
mod measure;
mod proxy;

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
    time::Duration,
};

use ureq::{
    Agent,
    config::{Config, ConfigBuilder},
    tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem},
    typestate::AgentScope,
    unversioned::transport::DefaultConnector,
};

pub use self::client_span::PropagateTrace;
use self::{client_span::ClientSpans, local_names::LocalNames, measure::Measured, proxy::Proxies};
pub use crate::metrics::outbound::Target;

/// Most bytes of a response body; a longer one is an error. Entra's largest, the key set, has some 20 KB.
pub const MAX_BODY_BYTES: u64 = 1024 * 1024;

/// Largest CA file. The bundle of a whole system has some 200 KB.
const MAX_CA_FILE_BYTES: u64 = 8 * 1024 * 1024;

const USER_AGENT: &str = concat!("blogctl/", env!("CARGO_PKG_VERSION"));

/// Why an agent cannot be created.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OutboundError {
    /// The configured CA file cannot be read or holds no certificate.
    #[error("CA file {path}: {reason}")]
    CaFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The private key of a client certificate is not PEM.
    #[error("the private key for client authentication is not PEM")]
    ClientKey,
}

/// Creates an agent whose requests, including connecting, end within `timeout`. `target` says in the metrics what it calls.
///
/// `ca_file` is a PEM file of certificates to trust in addition to the system's. Responses with an error status are not
/// errors, and neither are redirects. Share one agent: it reuses connections.
///
/// # Errors
/// When `ca_file` cannot be read or holds no certificate.
pub fn agent(target: Target, timeout: Duration, ca_file: Option<&Path>) -> Result<Agent, OutboundError> {
    identified_agent(target, timeout, ca_file.as_slice(), None)
}

/// A certificate with which an agent identifies itself to servers that ask for one. rustls must accept it.
pub struct ClientIdentity<'a> {
    /// The certificates in DER, leaf first.
    pub chain: &'a [Vec<u8>],
    /// The private key in PEM, PKCS#8.
    pub key_pem: &'a [u8],
}

impl ClientIdentity<'_> {
    fn certificate(&self) -> Result<ClientCert, OutboundError> {
        let chain: Vec<_> = self
            .chain
            .iter()
            .map(|der| Certificate::from_der(der).to_owned())
            .collect();
        let key = PrivateKey::from_pem(self.key_pem).map_err(|_| OutboundError::ClientKey)?;
        Ok(ClientCert::new_with_certs(&chain, key))
    }
}

/// As [`agent`], with several files of certificates to trust, and a client certificate.
///
/// # Errors
/// When a file cannot be read or holds no certificate, or the key is not PEM.
pub fn identified_agent(
    target: Target,
    timeout: Duration,
    ca_files: &[&Path],
    identity: Option<&ClientIdentity<'_>>,
) -> Result<Agent, OutboundError> {
    let mut roots = SYSTEM_ROOTS.clone();
    for path in ca_files {
        roots.extend(certificates_from_file(path)?);
    }
    let client_certificate = identity.map(ClientIdentity::certificate).transpose()?;
    let tls = TlsConfig::builder()
        .root_certs(RootCerts::Specific(Arc::new(roots)))
        .client_cert(client_certificate)
        .build();
    let config = config(timeout).tls_config(tls).middleware(Measured(target));
    Ok(agent_with(config, Proxies::from_environment()))
}

/// An agent for services on this machine or its host: no proxy, and plain HTTP only.
pub fn local_agent(timeout: Duration) -> Agent {
    with_local_names(config(timeout).middleware(Measured(Target::Machine)).build())
}

fn agent_with(config: ConfigBuilder<AgentScope>, proxies: Proxies) -> Agent {
    with_local_names(if proxies.is_empty() {
        config.build()
    } else {
        config.middleware(proxies).build()
    })
}

fn with_local_names(config: Config) -> Agent {
    Agent::with_parts(config, DefaultConnector::default(), LocalNames::default())
}

fn config(timeout: Duration) -> ConfigBuilder<AgentScope> {
    Agent::config_builder()
        .timeout_global(Some(timeout))
        .http_status_as_error(false)
        .max_redirects(0)
        // Otherwise ureq reads the variables, and supports fewer forms.
        .proxy(None)
        .user_agent(USER_AGENT)
        .middleware(ClientSpans)
}

/// Reads the body of a response, at most [`MAX_BODY_BYTES`].
///
/// # Errors
/// When the body is longer, the connection fails, or the timeout expires.
pub fn read_body(response: &mut ureq::http::Response<ureq::Body>) -> Result<Vec<u8>, ureq::Error> {
    response.body_mut().with_config().limit(MAX_BODY_BYTES).read_to_vec()
}

/// Loaded once: parsing some 150 certificates for each agent would delay the start noticeably.
static SYSTEM_ROOTS: LazyLock<Vec<Certificate<'static>>> = LazyLock::new(|| {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        log::warn!("no CA certificate found on this system: only entra.ca_file is trusted for HTTPS");
    }
    found
        .certs
        .iter()
        .map(|der| Certificate::from_der(der).to_owned())
        .collect()
});

fn certificates_from_file(path: &Path) -> Result<Vec<Certificate<'static>>, OutboundError> {
    let unusable = |reason: String| OutboundError::CaFile {
        path: path.to_owned(),
        reason,
    };
    let metadata = fs::metadata(path).map_err(|error| unusable(error.to_string()))?;
    // Opening a pipe could block for ever, and reading a device may never end.
    if !metadata.is_file() {
        return Err(unusable("is not a file".to_owned()));
    }
    if metadata.len() > MAX_CA_FILE_BYTES {
        return Err(unusable(format!("is larger than {MAX_CA_FILE_BYTES} bytes")));
    }
    let pem = fs::read(path).map_err(|error| unusable(error.to_string()))?;
    let mut certificates = Vec::new();
    for item in parse_pem(&pem) {
        match item {
            Ok(PemItem::Certificate(certificate)) => certificates.push(certificate),
            Ok(_) => {}
            Err(_) => return Err(unusable("is not PEM".to_owned())),
        }
    }
    if certificates.is_empty() {
        return Err(unusable("holds no certificate in PEM form".to_owned()));
    }
    Ok(certificates)
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead as _, BufReader, Write as _},
        net::TcpListener,
        sync::mpsc,
        thread,
    };

    use super::*;

    #[test]
    fn a_ca_file_without_certificate_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        fs::write(&path, "not a certificate").unwrap();
        let error = agent(Target::Other, Duration::from_secs(1), Some(&path)).unwrap_err();
        assert_eq!(
            error.to_string(),
            format!("CA file {}: holds no certificate in PEM form", path.display())
        );
    }

    #[test]
    fn what_is_no_file_or_far_too_large_is_not_read_as_one() {
        let folder = tempfile::tempdir().unwrap();
        let large = folder.path().join("large.pem");
        fs::File::create(&large).unwrap().set_len(1 << 40).unwrap();
        for (path, reason) in [
            (Path::new("/dev/zero"), "is not a file"),
            (folder.path(), "is not a file"),
            (&large, "is larger than 8388608 bytes"),
        ] {
            let error = agent(Target::Other, Duration::from_secs(1), Some(path)).unwrap_err();
            assert_eq!(error.to_string(), format!("CA file {}: {reason}", path.display()));
        }
    }

    #[test]
    fn a_missing_ca_file_is_an_error() {
        let error = agent(
            Target::Other,
            Duration::from_secs(1),
            Some(Path::new("/nonexistent/ca.pem")),
        )
        .unwrap_err();
        assert!(error.to_string().starts_with("CA file /nonexistent/ca.pem: "));
    }

    #[test]
    fn agents_time_out_and_neither_follow_redirects_nor_fail_on_a_status() {
        let agent = agent(Target::Other, Duration::from_secs(7), None).unwrap();
        let config = agent.config();
        assert_eq!(config.timeouts().global, Some(Duration::from_secs(7)));
        assert_eq!(config.max_redirects(), 0);
        assert!(!config.http_status_as_error());
    }

    /// A server that answers every request with `answer`, and the first line of each request that it received.
    fn server(answer: &'static str) -> (u16, mpsc::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (send, lines) = mpsc::channel();
        thread::spawn(move || {
            for connection in listener.incoming().map_while(Result::ok) {
                let mut reader = BufReader::new(connection);
                let mut head = String::new();
                while !head.ends_with("\r\n\r\n") && reader.read_line(&mut head).is_ok_and(|length| length > 0) {}
                let _ = send.send(head);
                let _ = reader.get_mut().write_all(answer.as_bytes());
            }
        });
        (port, lines)
    }

    fn proxies(variables: &[(&str, String)]) -> Proxies {
        Proxies::read(|name| {
            variables
                .iter()
                .find(|(own, _)| *own == name)
                .map(|(_, value)| value.clone())
        })
    }

    #[test]
    fn a_request_goes_through_the_proxy_or_directly_as_the_variables_say() {
        let (proxy, seen) = server("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n");
        let variables = [
            ("HTTPS_PROXY", format!("http://user:hunter2@127.0.0.1:{proxy}")),
            ("NO_PROXY", "10.0.0.0/8,.corp.invalid,a.invalid:8443".to_owned()),
        ];
        let agent = agent_with(config(Duration::from_secs(5)), proxies(&variables));
        for (url, target) in [
            ("https://login.invalid/x", Some("CONNECT login.invalid:443 ")),
            ("https://a.invalid/x", Some("CONNECT a.invalid:443 ")),
            ("https://a.invalid:8443/x", None),
            ("https://b.corp.invalid/x", None),
            ("http://login.invalid/x", None),
        ] {
            // An explicit setting of the request, which the agent's must not override.
            let request = agent
                .get(url)
                .config()
                .timeout_global(Some(Duration::from_secs(5)))
                .build();
            let error = request.call().expect_err("nothing there answers").to_string();
            assert!(!error.contains("hunter2"), "{error}");
            let head = seen.try_recv().ok();
            assert_eq!(head.is_some(), target.is_some(), "{url}: {error}");
            assert!(
                target.is_none_or(|target| head.is_some_and(|head| head.starts_with(target))),
                "{url}"
            );
        }
    }

    #[test]
    fn an_agent_with_proxies_reaches_this_machine_without_them() {
        let (port, seen) = server("HTTP/1.1 204 No Content\r\n\r\n");
        let agent = agent_with(
            config(Duration::from_secs(5)),
            proxies(&[("ALL_PROXY", "http://127.0.0.1:9".to_owned())]),
        );
        for host in ["localhost", "idp.localhost", "127.0.0.1", "[::ffff:127.0.0.1]"] {
            let answer = agent.get(format!("http://{host}:{port}/x")).call().expect(host);
            assert_eq!(answer.status(), 204, "{host}");
            assert!(seen.recv().unwrap().starts_with("GET /x HTTP/1.1"), "{host}");
        }
    }

    #[test]
    fn no_compressed_answer_is_asked_for_and_none_is_unpacked() {
        let (port, seen) =
            server("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc");
        let mut answer = local_agent(Duration::from_secs(5))
            .get(format!("http://127.0.0.1:{port}/"))
            .call()
            .unwrap();
        assert_eq!(read_body(&mut answer).unwrap(), b"abc", "as it came");
        assert!(!seen.recv().unwrap().to_ascii_lowercase().contains("accept-encoding"));
    }
}
