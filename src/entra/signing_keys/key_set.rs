//! One fetched key set (RFC 7517 §5): the keys in it that may verify tokens, each made ready once.

use std::{collections::HashMap, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use josekit::jws::{JwsVerifier, RS256, alg::rsassa::RsassaJwsVerifier};
use openssl::{bn::BigNum, pkey::PKey, rsa::Rsa};
use serde::Deserialize;

/// Keys with a shorter modulus are ignored (NIST SP 800-131A).
const MIN_MODULUS_BITS: i32 = 2048;

/// The answer is not a key set.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the answer is not a JSON web key set")]
pub struct JwksError;

/// Keys by `kid`.
pub(in crate::entra) struct KeySet {
    keys: HashMap<String, Arc<VerifyingKey>>,
    generation: u64,
    lifetime: Lifetime,
}

/// How long a key set counts. Moments on [`super::Clock::elapsed`].
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::entra) struct Lifetime {
    /// From when it is to be fetched again in the background.
    pub(in crate::entra) refresh_from: Duration,
    /// From when it no longer counts.
    pub(in crate::entra) expires_at: Duration,
}

struct VerifyingKey {
    /// Building one takes ten times as long as a verification.
    verifier: RsassaJwsVerifier,
    public_key_der: Vec<u8>,
}

/// A key, and the generation of the set that it was found in.
pub(in crate::entra) struct SigningKey {
    key: Arc<VerifyingKey>,
    generation: u64,
}

impl SigningKey {
    pub(in crate::entra) fn verifier(&self) -> &dyn JwsVerifier {
        &self.key.verifier
    }
    /// See [`KeySet::generation`].
    pub(in crate::entra) fn generation(&self) -> u64 {
        self.generation
    }
}

#[derive(Deserialize)]
struct Jwks {
    keys: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
struct Jwk {
    kid: String,
    kty: String,
    #[serde(rename = "use")]
    key_use: Option<String>,
    alg: Option<String>,
    n: String,
    e: String,
}

impl KeySet {
    /// Reads an answer of the provider; keys that are no use for RS256 are left out. `previous` is the set that this one
    /// comes after.
    pub(super) fn parse(json: &[u8], lifetime: Lifetime, previous: Option<&Self>) -> Result<Self, JwksError> {
        let jwks: Jwks = serde_json::from_slice(json).map_err(|_| JwksError)?;
        let mut keys = HashMap::new();
        for value in jwks.keys {
            let Some((kid, key)) = serde_json::from_value(value).ok().and_then(usable) else {
                continue;
            };
            keys.entry(kid).or_insert_with(|| Arc::new(key));
        }
        let generation = previous.map_or(0, |previous| previous.generation + u64::from(previous.has_lost_to(&keys)));
        Ok(Self { keys, generation, lifetime })
    }
    pub(super) fn get(&self, kid: &str) -> Option<SigningKey> {
        let key = Arc::clone(self.keys.get(kid)?);
        Some(SigningKey { key, generation: self.generation })
    }
    /// Grows whenever a key is gone or another stands in its place: what was verified in an older generation must be
    /// verified again.
    pub(in crate::entra) fn generation(&self) -> u64 {
        self.generation
    }
    pub(in crate::entra) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
    pub(in crate::entra) fn len(&self) -> usize {
        self.keys.len()
    }
    pub(super) fn lifetime(&self) -> Lifetime {
        self.lifetime
    }
    fn has_lost_to(&self, new: &HashMap<String, Arc<VerifyingKey>>) -> bool {
        self.keys.iter().any(|(kid, old)| new.get(kid).is_none_or(|new| new.public_key_der != old.public_key_der))
    }
}

/// Entra's keys have no `alg`; one that says something other than RS256 is meant for something else.
fn usable(jwk: Jwk) -> Option<(String, VerifyingKey)> {
    let for_signatures = jwk.kty == "RSA"
        && jwk.key_use.as_deref().is_none_or(|key_use| key_use == "sig")
        && jwk.alg.as_deref().is_none_or(|alg| alg == "RS256");
    if !for_signatures {
        return None;
    }
    let number = |text: &str| BigNum::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok();
    let (modulus, exponent) = (number(&jwk.n)?, number(&jwk.e)?);
    // An even exponent or 1 is no RSA key: with 1 everybody can sign.
    if modulus.num_bits() < MIN_MODULUS_BITS || exponent.num_bits() < 2 || !exponent.is_bit_set(0) {
        return None;
    }
    let key = PKey::from_rsa(Rsa::from_public_components(modulus, exponent).ok()?).ok()?;
    let public_key_der = key.public_key_to_der().ok()?;
    let verifier = RS256.verifier_from_der(&public_key_der).ok()?;
    Some((jwk.kid, VerifyingKey { verifier, public_key_der }))
}

#[cfg(test)]
mod tests {
    use openssl::pkey::Private;
    use serde_json::{Value, json};

