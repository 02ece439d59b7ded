//! The client assertion (RFC 7523 §2.2, Microsoft Learn "certificate credentials"). Every request gets a new one: a reused
//! assertion may be past its `exp` (AADSTS700024), and a strict server rejects a `jti` that it has seen.

use chrono::{DateTime, Utc};
use josekit::{
    JoseError,
    jws::{self, JwsHeader},
};
use secrecy::SecretString;
use serde::Serialize;
use url::Url;
use uuid::Uuid;

use crate::{
    certificate::{CertificateError, ClientCertificate},
    config::AssertionForm,
};

/// `nbf` is this far in the past, for a server whose clock is a little behind ours.
const BACKDATE_SECONDS: i64 = 5;
/// `exp` is this far in the future. With the backdated `nbf`, the lifetime is within the 5 to 10 minutes that Microsoft recommends.
const LIFETIME_SECONDS: i64 = 5 * 60;

/// The parts of an assertion.
#[derive(Debug, Clone, Copy)]
pub struct ClientAssertion<'a> {
    /// The certificate whose key signs.
    pub certificate: &'a ClientCertificate,
    /// Signature algorithm, and how the header names the certificate.
    pub form: AssertionForm,
    /// Whether the header includes the certificate chain (`x5c`), for registrations by subject name and issuer.
    pub send_x5c: bool,
    /// Application (client) id: `iss` and `sub`.
    pub client_id: &'a str,
    /// The token endpoint: `aud`.
    pub audience: &'a Url,
}

/// In the order of RFC 7523 §3. Times are integers: Entra accepts fractions, some servers do not.
#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    exp: i64,
    nbf: i64,
    iat: i64,
    jti: String,
}

impl ClientAssertion<'_> {
    /// Makes and signs an assertion with a new `jti`. The RSA signature takes one to five milliseconds, or a request to Key
    /// Vault.
    ///
    /// # Errors
    /// When the certificate is not valid at `now`, or its key does not sign.
    pub fn sign(&self, now: DateTime<Utc>) -> Result<SecretString, CertificateError> {
        self.certificate.check_dates(now)?;
        let signed = serde_json::to_vec(&self.claims(now.timestamp()))
            .map_err(|error| JoseError::InvalidJson(error.into()))
            .and_then(|claims| jws::serialize_compact(&claims, &self.header(), self.certificate.signer(self.form)));
        signed
            .map(SecretString::from)
            .map_err(|error| self.certificate.signing_error(&error))
    }

    /// The signer adds `alg`.
    fn header(&self) -> JwsHeader {
        let thumbprints = self.certificate.thumbprints();
        let mut header = JwsHeader::new();
        header.set_token_type("JWT");
        match self.form {
            AssertionForm::Ps256Sha256 => header.set_x509_certificate_sha256_thumbprint(thumbprints.sha256),
            AssertionForm::Rs256Sha1 => header.set_x509_certificate_sha1_thumbprint(thumbprints.sha1),
        }
        if self.send_x5c {
            header.set_x509_certificate_chain(&self.certificate.chain().to_vec());
        }
        header
    }

    fn claims(&self, now: i64) -> Claims<'_> {
        Claims {
            iss: self.client_id,
            sub: self.client_id,
            aud: self.audience.as_str(),
            exp: now + LIFETIME_SECONDS,
            nbf: now - BACKDATE_SECONDS,
            iat: now,
            jti: Uuid::new_v4().to_string(),
        }
    }
}
