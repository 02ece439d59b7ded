//! The client assertion (RFC 7523 §2.2, Microsoft Learn "certificate credentials"): made fresh for every request.
//! Never kept: one that is sent again may be past its `exp` (AADSTS700024), and a strict server counts `jti`s.

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

/// `nbf` lies so far back, for a server whose clock is a little behind ours.
const BACKDATE_SECONDS: i64 = 5;
/// `exp` lies so far ahead: with the back-dating, inside the 5 to 10 minutes after `nbf` that Microsoft recommends.
const LIFETIME_SECONDS: i64 = 5 * 60;

/// What an assertion is made of.
#[derive(Debug, Clone, Copy)]
pub struct ClientAssertion<'a> {
    /// Who signs.
    pub certificate: &'a ClientCertificate,
    /// How it is signed, and how it names the certificate.
    pub form: AssertionForm,
    /// Whether the certificate chain goes with it (`x5c`), for registrations by subject name and issuer.
    pub send_x5c: bool,
    /// Application (client) id: `iss` and `sub`.
    pub client_id: &'a str,
    /// The token endpoint: `aud`.
    pub audience: &'a Url,
}

/// Members in the order of RFC 7523 §3. Times are integers: JSON fractions are taken by Entra, but not by all.
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
    /// Makes and signs one, with a `jti` of its own. An RSA signature: one to five
    /// milliseconds, or a request to Key Vault.
    ///
    /// # Errors
    /// When the certificate is not in date at `now`, or its key does not sign.
    pub fn sign(&self, now: DateTime<Utc>) -> Result<SecretString, CertificateError> {
        self.certificate.check_dates(now)?;
        let signed = serde_json::to_vec(&self.claims(now.timestamp()))
            .map_err(|error| JoseError::InvalidJson(error.into()))
            .and_then(|claims| jws::serialize_compact(&claims, &self.header(), self.certificate.signer(self.form)));
        signed
            .map(SecretString::from)
            .map_err(|error| self.certificate.signing_failed(&error))
    }

    /// `alg` is added by the signer.
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
