//! Unguessable identifiers.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

/// 256 random bits, base64url: the form of session ids, tickets and CSRF tokens.
pub fn random_id() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; 32]>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_hold_256_bits_and_differ() {
        let (one, other) = (random_id(), random_id());
        assert_ne!(one, other);
        assert_eq!(URL_SAFE_NO_PAD.decode(one).map(|bytes| bytes.len()), Ok(32));
    }
}
