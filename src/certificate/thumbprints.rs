//! Thumbprints: digests of a certificate's DER, in the formats that Entra and its tools use.

use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use openssl::sha::{sha1, sha256};

/// Digests of a certificate's DER.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thumbprints {
    /// SHA-1.
    pub sha1: [u8; 20],
    /// SHA-256.
    pub sha256: [u8; 32],
}

impl Thumbprints {
    /// Computes the digests of a certificate in DER.
    pub fn from_der(der: &[u8]) -> Self {
        Self {
            sha1: sha1(der),
            sha256: sha256(der),
        }
    }
    /// Upper-case hex, as the portal shows it.
    pub fn sha1_hex(&self) -> String {
        hex::encode_upper(self.sha1)
    }
    /// Upper-case hex.
    pub fn sha256_hex(&self) -> String {
        hex::encode_upper(self.sha256)
    }
    /// base64url without padding (RFC 7515 §4.1.7).
    pub fn x5t(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.sha1)
    }
    /// base64url without padding (RFC 7515 §4.1.8).
    pub fn x5t_s256(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.sha256)
    }
    /// SHA-1 in standard base64: `customKeyIdentifier` in the manifest of an app registration.
    pub fn custom_key_identifier(&self) -> String {
        STANDARD.encode(self.sha1)
    }
}

/// A pasted thumbprint in upper-case hex without separators; empty if it is not hex. Windows' certificate dialog puts an invisible
/// left-to-right mark before it, openssl puts `SHA1 Fingerprint=`.
pub(super) fn normalized(thumbprint: &str) -> String {
    let digits = thumbprint.rsplit_once('=').map_or(thumbprint, |(_, digits)| digits);
    let kept = digits.chars().filter(char::is_ascii_alphanumeric);
    let digits: String = kept.map(|c| c.to_ascii_uppercase()).collect();
    if digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        digits
    } else {
        String::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_digests_have_the_expected_form_in_each_format() {
        // FIPS 180-4's digests of "abc".
        let thumbprints = Thumbprints::from_der(b"abc");
        assert_eq!(thumbprints.sha1_hex(), "A9993E364706816ABA3E25717850C26C9CD0D89D");
        assert_eq!(
            thumbprints.sha256_hex(),
            "BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD"
        );
        assert_eq!(thumbprints.x5t(), "qZk-NkcGgWq6PiVxeFDCbJzQ2J0");
        assert_eq!(thumbprints.x5t_s256(), "ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0");
        assert_eq!(thumbprints.custom_key_identifier(), "qZk+NkcGgWq6PiVxeFDCbJzQ2J0=");
    }

    #[test]
    fn a_pasted_thumbprint_is_read_with_any_separators() {
        for pasted in [
            "aa:bb:0c",
            "AA BB 0C",
            " aabb0c\n",
            "\u{200e}AABB0C",
            "aA-Bb-0c",
            "\u{feff}aa\u{a0}bb\u{200b}0c",
            "SHA1 Fingerprint=AA:BB:0C",
        ] {
            assert_eq!(normalized(pasted), "AABB0C", "{pasted:?}");
        }
        assert_eq!(normalized("qZk-NkcGgWq6PiVxeFDCbJzQ2J0"), "", "base64url is not hex");
    }
}
