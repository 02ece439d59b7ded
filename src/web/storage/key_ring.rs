//! The keys of `client.cookie_key`. The first one seals and signs; all of them open and verify, so that a key can be
//! replaced while data sealed with the previous one is still in use.
//!
//! Sealed data (AES-256-GCM) cannot be read or changed without a key, nor moved to another place: a name is part of the
//! seal.

use actix_web::cookie::Key;
use openssl::{
    rand::rand_bytes,
    sha::sha512,
    symm::{Cipher, decrypt_aead, encrypt_aead},
};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

/// Length of the nonce in bytes (NIST SP 800-38D §8.2.2: random, 96 bits).
const NONCE: usize = 12;
/// Length of the authentication tag in bytes.
const TAG: usize = 16;

/// Keys for cookies and for records in Redis.
#[derive(Clone)]
pub struct KeyRing(Vec<Key>);

impl KeyRing {
    /// Derives keys from the configured texts, the newest first. Each text is hashed, so that none is too short for the
    /// derivation.
    pub fn new(texts: &[SecretString]) -> Self {
        Self(
            texts
                .iter()
                .map(|text| Key::derive_from(&sha512(text.expose_secret().as_bytes())))
                .collect(),
        )
    }

    /// Adds a random key if there is none.
    #[must_use]
    pub fn or_random(mut self) -> Self {
        if self.0.is_empty() {
            self.0.push(Key::generate());
        }
        self
    }

    /// The key that seals, if there is one.
    pub fn first(&self) -> Option<&Key> {
        self.0.first()
    }

    /// The key that seals; a random one if there is none.
    pub fn newest(&self) -> Key {
        self.first().cloned().unwrap_or_else(Key::generate)
    }

    /// The keys that only open.
    pub fn older(&self) -> &[Key] {
        self.0.get(1..).unwrap_or_default()
    }

    /// Seals `plain` under `name`: nonce, ciphertext, tag. `None` when there is no key, or no random bytes.
    pub fn seal(&self, name: &str, plain: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE];
        rand_bytes(&mut nonce).ok()?;
        let mut tag = [0; TAG];
        let key = self.first()?.encryption();
        let sealed = encrypt_aead(
            Cipher::aes_256_gcm(),
            key,
            Some(&nonce),
            name.as_bytes(),
            plain,
            &mut tag,
        )
        .ok()?;
        Some([nonce.as_slice(), &sealed, &tag].concat())
    }

    /// Opens what any of the keys sealed under `name`.
    pub fn open(&self, name: &str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (nonce, rest) = sealed.split_at_checked(NONCE)?;
        let (sealed, tag) = rest.split_at_checked(rest.len().checked_sub(TAG)?)?;
        self.0
            .iter()
            .find_map(|key| {
                let name = name.as_bytes();
                decrypt_aead(Cipher::aes_256_gcm(), key.encryption(), Some(nonce), name, sealed, tag).ok()
            })
            .map(Zeroizing::new)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ring(texts: &[&str]) -> KeyRing {
        KeyRing::new(&texts.iter().map(|text| SecretString::from(*text)).collect::<Vec<_>>())
    }

    #[test]
    fn data_of_an_older_key_opens_and_data_of_a_foreign_key_does_not() {
        let (old, both, new) = (ring(&["old"]), ring(&["new", "old"]), ring(&["new"]));
        let of_old = old.seal("a", b"text").unwrap();
        assert_eq!(both.open("a", &of_old).unwrap().as_slice(), b"text");
        assert!(new.open("a", &of_old).is_none());
        let of_both = both.seal("a", b"text").unwrap();
        assert!(new.open("a", &of_both).is_some(), "the first key seals");
        assert!(old.open("a", &of_both).is_none());
        assert!(ring(&[]).seal("a", b"text").is_none());
    }

    #[test]
    fn a_seal_is_valid_for_its_own_name_only_and_each_differs() {
        let ring = ring(&["key"]);
        let sealed = ring.seal("a", b"text").unwrap();
        assert!(ring.open("b", &sealed).is_none());
        assert_ne!(ring.seal("a", b"text").unwrap(), sealed);
        assert!(!sealed.windows(4).any(|bytes| bytes == b"text"));
    }

    proptest! {
        #[test]
        fn no_bit_of_a_seal_can_be_changed(text in prop::collection::vec(any::<u8>(), 0..64), at in any::<prop::sample::Index>(), bit in 0..8) {
            let ring = ring(&["key"]);
            let mut sealed = ring.seal("a", &text).unwrap();
            let opened = ring.open("a", &sealed).unwrap();
            prop_assert_eq!(opened.as_slice(), text.as_slice());
            let at = at.index(sealed.len());
            sealed[at] ^= 1_u8 << bit;
            prop_assert!(ring.open("a", &sealed).is_none());
            prop_assert!(ring.open("a", &sealed[..at]).is_none());
        }
    }
}
