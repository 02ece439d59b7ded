//! A key set (RFC 7517 §5): the keys that may verify tokens, each prepared once.

use std::{collections::HashMap, sync::Arc, time::Duration};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use josekit::jws::{JwsVerifier, RS256, alg::rsassa::RsassaJwsVerifier};
use openssl::{bn::BigNum, pkey::PKey, rsa::Rsa};
use serde::Deserialize;

use crate::entra::Authority;

/// Keys with a shorter modulus are ignored (NIST SP 800-131A).
const MIN_MODULUS_BITS: i32 = 2048;

/// Most keys of a set that are read. Entra publishes about ten; each takes a millisecond to prepare.
const MAX_KEYS: usize = 200;

/// Why a response has no usable keys. The previous keys stay in use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JwksError {
    /// Not JSON, or not of the form of RFC 7517.
    #[error("the response is not a JSON web key set")]
    NotAKeySet,
    /// No key of the set can verify a token for these tenants.
    #[error(
        "the key set has no key that can verify a token: of {published} keys, {of_another_tenant} belong to another tenant, and \
         the others are not RSA keys for RS256 with 2048 bits or more"
    )]
    NoUsableKey {
        /// How many keys the set has.
        published: usize,
        /// How many of them could verify RS256, but name another issuer.
        of_another_tenant: usize,
    },
}

/// Keys by `kid`.
pub(in crate::entra) struct KeySet {
    keys: HashMap<String, Arc<VerifyingKey>>,
    generation: u64,
    lifetime: Lifetime,
}

/// Times on [`super::Clock::elapsed`].
#[derive(Debug, Clone, Copy, Default)]
pub(in crate::entra) struct Lifetime {
    /// When a refresh in the background is due.
    pub(in crate::entra) refresh_from: Duration,
    /// When the keys must no longer be used.
    pub(in crate::entra) expires_at: Duration,
}

struct VerifyingKey {
    /// Stored, since building one takes ten times as long as a verification.
    verifier: RsassaJwsVerifier,
    public_key_der: Vec<u8>,
    /// The published issuer whose tokens the key signs; may contain `{tenantid}`. `None` stands for every tenant.
    issuer: Option<String>,
}

impl VerifyingKey {
    /// Whether this key may sign tokens of the authority's tenant. All tenants of a cloud share a key endpoint, and some of its
    /// keys belong to one tenant: such a key must not verify another tenant's token (CISA, "Review of the Summer 2023 Microsoft
    /// Exchange Online Intrusion"). A v1 issuer counts too, because the version of tokens and of the key set may differ.
    fn signs_for(&self, authority: &Authority) -> bool {
        let Some(issuer) = &self.issuer else { return true };
        let issuer = issuer.replace("{tenantid}", &authority.tenant_id().to_string());
        issuer == authority.issuer_v2() || issuer == authority.issuer_v1()
    }

    fn is_same(&self, other: &Self) -> bool {
        self.public_key_der == other.public_key_der && self.issuer == other.issuer
    }
}

/// A key, and the generation of its set.
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
    /// Whether the key's `issuer` lets it sign tokens of this authority's tenant. Must be checked before a token is accepted.
    pub(in crate::entra) fn signs_for(&self, authority: &Authority) -> bool {
        self.key.signs_for(authority)
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
    issuer: Option<String>,
    n: String,
    e: String,
}

impl KeySet {
    /// Parses a response of the provider. Keys that are unusable for RS256 or sign for none of these tenants are left out.
    /// `previous` is the set that this one replaces.
    pub(super) fn parse(
        json: &[u8],
        tenants: &[Authority],
        lifetime: Lifetime,
        previous: Option<&Self>,
    ) -> Result<Self, JwksError> {
        let jwks: Jwks = serde_json::from_slice(json).map_err(|_| JwksError::NotAKeySet)?;
        let published = jwks.keys.len();
        let (mut keys, mut of_another_tenant) = (HashMap::new(), 0);
        for value in jwks.keys.into_iter().take(MAX_KEYS) {
            let Some((kid, key)) = serde_json::from_value(value).ok().and_then(parse_key) else {
                continue;
            };
            if tenants.iter().any(|tenant| key.signs_for(tenant)) {
                keys.entry(kid).or_insert_with(|| Arc::new(key));
            } else {
                of_another_tenant += 1;
            }
        }
        if keys.is_empty() {
            return Err(JwksError::NoUsableKey {
                published,
                of_another_tenant,
            });
        }
        let generation = previous.map_or(0, |previous| {
            previous.generation + u64::from(previous.has_lost_a_key(&keys))
        });
        Ok(Self {
            keys,
            generation,
            lifetime,
        })
    }
    pub(super) fn get(&self, kid: &str) -> Option<SigningKey> {
        let key = Arc::clone(self.keys.get(kid)?);
        Some(SigningKey {
            key,
            generation: self.generation,
        })
    }
    /// Increases when a key is removed or changed: tokens that were verified in an older generation must be verified again.
    pub(in crate::entra) fn generation(&self) -> u64 {
        self.generation
    }
    pub(in crate::entra) fn len(&self) -> usize {
        self.keys.len()
    }
    pub(super) fn lifetime(&self) -> Lifetime {
        self.lifetime
    }
    fn has_lost_a_key(&self, new: &HashMap<String, Arc<VerifyingKey>>) -> bool {
        self.keys
            .iter()
            .any(|(kid, old)| new.get(kid).is_none_or(|new| !new.is_same(old)))
    }
}

