//! Parsing and signature verification of access and ID tokens (JWS compact form, RFC 7515 §7.1). The algorithm is always
//! RS256, whatever the token says (RFC 8725 §3.1). Only the provider's keys verify: `jku`, `x5u`, `jwk` and `x5c` in the
//! header are ignored.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{
    Deserialize,
    de::{DeserializeOwned, IgnoredAny},
};

use super::signing_keys::SigningKey;

/// Longest accepted token. Entra's stay under 8 KB even with hundreds of group claims.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// Why a token is not accepted as signed by the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JwsError {
    /// Longer than 16 KB.
    #[error("it is longer than 16 KB")]
    TooLong,
    /// Not three non-empty parts of base64url without padding, or the header is not a JSON object with unique names.
    #[error("it is not a signed JWT of three base64url parts")]
    Malformed,
    /// Five parts: encrypted (JWE, RFC 7516 §7.1).
    #[error("it is encrypted (JWE), not signed")]
    Encrypted,
    /// `cty` says that the payload is a token itself (RFC 7519 §5.2).
    #[error("it holds another token (cty)")]
    Nested,
    /// `typ` is not expected here (RFC 8725 §3.11).
    #[error("its typ is not expected here")]
    Type,
    /// `alg` is not RS256.
    #[error("its alg is not RS256")]
    Algorithm,
    /// `crit` demands an extension that is not supported (RFC 7515 §4.1.11), or `b64` changes the signed data (RFC 7797).
    #[error("its header has crit or b64")]
    Critical,
    /// No `kid`.
    #[error("its header has no kid")]
    MissingKeyId,
    /// The key that `kid` names did not make the signature.
    #[error("its signature is not valid")]
    Signature,
}

/// A well-formed token whose signature has not been verified.
#[derive(Clone, Copy)]
pub(super) struct UnverifiedJws<'a> {
    token: &'a str,
}

#[derive(Deserialize)]
struct Header {
    alg: Option<String>,
    kid: Option<String>,
    typ: Option<String>,
    cty: Option<String>,
    enc: Option<IgnoredAny>,
    crit: Option<IgnoredAny>,
    b64: Option<IgnoredAny>,
}

/// The expected kind of token: a valid signature alone must not make an ID token pass as an access token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// `typ` `JWT`, as Entra writes it, or `at+jwt` (RFC 9068 §2.1).
    Access,
    /// `typ` `JWT`.
    Id,
}

impl TokenKind {
    /// `typ` is a case-insensitive media type whose `application/` may be omitted (RFC 7515 §4.1.9).
    fn accepts(self, typ: &str) -> bool {
        let typ = typ.to_ascii_lowercase();
        match typ.strip_prefix("application/").unwrap_or(&typ) {
            "jwt" => true,
            "at+jwt" => self == Self::Access,
            _ => false,
        }
    }
}

impl<'a> UnverifiedJws<'a> {
    /// Checks form and header; returns the token and the `kid` that it claims.
    pub(super) fn parse(token: &'a str, expected: TokenKind) -> Result<(Self, String), JwsError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(JwsError::TooLong);
        }
        // The second part may be empty, with a key agreed beforehand (RFC 7518 §4.5).
        if token.split('.').count() == 5 {
            return Err(JwsError::Encrypted);
        }
        let mut parts = token.split('.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(JwsError::Malformed);
        };
        if ![header, payload, signature].into_iter().all(is_base64url) {
            return Err(JwsError::Malformed);
        }
        // A derived struct rejects a name that occurs twice; a map would silently keep the last value.
        let header: Header = decode(header).ok_or(JwsError::Malformed)?;
        if header.enc.is_some() {
            return Err(JwsError::Encrypted);
        }
        if header.alg.as_deref() != Some("RS256") {
            return Err(JwsError::Algorithm);
        }
        if header.crit.is_some() || header.b64.is_some() {
            return Err(JwsError::Critical);
        }
        if header.cty.is_some() {
            return Err(JwsError::Nested);
        }
        if !header.typ.is_some_and(|typ| expected.accepts(&typ)) {
            return Err(JwsError::Type);
        }
        let kid = header.kid.filter(|kid| !kid.is_empty()).ok_or(JwsError::MissingKeyId)?;
        Ok((Self { token }, kid))
    }

    /// Verifies the signature; returns the payload.
    pub(super) fn verify(self, key: &SigningKey) -> Result<Vec<u8>, JwsError> {
        let (payload, _) =
            josekit::jws::deserialize_compact(self.token, key.verifier()).map_err(|_| JwsError::Signature)?;
        Ok(payload)
    }

    /// The payload without verification, to explain why a token is rejected. Must never be trusted.
    pub(super) fn peek<T: DeserializeOwned>(self) -> Option<T> {
        decode(self.token.split('.').nth(1)?)
    }
}

