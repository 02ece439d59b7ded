//! A signed token (JWS compact form, RFC 7515 §7.1) before and at the check of its signature: what access and ID tokens
//! have in common. The algorithm is RS256 because we say so, never because the token does (RFC 8725 §3.1), and only
//! keys of the provider count: nothing in the header (`jku`, `x5u`, `jwk`, `x5c`) names another.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{
    Deserialize,
    de::{DeserializeOwned, IgnoredAny},
};

use super::signing_keys::SigningKey;

/// Longest token that is looked at. Entra's stay under 8 KB even with hundreds of group claims.
const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// Why a token is not one that the provider signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JwsError {
    /// Longer than 16 KB.
    #[error("it is longer than 16 KB")]
    TooLong,
    /// Not three non-empty parts of base64url without padding, or the first is no JSON object with unique names.
    #[error("it is not a signed JWT of three base64url parts")]
    Malformed,
    /// Five parts: encrypted (JWE, RFC 7516 §7.1).
    #[error("it is encrypted (JWE), not signed")]
    Encrypted,
    /// `cty` says that the payload is a token itself (RFC 7519 §5.2).
    #[error("it holds another token (cty)")]
    Nested,
    /// `typ` is not one of those expected here (RFC 8725 §3.11).
    #[error("its typ is not expected here")]
    Type,
    /// `alg` is not RS256.
    #[error("its alg is not RS256")]
    Algorithm,
    /// `crit` demands what we do not understand (RFC 7515 §4.1.11), or `b64` changes what is signed (RFC 7797).
    #[error("its header has crit or b64")]
    Critical,
    /// No `kid`.
    #[error("its header has no kid")]
    MissingKeyId,
    /// The signature is not of the key that `kid` names.
    #[error("its signature is not valid")]
    Signature,
}

/// A token of the right shape that nobody has verified yet.
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

/// What kind of token is expected: one kind is never taken for another on the strength of its signature alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// `typ` `JWT`, as Entra writes it, or `at+jwt` (RFC 9068 §2.1).
    Access,
    /// `typ` `JWT`.
    Id,
}

impl TokenKind {
    /// `typ` is a media type whose `application/` may be left out, and whose case does not matter (RFC 7515 §4.1.9).
    fn takes(self, typ: &str) -> bool {
        let typ = typ.to_ascii_lowercase();
        match typ.strip_prefix("application/").unwrap_or(&typ) {
            "jwt" => true,
            "at+jwt" => self == Self::Access,
            _ => false,
        }
    }
}

impl<'a> UnverifiedJws<'a> {
    /// Checks shape and header; returns the token and the `kid` of the key that it claims to be signed with.
    pub(super) fn parse(token: &'a str, expected: TokenKind) -> Result<(Self, String), JwsError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(JwsError::TooLong);
        }
        // Its second part may be empty: the key is agreed upon beforehand (RFC 7518 §4.5).
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
        // A derived struct refuses a name that occurs twice, which a map would silently take the last of.
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
        if !header.typ.is_some_and(|typ| expected.takes(&typ)) {
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

    /// The payload of a token that is being refused anyway, to say better why. Never to be believed.
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

    fn refusal(token: &str) -> Option<JwsError> {
        UnverifiedJws::parse(token, TokenKind::Access).err()
    }

    #[test]
    fn a_token_of_the_right_shape_names_its_key() {
        for typ in ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt"] {
            let token = token(&format!(r#"{{"alg":"RS256","kid":"one","typ":"{typ}"}}"#));
            let kid = UnverifiedJws::parse(&token, TokenKind::Access).map(|(_, kid)| kid);
            assert_eq!(kid, Ok("one".to_owned()), "{typ}");
        }
    }

    #[test]
    fn an_access_token_by_its_type_is_no_id_token() {
        let token = token(r#"{"alg":"RS256","kid":"one","typ":"at+jwt"}"#);
        assert_eq!(UnverifiedJws::parse(&token, TokenKind::Id).err(), Some(JwsError::Type));
    }

    #[test]
    fn every_other_shape_is_refused() {
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
            assert_eq!(refusal(shape), Some(JwsError::Malformed), "{shape:?}");
        }
        assert_eq!(refusal(&format!("{good}.a.b")), Some(JwsError::Encrypted));
        assert_eq!(refusal(&"a".repeat(MAX_TOKEN_BYTES + 1)), Some(JwsError::TooLong));
    }

    #[test]
    fn every_other_header_is_refused() {
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
            assert_eq!(refusal(&token(header)), Some(expected), "{header}");
        }
    }
}
