//! Outbound HTTP: how an agent for requests to other servers is made. Timeouts always, proxy variables honoured,
//! redirects never followed, system CAs plus one configured file. Calls block: never make them on a serving thread.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, LazyLock},
    time::Duration,
};

use ureq::{
    Agent, Proxy, ProxyProtocol,
    config::ConfigBuilder,
    tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem},
    typestate::AgentScope,
};

/// Most bytes of an answer that are read; a longer one is an error. Entra's largest, the key set, is some 20 KB.
pub const MAX_BODY_BYTES: u64 = 1024 * 1024;

const USER_AGENT: &str = concat!("blogctl/", env!("CARGO_PKG_VERSION"));

/// Hosts that no proxy can reach on this machine's behalf, in the syntax of `NO_PROXY`.
const LOOPBACK: [&str; 4] = ["localhost", "127.*", "[::1]", "::1"];

/// Why no agent could be made.
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
}

/// Makes an agent whose every request, connecting included, ends within `timeout`.
///
/// `ca_file` is a PEM file of certificates trusted beside the system's. Answers with an error status are answers, not
/// errors, and so are redirects. Share one agent: it keeps connections alive.
///
/// # Errors
/// When `ca_file` cannot be read or holds no certificate.
pub fn agent(timeout: Duration, ca_file: Option<&Path>) -> Result<Agent, OutboundError> {
    let mut roots = SYSTEM_ROOTS.clone();
    if let Some(path) = ca_file {
        roots.extend(certificates_in(path)?);
    }
    let tls = TlsConfig::builder().root_certs(RootCerts::Specific(Arc::new(roots))).build();
    Ok(Agent::new_with_config(config(timeout).proxy(proxy()).tls_config(tls).build()))
}

/// An agent for services of this very machine and its host: without proxy, and for plain HTTP only.
pub fn local_agent(timeout: Duration) -> Agent {
    Agent::new_with_config(config(timeout).proxy(None).build())
}

fn config(timeout: Duration) -> ConfigBuilder<AgentScope> {
    Agent::config_builder()
        .timeout_global(Some(timeout))
        .http_status_as_error(false)
        .max_redirects(0)
        .user_agent(USER_AGENT)
}

/// Reads an answer's body, [`MAX_BODY_BYTES`] at most.
///
/// # Errors
/// When the body is longer, or the connection or the timeout ends it.
pub fn read_body(response: &mut ureq::http::Response<ureq::Body>) -> Result<Vec<u8>, ureq::Error> {
    response.body_mut().with_config().limit(MAX_BODY_BYTES).read_to_vec()
}

/// Read once: parsing some 150 certificates for each agent would be felt at start.
static SYSTEM_ROOTS: LazyLock<Vec<Certificate<'static>>> = LazyLock::new(|| {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        log::warn!("no CA certificate found on this system: only entra.ca_file is trusted for HTTPS");
    }
    found.certs.iter().map(|der| Certificate::from_der(der).to_owned()).collect()
});

fn certificates_in(path: &Path) -> Result<Vec<Certificate<'static>>, OutboundError> {
    let unusable = |reason: String| OutboundError::CaFile { path: path.to_owned(), reason };
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

/// The proxy that the system's variables name (`ALL_PROXY`, `HTTPS_PROXY`, `HTTP_PROXY`), made anew so that loopback
/// joins `NO_PROXY`: nobody means the development servers by those variables. These variables belong to the system,
/// not to blogctl's settings, so they are read here.
fn proxy() -> Option<Proxy> {
    let named = Proxy::try_from_env()?;
    if !matches!(named.protocol(), ProxyProtocol::Http | ProxyProtocol::Https) {
        log::warn!("the proxy that the environment names is not an HTTP proxy, and is not used");
        return None;
    }
    let excepted = ["NO_PROXY", "no_proxy"].into_iter().find_map(|name| std::env::var(name).ok()).unwrap_or_default();
    let builder = Proxy::builder(named.protocol()).host(named.host()).port(named.port());
    let builder = match (named.username(), named.password()) {
        (Some(username), Some(password)) => builder.username(username).password(password),
        (Some(username), None) => builder.username(username),
        _ => builder,
    };
    excepted
        .split(',')
        .map(str::trim)
        .filter(|host| !host.is_empty())
        .chain(LOOPBACK)
        .fold(builder, ureq::ProxyBuilder::no_proxy)
        .build()
        .inspect_err(|_| log::warn!("the proxy that the environment names is not understood, and is not used"))
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ca_file_without_certificate_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ca.pem");
        fs::write(&path, "not a certificate").unwrap();
        let error = agent(Duration::from_secs(1), Some(&path)).unwrap_err();
        assert_eq!(error.to_string(), format!("CA file {}: holds no certificate in PEM form", path.display()));
    }

    #[test]
    fn a_missing_ca_file_is_an_error() {
        let error = agent(Duration::from_secs(1), Some(Path::new("/nonexistent/ca.pem"))).unwrap_err();
        assert!(error.to_string().starts_with("CA file /nonexistent/ca.pem: "));
    }

    #[test]
    fn agents_time_out_and_neither_follow_redirects_nor_fail_on_a_status() {
        let agent = agent(Duration::from_secs(7), None).unwrap();
        let config = agent.config();
        assert_eq!(config.timeouts().global, Some(Duration::from_secs(7)));
        assert_eq!(config.max_redirects(), 0);
        assert!(!config.http_status_as_error());
    }
}
