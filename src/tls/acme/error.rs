//! Why no certificate could be obtained from the CA.

use std::{borrow::Cow, path::PathBuf};

use instant_acme::Problem;

use super::schedule::Failure;
use crate::{certificate::CertificateError, hint::Hint};

/// Why no certificate could be obtained from the CA.
#[derive(Debug, thiserror::Error)]
pub(super) enum AcmeError {
    /// A file in `server.tls.acme.cache_dir` cannot be used.
    #[error("{} cannot be used: {reason}", path.display())]
    Cache { path: PathBuf, reason: String },
    /// The account file is not what was stored.
    #[error("{} is damaged", path.display())]
    Damaged { path: PathBuf },
    /// Something cannot be written as JSON: a defect of the program.
    #[error("cannot be written as JSON: {0}")]
    Json(serde_json::Error),
    /// The CA, or the way to it.
    #[error(transparent)]
    Ca(#[from] instant_acme::Error),
    /// The CA could not verify a domain.
    #[error("the CA could not verify {domain}: {reason}")]
    NotVerified { domain: String, reason: String },
    /// The CA does not verify by http-01.
    #[error("the CA offers no http-01 challenge for {domain}")]
    NoHttpChallenge { domain: String },
    /// The issued certificate cannot be used.
    #[error("the issued certificate cannot be used: {0}")]
    Unusable(#[source] CertificateError),
    /// The issued certificate lacks a domain.
    #[error("the issued certificate is not for {domain}")]
    OtherNames { domain: String },
    /// rustls rejects the issued certificate.
    #[error("the issued certificate cannot be used: {0}")]
    NotInstalled(String),
    /// No key or request can be created.
    #[error("cannot create a key: {0}")]
    Key(#[from] rcgen::Error),
}

impl AcmeError {
    /// Whether the CA answered.
    pub(super) fn failure(&self) -> Failure {
        match self {
            Self::Ca(instant_acme::Error::Other(_)) => Failure::Unreachable,
            _ => Failure::Rejected,
        }
    }

    /// Whether the CA does not know the account, because it is new or has lost its data.
    pub(super) fn is_unknown_account(&self) -> bool {
        self.kind() == Some("accountDoesNotExist")
    }

    /// The kind of the CA's problem (RFC 8555 §6.7).
    fn kind(&self) -> Option<&str> {
        let Self::Ca(instant_acme::Error::Api(Problem { r#type: Some(kind), .. })) = self else {
            return None;
        };
        kind.strip_prefix("urn:ietf:params:acme:error:")
    }
}

impl Hint for AcmeError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        let hint = match self {
            Self::Cache { .. } => {
                "server.tls.acme.cache_dir must be a folder of this account with mode 0700, and its files must have mode 0600"
            }
            Self::Damaged { .. } => "delete it: the next attempt creates a new account",
            Self::NotVerified { .. } => {
                "the CA must reach http://DOMAIN/.well-known/acme-challenge/ on port 80: forward that port to \
                 server.tls.redirect_port, and check the DNS entries of the domain"
            }
            Self::NoHttpChallenge { .. } => "use another CA, or a certificate in a file (server.tls.cert_path)",
            Self::OtherNames { .. } | Self::Unusable(_) => "check server.tls.acme.domains, and this machine's clock",
            Self::Ca(instant_acme::Error::Json(_)) => "set server.tls.acme.directory to the URL of the CA's directory",
            Self::Ca(_) => match self.kind() {
                Some("rateLimited") => {
                    "the CA issues no more certificates for now; the server waits as long as it asks"
                }
                Some("rejectedIdentifier" | "malformed") => "check server.tls.acme.domains",
                Some("invalidContact" | "unsupportedContact") => "check server.tls.acme.contact",
                Some("externalAccountRequired") => "this CA requires external account binding, which is not supported",
                Some("caa") => "allow the CA in the domain's CAA records",
                Some(_) => return None,
                None => {
                    "check server.tls.acme.directory, server.tls.acme.ca_file, and whether this machine reaches the CA"
                }
            },
            Self::Json(_) | Self::Key(_) | Self::NotInstalled(_) => return None,
        };
        Some(Cow::Borrowed(hint))
    }
}
