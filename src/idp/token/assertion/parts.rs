//! The parts of a JWT in compact form, decoded but not trusted.
//!
//! Decoded here and not by josekit, which refuses the padded thumbprints and the line breaks in `x5c` that MSAL sends.

use std::fmt;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD},
};
use serde_json::{Map, Value};

use crate::idp::{
    certificate::RegisteredCertificate,
    error::{Refusal, invalid_client},
};

/// Longest assertion that is looked at, in bytes.
const MAX_LENGTH: usize = 64 * 1024;

/// Header, claims and signature.
#[derive(Debug)]
pub struct Parts {
    /// JOSE header.
    pub header: Map<String, Value>,
    /// Claims set.
    pub claims: Map<String, Value>,
    /// What the signature covers.
    pub signing_input: String,
    /// The signature's bytes.
    pub signature: Vec<u8>,
}

impl Parts {
    /// Takes an assertion apart.
    ///
    /// # Errors
    /// AADSTS50027 when it is not a JWS in compact form (RFC 7515 §3.1) of JSON objects, or has critical extensions.
    pub fn read(assertion: &str) -> Result<Self, Refusal> {
        if assertion.len() > MAX_LENGTH {
            return Err(malformed());
        }
        let (signing_input, signature) = assertion.rsplit_once('.').ok_or_else(malformed)?;
        let (header, claims) = signing_input.split_once('.').ok_or_else(malformed)?;
        let decode = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed());
        let object = |part: &str| serde_json::from_slice(&decode(part)?).map_err(|_| malformed());
        let parts = Self {
            header: object(header)?,
            claims: object(claims)?,
            signing_input: signing_input.to_owned(),
            signature: decode(signature)?,
        };
        // RFC 7515 §4.1.11: an extension that is not understood must not be skipped, and none is understood here.
        if parts.header.contains_key("crit") {
            Err(malformed())
        } else {
            Ok(parts)
        }
    }

    /// `alg` of the header.
    ///
    /// # Errors
    /// AADSTS50027 when it is missing or not text.
    pub fn alg(&self) -> Result<&str, Refusal> {
        self.header.get("alg").and_then(Value::as_str).ok_or_else(malformed)
    }

    /// A claim that must be text. (`aud` could be an array by RFC 7519 §4.1.3; Entra wants one value.)
    ///
    /// # Errors
    /// AADSTS90014 when it is missing, empty, or something else.
    pub fn text(&self, name: &str) -> Result<&str, Refusal> {
        self.claims
            .get(name)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
            .ok_or_else(|| missing(name))
    }
}

/// How the header names the certificate.
#[derive(Debug)]
pub struct Thumbprint {
    sha256: Option<Vec<u8>>,
    sha1: Option<Vec<u8>>,
}

impl Thumbprint {
    /// Reads `x5t#S256` and `x5t` (RFC 7515 §4.1.7 and §4.1.8).
    ///
    /// # Errors
    /// AADSTS5002723 when both are missing, 50027 when one is not base64url, 70002 when one is padded in strict mode.
    pub fn of(header: &Map<String, Value>, strict: bool) -> Result<Self, Refusal> {
        let read = |name: &str| header.get(name).map(|value| decode(value, strict)).transpose();
        let thumbprint = Self {
            sha256: read("x5t#S256")?,
            sha1: read("x5t")?,
        };
        if thumbprint.sha256.is_none() && thumbprint.sha1.is_none() {
            return Err(invalid_client(
                5_002_723,
                "Invalid JWT token. No certificate SHA-1 thumbprint, certificate SHA-256 thumbprint, nor keyId specified in \
                 token header.",
            ));
        }
        Ok(thumbprint)
    }

    /// Whether this names the certificate. With both thumbprints, both must.
    pub fn is_of(&self, certificate: &RegisteredCertificate) -> bool {
        self.sha256.as_ref().is_none_or(|digest| *digest == certificate.sha256)
            && self.sha1.as_ref().is_none_or(|digest| *digest == certificate.sha1)
    }
}

impl fmt::Display for Thumbprint {
    /// In capital hexadecimal digits, as Entra's messages have it.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digest = self
            .sha256
            .as_ref()
            .or(self.sha1.as_ref())
            .map(Vec::as_slice)
            .unwrap_or_default();
        digest.iter().try_for_each(|byte| write!(formatter, "{byte:02X}"))
    }
}

fn decode(value: &Value, strict: bool) -> Result<Vec<u8>, Refusal> {
    let text = value.as_str().ok_or_else(malformed)?;
    if let Ok(digest) = URL_SAFE_NO_PAD.decode(text) {
        return Ok(digest);
    }
    let digest = URL_SAFE
        .decode(text)
        .or_else(|_| STANDARD.decode(text))
        .map_err(|_| malformed())?;
    if strict {
        Err(not_strict(
            "its certificate thumbprint is not base64url without padding",
        ))
    } else {
        Ok(digest)
    }
}

fn malformed() -> Refusal {
    invalid_client(50027, "JWT token is invalid or malformed.")
}

/// AADSTS90014: a claim is missing.
pub fn missing(name: &str) -> Refusal {
    invalid_client(
        90014,
        format!(
            "The required field '{name}' is missing from the credential. Ensure that you have all the necessary parameters for \
             the login request."
        ),
    )
}

/// What Entra would take, but the best form of an assertion does not have.
pub fn not_strict(what: &str) -> Refusal {
    invalid_client(
        70002,
        format!(
            "Client assertion is not in its best form: {what}. (Strict mode of the development identity provider.)"
        ),
    )
}