/// Entra's keys have no `alg`. A key with another `alg` than RS256 has another purpose.
fn parse_key(jwk: Jwk) -> Option<(String, VerifyingKey)> {
    let for_signatures = jwk.kty == "RSA"
        && jwk.key_use.as_deref().is_none_or(|key_use| key_use == "sig")
        && jwk.alg.as_deref().is_none_or(|alg| alg == "RS256");
    if !for_signatures {
        return None;
    }
    let number = |text: &str| BigNum::from_slice(&URL_SAFE_NO_PAD.decode(text).ok()?).ok();
    let (modulus, exponent) = (number(&jwk.n)?, number(&jwk.e)?);
    // An even exponent is not valid for RSA, and with exponent 1 anyone can forge a signature.
    if modulus.num_bits() < MIN_MODULUS_BITS || exponent.num_bits() < 2 || !exponent.is_bit_set(0) {
        return None;
    }
    let key = PKey::from_rsa(Rsa::from_public_components(modulus, exponent).ok()?).ok()?;
    let public_key_der = key.public_key_to_der().ok()?;
    let verifier = RS256.verifier_from_der(&public_key_der).ok()?;
    Some((
        jwk.kid,
        VerifyingKey {
            verifier,
            public_key_der,
            issuer: jwk.issuer,
        },
    ))
}

#[cfg(test)]
mod tests {
    use openssl::pkey::Private;
    use serde_json::{Value, json};

    use super::*;
    use crate::config::EntraSettings;

    const TENANT: &str = "11111111-2222-4333-8444-555555555555";
    const OTHER: &str = "99999999-2222-4333-8444-555555555555";

    fn tenant(id: &str) -> Authority {
        Authority::new(&EntraSettings {
            tenant_id: id.to_owned(),
            ..EntraSettings::default()
        })
        .unwrap()
    }

    fn parse(json: &str, previous: Option<&KeySet>) -> Result<KeySet, JwksError> {
        KeySet::parse(json.as_bytes(), &[tenant(TENANT)], Lifetime::default(), previous)
    }

    fn jwk(kid: &str, key: &Rsa<Private>) -> Value {
        let encode = |number: &openssl::bn::BigNumRef| URL_SAFE_NO_PAD.encode(number.to_vec());
        json!({"kty": "RSA", "use": "sig", "kid": kid, "n": encode(key.n()), "e": encode(key.e())})
    }

    fn set(keys: &[Value], previous: Option<&KeySet>) -> KeySet {
        parse(&json!({ "keys": keys }).to_string(), previous).unwrap()
    }

