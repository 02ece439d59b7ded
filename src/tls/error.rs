//! Why a server cannot speak HTTPS, and what an operator can do about it.

use std::{borrow::Cow, io, path::PathBuf};

use url::Url;

use crate::{
    certificate::{CertificateError, CertificateLocation},
    hint::Hint,
    outbound::OutboundError,
    serve::ListenError,
};

/// What a certificate is for: decides which settings name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A server shows it to browsers and clients: `server.tls.cert_path`.
    Server,
    /// The site shows it to the API: `client.api_tls_cert_path`.
    ApiClient,
}

impl Purpose {
    /// The setting that names the certificate.
    pub fn setting(self) -> &'static str {
        match self {
            Self::Server => "server.tls.cert_path",
            Self::ApiClient => "client.api_tls_cert_path",
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            Self::Server => "server.tls.",
            Self::ApiClient => "client.api_tls_",
        }
    }
}

/// Why a server cannot speak HTTPS.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// Certificate or key cannot be used.
    #[error("{}: {source}", purpose.setting())]
    Certificate {
        /// What it is for.
        purpose: Purpose,
        /// What is wrong with it.
        source: CertificateError,
    },
    /// rustls cannot use the key.
    #[error("{}: the key of {location} cannot be used for TLS ({kind})", purpose.setting())]
    UnsupportedKey {
        /// What the certificate is for.
        purpose: Purpose,
        /// Where the certificate is.
        location: CertificateLocation,
        /// The kind of the key.
        kind: &'static str,
    },
    /// A file with certificates to trust for the API cannot be used.
    #[error(transparent)]
    CaFile(#[from] OutboundError),
    /// The file of `server.tls.client_ca` cannot be used.
    #[error("server.tls.client_ca: {0}")]
    ClientCaFile(#[source] CertificateError),
    /// A certificate in it cannot be that of a CA.
    #[error("server.tls.client_ca: a certificate in {} cannot be used: {reason}", path.display())]
    ClientCa {
        /// The file.
        path: PathBuf,
        /// The reason that rustls gives.
        reason: String,
    },
    /// The site speaks HTTPS, and its public URL is HTTP.
    #[error("the site speaks HTTPS (server.tls), but its public URL is {0}")]
    PublicUrl(Url),
    /// The server cannot listen for plain HTTP.
    #[error(transparent)]
    Redirect(#[from] ListenError),
    /// The socket for plain HTTP cannot be used.
    #[error("the socket of server.tls.redirect_port cannot be used: {0}")]
    Socket(#[source] io::Error),
    /// The file of `server.tls.acme.ca_file` cannot be used.
    #[error("server.tls.acme.ca_file: {0}")]
    AcmeCaFile(#[source] OutboundError),
    /// `server.tls.acme.cache_dir` cannot be used.
    #[error("server.tls.acme: {reason}")]
    Acme {
        /// What is wrong.
        reason: String,
        /// What to do.
        hint: Option<String>,
    },
    /// The system starts no thread.
    #[error("cannot start threads: {0}")]
    Threads(#[source] io::Error),
    /// rustls rejects the configuration.
    #[error("cannot serve HTTPS: {0}")]
    Rustls(#[from] rustls::Error),
}

impl Hint for TlsError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Certificate { purpose, source } => Some(certificate_hint(*purpose, source)),
            Self::UnsupportedKey { .. } => {
                Some("use a key of the kind RSA with 2048 bits or more, EC (P-256 or P-384) or Ed25519".into())
            }
            Self::CaFile(_) => Some(
                "correct entra.ca_file or client.api_ca_file: PEM files with certificates to trust in addition to the system's".into(),
            ),
            Self::ClientCaFile(CertificateError::NoCertificate { .. } | CertificateError::NotPem { .. }) => {
                Some("set it to a PEM file with the certificates of the CAs that issue client certificates".into())
            }
            Self::ClientCaFile(source) => Some(source.hint()),
            Self::ClientCa { .. } => {
                Some("check each certificate in the file with: openssl x509 -in FILE -noout -text".into())
            }
            Self::PublicUrl(_) => Some("set client.public_url and client.redirect_uri to https URLs".into()),
            Self::Redirect(error) => error.hint("server.tls.redirect_port").map(Cow::Owned),
            Self::AcmeCaFile(_) => Some("set it to a PEM file with the certificate of the CA that issued the directory's certificate".into()),
            Self::Acme { hint, .. } => hint.as_deref().map(Cow::Borrowed),
            Self::Socket(_) | Self::Threads(_) | Self::Rustls(_) => None,
        }
    }
}

/// The hints of the client certificate name its settings and Entra ID, which have nothing to do with TLS.
fn certificate_hint(purpose: Purpose, error: &CertificateError) -> Cow<'_, str> {
    let prefix = purpose.prefix();
    match error {
        CertificateError::NoKey { .. } => {
            format!("put the private key into the same file, or set {prefix}key_path to the file that has it").into()
        }
        CertificateError::PassphraseMissing { .. } => {
            format!("set {prefix}key_passphrase_file to a file with the passphrase, or {prefix}key_passphrase").into()
        }
        CertificateError::PassphraseWrong { .. } => {
            format!("check {prefix}key_passphrase_file with: openssl pkey -in FILE -noout").into()
        }
        CertificateError::Weak { .. } => {
            "have a new certificate issued for an EC key (P-256), or for an RSA key of 2048 bits or more".into()
        }
        CertificateError::NotYetValid { .. } => {
            "check this machine's clock, or use the certificate that is valid now".into()
        }
        CertificateError::Expired { .. } => {
            "put the renewed certificate and its key into place; see docs/tls.md for renewal by ACME".into()
        }
        other => other.hint(),
    }
}