    use super::*;

    fn jwk(kid: &str, key: &Rsa<Private>) -> Value {
        let encode = |number: &openssl::bn::BigNumRef| URL_SAFE_NO_PAD.encode(number.to_vec());
        json!({"kty": "RSA", "use": "sig", "kid": kid, "n": encode(key.n()), "e": encode(key.e())})
    }

    fn set(keys: &[Value], previous: Option<&KeySet>) -> KeySet {
        KeySet::parse(json!({ "keys": keys }).to_string().as_bytes(), Lifetime::default(), previous).unwrap()
    }

    #[test]
    fn keys_that_are_no_use_for_rs256_are_left_out_and_the_others_kept() {
        let key = Rsa::generate(2048).unwrap();
        let with = |name: &str, value: Value| {
            let mut jwk = jwk(name, &key);
            jwk[name] = value;
            jwk
        };
        let set = set(
            &[
                with("use", json!("enc")),
                with("alg", json!("RS512")),
                with("kty", json!("EC")),
                with("n", json!("")),
                with("n", json!("not base64!")),
                with("e", json!("AQ")),
                with("e", json!("Ag")),
                with("e", json!(null)),
                json!({"kty": "EC", "kid": "ec", "crv": "P-256", "x": "AA", "y": "AA"}),
                json!("not an object"),
                jwk("weak", &Rsa::generate(1024).unwrap()),
                jwk("good", &key),
            ],
            None,
        );
        assert_eq!(set.keys.keys().collect::<Vec<_>>(), ["good"]);
    }

    #[test]
    fn a_key_without_use_and_alg_is_taken_as_entra_sends_it() {
        let mut plain = jwk("plain", &Rsa::generate(2048).unwrap());
        plain.as_object_mut().unwrap().remove("use");
        assert!(set(&[plain], None).get("plain").is_some());
    }

    #[test]
    fn the_generation_grows_when_a_key_is_gone_or_changed_and_not_when_one_is_added() {
        let (one, two) = (Rsa::generate(2048).unwrap(), Rsa::generate(2048).unwrap());
        let first = set(&[jwk("one", &one)], None);
        let added = set(&[jwk("one", &one), jwk("two", &two)], Some(&first));
        assert_eq!(added.generation(), first.generation());
        let removed = set(&[jwk("two", &two)], Some(&added));
        assert_eq!(removed.generation(), added.generation() + 1);
        let changed = set(&[jwk("two", &one)], Some(&removed));
        assert_eq!(changed.generation(), removed.generation() + 1);
        let emptied = set(&[], Some(&changed));
        assert!(emptied.is_empty());
        assert_eq!(emptied.generation(), changed.generation() + 1);
    }

    #[test]
    fn what_is_no_key_set_is_an_error() {
        for answer in ["", "[]", "{}", r#"{"keys":{}}"#, "<html>"] {
            assert!(KeySet::parse(answer.as_bytes(), Lifetime::default(), None).is_err(), "{answer:?}");
        }
    }
}