    #[test]
    fn keys_that_are_unusable_for_rs256_are_left_out_and_the_others_kept() {
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
                with("issuer", json!(7)),
                with("issuer", json!("")),
                with(
                    "issuer",
                    json!(format!("https://login.microsoftonline.com/{OTHER}/v2.0")),
                ),
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
    fn a_key_without_use_and_alg_is_accepted_as_entra_sends_it() {
        let mut plain = jwk("plain", &Rsa::generate(2048).unwrap());
        plain.as_object_mut().unwrap().remove("use");
        assert!(set(&[plain], None).get("plain").is_some());
    }

    #[test]
    fn the_generation_increases_when_a_key_is_removed_or_changed_and_not_when_one_is_added() {
        let (one, two) = (Rsa::generate(2048).unwrap(), Rsa::generate(2048).unwrap());
        let first = set(&[jwk("one", &one)], None);
        let added = set(&[jwk("one", &one), jwk("two", &two)], Some(&first));
        assert_eq!(added.generation(), first.generation());
        let removed = set(&[jwk("two", &two)], Some(&added));
        assert_eq!(removed.generation(), added.generation() + 1);
        let changed = set(&[jwk("two", &one)], Some(&removed));
        assert_eq!(changed.generation(), removed.generation() + 1);
        let mut narrowed = jwk("two", &one);
        narrowed["issuer"] = json!("https://login.microsoftonline.com/{tenantid}/v2.0");
        assert_eq!(
            set(&[narrowed], Some(&changed)).generation(),
            changed.generation() + 1,
            "for fewer tenants"
        );
    }

    #[test]
    fn anything_else_than_a_key_set_is_an_error() {
        for answer in [
            "",
            "[]",
            "{}",
            r#"{"keys":{}}"#,
            r#"{"keys":null}"#,
            "<html>",
            "null",
            "\u{feff}",
        ] {
            assert_eq!(parse(answer, None).err(), Some(JwksError::NotAKeySet), "{answer:?}");
        }
    }

    #[test]
    fn a_set_without_a_usable_key_is_an_error_that_says_why() {
        let mut foreign = jwk("one", &Rsa::generate(2048).unwrap());
        foreign["issuer"] = json!(format!("https://login.microsoftonline.com/{OTHER}/v2.0"));
        let ec = json!({"kty": "EC", "kid": "ec", "crv": "P-256", "x": "AA", "y": "AA"});
        for (keys, of_another_tenant) in [
            (vec![], 0),
            (vec![json!({}), json!(null), json!([])], 0),
            (vec![ec.clone()], 0),
            (vec![ec, foreign], 1),
        ] {
            let error = parse(&json!({ "keys": keys }).to_string(), None).err();
            assert_eq!(
                error,
                Some(JwksError::NoUsableKey {
                    published: keys.len(),
                    of_another_tenant
                }),
                "{keys:?}"
            );
        }
    }

    #[test]
    fn a_key_signs_for_the_tenants_that_its_issuer_names() {
        let key = Rsa::generate(2048).unwrap();
        for (issuer, ours, others) in [
            (json!(null), true, true),
            (json!("https://login.microsoftonline.com/{tenantid}/v2.0"), true, true),
            (json!("https://sts.windows.net/{tenantid}/"), true, true),
            (
                json!(format!("https://login.microsoftonline.com/{TENANT}/v2.0")),
                true,
                false,
            ),
            (json!(format!("https://sts.windows.net/{TENANT}/")), true, false),
            (
                json!(format!("https://login.microsoftonline.com/{OTHER}/v2.0")),
                false,
                true,
            ),
            (
                json!(format!("https://login.microsoftonline.us/{TENANT}/v2.0")),
                false,
                false,
            ),
            (
                json!(format!("https://login.microsoftonline.com/{TENANT}/v2.0/")),
                false,
                false,
            ),
            (
                json!(format!("https://login.microsoftonline.com/{TENANT}")),
                false,
                false,
            ),
            (json!("https://evil.example/{tenantid}/v2.0"), false, false),
            (json!("{tenantid}"), false, false),
        ] {
            let mut jwk = jwk("one", &key);
            jwk["issuer"] = issuer.clone();
            let (_, key) = parse_key(serde_json::from_value(jwk).unwrap()).unwrap();
            assert_eq!(
                (key.signs_for(&tenant(TENANT)), key.signs_for(&tenant(OTHER))),
                (ours, others),
                "{issuer}"
            );
        }
    }

    #[test]
    fn of_two_keys_with_one_kid_the_one_of_our_tenant_is_used() {
        let (theirs, ours) = (Rsa::generate(2048).unwrap(), Rsa::generate(2048).unwrap());
        let mut foreign = jwk("one", &theirs);
        foreign["issuer"] = json!(format!("https://login.microsoftonline.com/{OTHER}/v2.0"));
        let found = set(&[foreign, jwk("one", &ours)], None);
        let der = PKey::from_rsa(ours).unwrap().public_key_to_der().unwrap();
        assert_eq!(found.keys["one"].public_key_der, der);
    }

    proptest::proptest! {
        #[test]
        fn no_answer_makes_the_parser_panic(json in "\\PC{0,300}", bytes: Vec<u8>) {
            let _ = parse(&json, None);
            let _ = KeySet::parse(&bytes, &[tenant(TENANT)], Lifetime::default(), None);
        }

        #[test]
        fn no_member_of_a_key_makes_the_parser_panic(
            kty in "(RSA|EC|oct|)", kid in "\\PC{0,20}", n in "[-_A-Za-z0-9=+/]{0,700}", e in "[-_A-Za-z0-9]{0,12}",
            issuer in proptest::option::of("\\PC{0,60}"),
        ) {
            let jwk = json!({"kty": kty, "kid": kid, "n": n, "e": e, "issuer": issuer});
            let _ = parse(&json!({ "keys": [jwk] }).to_string(), None);
        }
    }
}
