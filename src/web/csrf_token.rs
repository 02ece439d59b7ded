//! CSRF tokens as pages show them and forms send them back.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use subtle::ConstantTimeEq;

/// Length of a token, and of the mask over it, in bytes.
const TOKEN_BYTES: usize = 32;

/// Masks the token with a new random pad, so that no two responses contain the same text. Responses are compressed: an
/// attacker who sees their lengths and can place text in them could otherwise guess the token piece by piece (BREACH).
/// The OWASP cheat sheet on cross-site request forgery recommends this mask.
pub fn mask(token: &str) -> String {
    let pad: [u8; TOKEN_BYTES] = rand::random();
    match URL_SAFE_NO_PAD.decode(token) {
        Ok(bytes) if bytes.len() == TOKEN_BYTES => {
            let masked = bytes.iter().zip(pad).map(|(byte, pad)| byte ^ pad);
            URL_SAFE_NO_PAD.encode(pad.into_iter().chain(masked).collect::<Vec<_>>())
        }
        // Not a token of this site: nothing to hide.
        _ => token.to_owned(),
    }
}

/// Whether a form sent the token `expected`, masked or not.
pub fn matches(given: &str, expected: &str) -> bool {
    is_equal(&unmask(given), expected)
}

/// Removes the mask. Other text stays as it is, also a token without a mask.
fn unmask(given: &str) -> String {
    let bytes = URL_SAFE_NO_PAD.decode(given).unwrap_or_default();
    match bytes.split_at_checked(TOKEN_BYTES) {
        Some((pad, masked)) if masked.len() == TOKEN_BYTES => {
            URL_SAFE_NO_PAD.encode(masked.iter().zip(pad).map(|(byte, pad)| byte ^ pad).collect::<Vec<_>>())
        }
        _ => given.to_owned(),
    }
}

/// Compares in constant time.
fn is_equal(given: &str, expected: &str) -> bool {
    given.as_bytes().ct_eq(expected.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::storage::random_id;

    #[test]
    fn a_token_looks_different_on_each_page_and_is_the_same() {
        let token = random_id();
        let masked: Vec<_> = (0..3).map(|_| mask(&token)).collect();
        for one in &masked {
            assert_eq!(unmask(one), token);
            assert!(
                !one.contains(&token) && masked.iter().filter(|other| *other == one).count() == 1,
                "{masked:?}"
            );
        }
        assert_eq!(unmask(&token), token, "of a page from before");
        for made_up in ["", "made-up", &"A".repeat(86), &"A".repeat(85), &"é".repeat(43)] {
            assert_ne!(unmask(made_up), token);
        }
    }

    #[test]
    fn only_the_whole_token_is_the_token() {
        assert!(is_equal("abc", "abc"));
        for other in ["", "ab", "abcd", "abd", "ABC"] {
            assert!(!is_equal(other, "abc"), "{other}");
        }
    }
}
