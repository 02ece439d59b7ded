//! The parts of a JWT in compact form, decoded but not trusted.
//!
//! josekit cannot decode them: it rejects the padded thumbprints and the line breaks in `x5c` that MSAL sends.

use std::fmt;

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD},
};
use serde_json::{Map, Value};

use crate::idp::{
    certificate::RegisteredCertificate,
    error::{OAuthError, invalid_client},
};

/// Longest assertion that is decoded, in bytes.
const MAX_LENGTH: usize = 64 * 1024;

/// Header, claims and signature.
#[derive(Debug)]
pub struct JwtParts {
    pub header: Map<String, Value>,
    pub claims: Map<String, Value>,
    /// The bytes that the signature covers.
    pub signing_input: String,
    pub signature: Vec<u8>,
}

impl JwtParts {
    /// Decodes an assertion.
    ///
    /// # Errors
    /// AADSTS50027 unless it is a JWS in compact form (RFC 7515 §3.1) of JSON objects without critical extensions.
    pub fn parse(assertion: &str) -> Result<Self, OAuthError> {
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
        // RFC 7515 §4.1.11: a recipient must reject critical extensions that it does not implement. None is implemented
        // here.
        if parts.header.contains_key("crit") {
            Err(malformed())
        } else {
            Ok(parts)
        }
    }

    /// `alg` of the header.
    ///
    /// # Errors
    /// AADSTS50027 if it is missing or not a string.
    pub fn alg(&self) -> Result<&str, OAuthError> {
        self.header.get("alg").and_then(Value::as_str).ok_or_else(malformed)
    }

    /// A claim that must be a string. (RFC 7519 §4.1.3 allows an array for `aud`; Entra wants one value.)
    ///
    /// # Errors
    /// AADSTS90014 if it is missing, empty, or not a string.
    pub fn text(&self, name: &str) -> Result<&str, OAuthError> {
        self.claims
            .get(name)
            .and_then(Value::as_str)
            .filter(|text| !text.is_empty())
            .ok_or_else(|| missing(name))
    }
}

/// The thumbprints that the header names the certificate by.
#[derive(Debug)]
pub struct Thumbprint {
    sha256: Option<Vec<u8>>,
    sha1: Option<Vec<u8>>,
}

impl Thumbprint {
    /// Reads `x5t#S256` and `x5t` (RFC 7515 §4.1.7 and §4.1.8).
    ///
    /// # Errors
    /// AADSTS5002723 if both are missing, 50027 if one is not base64url, 70002 if one is padded in strict mode.
    pub fn from_header(header: &Map<String, Value>, strict: bool) -> Result<Self, OAuthError> {
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

    /// Whether this names the certificate. If both thumbprints are present, both must match.
    pub fn matches(&self, certificate: &RegisteredCertificate) -> bool {
        self.sha256.as_ref().is_none_or(|digest| *digest == certificate.sha256)
            && self.sha1.as_ref().is_none_or(|digest| *digest == certificate.sha1)
    }
}

impl fmt::Display for Thumbprint {
    /// In upper-case hexadecimal, as in Entra's messages.
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

fn decode(value: &Value, strict: bool) -> Result<Vec<u8>, OAuthError> {
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

fn malformed() -> OAuthError {
    invalid_client(50027, "JWT token is invalid or malformed.")
}

/// AADSTS90014: a claim is missing.
pub fn missing(name: &str) -> OAuthError {
    invalid_client(
        90014,
        format!(
            "The required field '{name}' is missing from the credential. Ensure that you have all the necessary parameters for \
             the login request."
        ),
    )
}

/// AADSTS70002: Entra would accept this, but it is not the best form of an assertion.
pub fn not_strict(what: &str) -> OAuthError {
    invalid_client(
        70002,
        format!(
            "Client assertion is not in its best form: {what}. (Strict mode of the development identity provider.)"
        ),
    )
}
