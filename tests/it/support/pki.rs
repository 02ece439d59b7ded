//! A certificate authority for TLS, and clients that trust it.
//!
//! ```ignore
//! let ca = TestCa::new("test CA");
//! let files = ca.server(&["localhost"]).write(folder.path(), "server");
//! settings.server.tls.cert_path = Some(files.certificate);
//! settings.server.tls.key_path = Some(files.key);
//! assert_eq!(ca.agent(None).get(url).call()?.status(), 200);
//! ```

use std::{
    fs,
    net::TcpStream,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use blogctl::config::TlsSettings;
use chrono::Datelike as _;
use openssl::{
    pkey::PKey,
    ssl::{SslConnector, SslMethod, SslVerifyMode},
    x509::X509,
};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};

use super::certificates::file;

/// A certificate authority.
pub struct TestCa {
    pub pem: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A certificate and its key in PEM.
#[derive(Clone)]
pub struct TestIdentity {
    pub certificate: String,
    pub key: String,
}

/// The files of a certificate and its key.
#[derive(Clone)]
pub struct IdentityFiles {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl TestCa {
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(Vec::<String>::new()).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self {
            pem,
            issuer: Issuer::new(params, key),
        }
    }

    /// A server's certificate for these names.
    pub fn server(&self, names: &[&str]) -> TestIdentity {
        self.issue(names, ExtendedKeyUsagePurpose::ServerAuth, (-1, 30))
    }

    /// A client's certificate.
    pub fn client(&self) -> TestIdentity {
        self.issue(&[], ExtendedKeyUsagePurpose::ClientAuth, (-1, 30))
    }

    /// A certificate that is valid between these days from now.
    pub fn issue(&self, names: &[&str], usage: ExtendedKeyUsagePurpose, valid: (i64, i64)) -> TestIdentity {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(names).expect("parameters");
        params.distinguished_name.push(DnType::CommonName, "a test");
        params.extended_key_usages = vec![usage];
        let day = |days: i64| {
            let date = (chrono::Utc::now() + chrono::TimeDelta::days(days)).date_naive();
            let [month, day] = [date.month(), date.day()].map(|number| u8::try_from(number).expect("small"));
            rcgen::date_time_ymd(date.year(), month, day)
        };
        params.not_before = day(valid.0);
        params.not_after = day(valid.1);
        TestIdentity {
            certificate: params.signed_by(&key, &self.issuer).expect("a certificate").pem(),
            key: key.serialize_pem(),
        }
    }

    /// An HTTP client that trusts this CA, and shows `identity`.
    pub fn agent(&self, identity: Option<&TestIdentity>) -> ureq::Agent {
        agent(&self.pem, identity)
    }

    /// Writes the CA's certificate.
    pub fn write(&self, folder: &Path, name: &str) -> PathBuf {
        file(folder, name, &[self.pem.as_bytes()])
    }
}

impl TestIdentity {
    /// Writes `{name}.crt` and `{name}.key`.
    pub fn write(&self, folder: &Path, name: &str) -> IdentityFiles {
        IdentityFiles {
            key: file(folder, &format!("{name}.key"), &[self.key.as_bytes()]),
            certificate: file(folder, &format!("{name}.crt"), &[self.certificate.as_bytes()]),
        }
    }

    /// The certificate in DER.
    pub fn der(&self) -> Vec<u8> {
        let certificate = X509::from_pem(self.certificate.as_bytes()).expect("PEM");
        certificate.to_der().expect("DER")
    }
}

impl IdentityFiles {
    /// Settings of a server with these files.
    pub fn settings(&self) -> TlsSettings {
        TlsSettings {
            cert_path: Some(self.certificate.clone()),
            key_path: Some(self.key.clone()),
            ..TlsSettings::default()
        }
    }
}

/// An HTTP client that trusts these certificates, and shows `identity`.
pub fn agent(trusted: &str, identity: Option<&TestIdentity>) -> ureq::Agent {
    let ca = ureq::tls::Certificate::from_pem(trusted.as_bytes()).expect("PEM");
    let identity = identity.map(|identity| {
        let certificate = ureq::tls::Certificate::from_pem(identity.certificate.as_bytes()).expect("PEM");
        let key = ureq::tls::PrivateKey::from_pem(identity.key.as_bytes()).expect("PEM");
        ureq::tls::ClientCert::new_with_certs(&[certificate], key)
    });
    let tls = ureq::tls::TlsConfig::builder()
        .root_certs(ureq::tls::RootCerts::new_with_certs(&[ca]))
        .client_cert(identity)
        .build();
    ureq::Agent::config_builder()
        .tls_config(tls)
        .proxy(None)
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_global(Some(Duration::from_secs(30)))
        .build()
        .into()
}

/// The certificate that the server on this port shows, in DER.
pub fn served_certificate(port: u16) -> Option<Vec<u8>> {
    let mut connector = SslConnector::builder(SslMethod::tls()).expect("a connector");
    connector.set_verify(SslVerifyMode::NONE);
    let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    let stream = connector.build().connect("localhost", stream).ok()?;
    stream.ssl().peer_certificate()?.to_der().ok()
}

/// Waits until the server on this port shows this certificate.
pub fn wait_until_served(port: u16, expected: &[u8]) {
    let deadline = Instant::now() + Duration::from_mins(1);
    while served_certificate(port).as_deref() != Some(expected) {
        assert!(
            Instant::now() < deadline,
            "the certificate on port {port} is never replaced"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Writes a PFX file without a password, as Azure App Service does.
pub fn pfx(folder: &Path, name: &str, certificate_pem: &str, key_pem: &str, password: &str) -> PathBuf {
    let key = PKey::private_key_from_pem(key_pem.as_bytes()).expect("a key");
    let certificate = X509::from_pem(certificate_pem.as_bytes()).expect("a certificate");
    let mut builder = openssl::pkcs12::Pkcs12::builder();
    let pfx = builder
        .pkey(&key)
        .cert(&certificate)
        .build2(password)
        .expect("a PFX file");
    let path = file(folder, name, &[&pfx.to_der().expect("DER")]);
    assert!(fs::metadata(&path).is_ok());
    path
}