fn is_base64url(part: &str) -> bool {
    !part.is_empty()
        && part
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

fn decode<T: DeserializeOwned>(part: &str) -> Option<T> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(header: &str) -> String {
        format!("{}.e30.c2ln", URL_SAFE_NO_PAD.encode(header))
    }

    fn error_of(token: &str) -> Option<JwsError> {
        UnverifiedJws::parse(token, TokenKind::Access).err()
    }

    #[test]
    fn a_well_formed_token_names_its_key() {
        for typ in ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt"] {
            let token = token(&format!(r#"{{"alg":"RS256","kid":"one","typ":"{typ}"}}"#));
            let kid = UnverifiedJws::parse(&token, TokenKind::Access).map(|(_, kid)| kid);
            assert_eq!(kid, Ok("one".to_owned()), "{typ}");
        }
    }

    #[test]
    fn a_token_with_the_type_of_an_access_token_is_no_id_token() {
        let token = token(r#"{"alg":"RS256","kid":"one","typ":"at+jwt"}"#);
        assert_eq!(UnverifiedJws::parse(&token, TokenKind::Id).err(), Some(JwsError::Type));
    }

    #[test]
    fn every_other_form_is_rejected() {
        let good = token(r#"{"alg":"RS256","kid":"one","typ":"JWT"}"#);
        for shape in [
            "",
            ".",
            "..",
            "...",
            "a.b",
            "a.b.c.d",
            &format!("{good}="),
            &format!("{good}."),
            &format!(" {good}"),
        ] {
            assert_eq!(error_of(shape), Some(JwsError::Malformed), "{shape:?}");
        }
        assert_eq!(error_of(&format!("{good}.a.b")), Some(JwsError::Encrypted));
        assert_eq!(error_of(&"a".repeat(MAX_TOKEN_BYTES + 1)), Some(JwsError::TooLong));
    }

    #[test]
    fn every_other_header_is_rejected() {
        for (header, expected) in [
            (r#"{"alg":"none","kid":"one"}"#, JwsError::Algorithm),
            (r#"{"alg":"rs256","kid":"one"}"#, JwsError::Algorithm),
            (r#"{"alg":"HS256","kid":"one"}"#, JwsError::Algorithm),
            (r#"{"kid":"one"}"#, JwsError::Algorithm),
            (r#"{"alg":"RS256","typ":"JWT"}"#, JwsError::MissingKeyId),
            (r#"{"alg":"RS256","typ":"JWT","kid":""}"#, JwsError::MissingKeyId),
            (r#"{"alg":"RS256","kid":"one"}"#, JwsError::Type),
            (r#"{"alg":"RS256","kid":"one","typ":""}"#, JwsError::Type),
            (r#"{"alg":"RS256","kid":"one","typ":"logout+jwt"}"#, JwsError::Type),
            (
                r#"{"alg":"RS256","kid":"one","typ":"JWT","cty":"JWT"}"#,
                JwsError::Nested,
            ),
            (
                r#"{"alg":"RSA-OAEP","enc":"A256GCM","kid":"one","typ":"JWT"}"#,
                JwsError::Encrypted,
            ),
            (
                r#"{"alg":"RS256","kid":"one","typ":"JWT","b64":false}"#,
                JwsError::Critical,
            ),
            (
                r#"{"alg":"RS256","kid":"one","crit":["b64"],"b64":false}"#,
                JwsError::Critical,
            ),
            (r#"{"alg":"RS256","kid":"one","alg":"none"}"#, JwsError::Malformed),
            (r#"{"alg":["RS256"],"kid":"one"}"#, JwsError::Malformed),
            (r#"["RS256"]"#, JwsError::Malformed),
            ("not JSON", JwsError::Malformed),
        ] {
            assert_eq!(error_of(&token(header)), Some(expected), "{header}");
        }
    }
}
