//! The keys that sign tokens: generated at the first start, published in the JWKS, rotated on demand. A file preserves
//! them across restarts, because APIs fetch new keys only every few minutes.

mod key_file;

use std::{path::PathBuf, sync::Arc};

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use josekit::{
    JoseError,
    jws::{
        JwsSigner, JwsVerifier, RS256,
        alg::rsassa::{RsassaJwsSigner, RsassaJwsVerifier},
    },
};
use openssl::{
    asn1::Asn1Time,
    bn::{BigNum, MsbOption},
    error::ErrorStack,
    hash::MessageDigest,
    pkey::{PKey, Private},
    rsa::Rsa,
    x509::{X509, X509NameBuilder},
};
use parking_lot::RwLock;
use serde_json::{Map, Value, json};

/// Why a signing key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// OpenSSL failed.
    #[error("cannot generate a signing key: {0}")]
    OpenSsl(#[from] ErrorStack),
    /// josekit failed.
    #[error("cannot use a signing key: {0}")]
    Jose(#[from] JoseError),
    /// The key file exists and cannot be used. The emulator never replaces it, because its content may still be needed.
    #[error(
        "the signing keys in {path} cannot be used: {reason}; repair the file, or delete it so that the next start generates new keys"
    )]
    File {
        /// The file, `idp.signing_keys_file`.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// One key pair with its self-signed certificate, as Entra publishes them.
pub struct SigningKey {
    /// The key id in token headers and in the JWKS. As with Entra, it equals the certificate's `x5t`.
    pub kid: String,
    private_key: PKey<Private>,
    certificate: String,
    signer: RsassaJwsSigner,
    verifier: RsassaJwsVerifier,
}

impl SigningKey {
    /// Generates an RSA key of 2048 bits.
    ///
    /// # Errors
    /// When OpenSSL fails.
    pub fn generate() -> Result<Self, KeyError> {
        let private_key = PKey::from_rsa(Rsa::generate(2048)?)?;
        let certificate = self_signed(&private_key)?;
        Self::new(private_key, &certificate)
    }

    fn new(private_key: PKey<Private>, certificate: &X509) -> Result<Self, KeyError> {
        Ok(Self {
            kid: URL_SAFE_NO_PAD.encode(certificate.digest(MessageDigest::sha1())?),
            certificate: STANDARD.encode(certificate.to_der()?),
            signer: RS256.signer_from_der(private_key.private_key_to_pkcs8()?)?,
            verifier: RS256.verifier_from_der(private_key.public_key_to_der()?)?,
            private_key,
        })
    }

    /// For signatures that Entra never makes.
    pub fn private_key(&self) -> &PKey<Private> {
        &self.private_key
    }

    /// Signs with RS256.
    pub fn signer(&self) -> &dyn JwsSigner {
        &self.signer
    }

    /// A JWS in compact form (RFC 7515 §7.1), signed with RS256, with `alg` and `kid` in its header.
    ///
    /// # Errors
    /// When OpenSSL cannot sign.
    pub fn sign(&self, mut header: Map<String, Value>, claims: &Map<String, Value>) -> Result<String, KeyError> {
        header.insert("alg".to_owned(), json!("RS256"));
        header.insert("kid".to_owned(), json!(self.kid));
        compact(&header, claims, &self.signer)
    }

    /// Whether this key made the signature.
    pub fn verifies(&self, signing_input: &[u8], signature: &[u8]) -> bool {
        self.verifier.verify(signing_input, signature).is_ok()
    }

    /// For the key file.
    fn certificate_pem(&self) -> Result<String, String> {
        let der = STANDARD.decode(&self.certificate).map_err(|error| error.to_string())?;
        let pem = X509::from_der(&der)
            .and_then(|certificate| certificate.to_pem())
            .map_err(|error| error.to_string())?;
        String::from_utf8(pem).map_err(|error| error.to_string())
    }

    /// The public key with `kid`, `x5t`, `x5c` and no `alg`, as with Entra (`signing-key-rollover.md`).
    pub fn jwk(&self, issuer: &str) -> Result<Value, KeyError> {
        let rsa = self.private_key.rsa()?;
        Ok(json!({
            "kty": "RSA",
            "use": "sig",
            "kid": self.kid,
            "x5t": self.kid,
            "n": URL_SAFE_NO_PAD.encode(rsa.n().to_vec()),
            "e": URL_SAFE_NO_PAD.encode(rsa.e().to_vec()),
            "x5c": [self.certificate],
            "issuer": issuer,
        }))
    }
}

/// Serializes a JWS in compact form.
///
/// # Errors
/// When the signer fails.
pub fn compact(
    header: &Map<String, Value>,
    claims: &Map<String, Value>,
    signer: &dyn JwsSigner,
) -> Result<String, KeyError> {
    let input = signing_input(header, claims);
    let signature = URL_SAFE_NO_PAD.encode(signer.sign(input.as_bytes())?);
    Ok(format!("{input}.{signature}"))
}

/// The signed part of a JWS: header and claims, each in base64url.
pub fn signing_input(header: &Map<String, Value>, claims: &Map<String, Value>) -> String {
    let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(Value::Object(part.clone()).to_string()));
    format!("{header}.{claims}")
}

/// Most keys that are published at once. A further key replaces the oldest.
const MAX_KEYS: usize = 20;

/// The published keys, at least one. The newest one signs.
pub struct KeyRing {
    keys: RwLock<Vec<Arc<SigningKey>>>,
    file: Option<PathBuf>,
}

impl KeyRing {
    /// Loads the keys from `file`, or generates one and stores it there. Without a file, keys are in memory only.
    ///
    /// # Errors
    /// When no key can be generated, or the file exists and cannot be used.
    pub fn load(file: Option<PathBuf>) -> Result<Self, KeyError> {
        let stored = file.as_deref().map(key_file::read).transpose()?.flatten();
        if let Some(stored) = stored {
            return Ok(Self {
                keys: RwLock::new(stored.into_iter().map(Arc::new).collect()),
                file,
            });
        }
        let ring = Self {
            keys: RwLock::new(vec![Arc::new(SigningKey::generate()?)]),
            file,
        };
        ring.persist(&ring.all());
        Ok(ring)
    }

    /// Every published key, oldest first.
    pub fn all(&self) -> Vec<Arc<SigningKey>> {
        self.keys.read().clone()
    }

    /// The key that signs.
    ///
    /// # Errors
    /// Never while the ring holds a key, which it always does.
    pub fn current(&self) -> Result<Arc<SigningKey>, KeyError> {
        match self.all().pop() {
            Some(key) => Ok(key),
            None => self.rotate(),
        }
    }

    /// Starts to sign with a new key. The older ones stay published.
    ///
    /// # Errors
    /// When no key can be generated.
    pub fn rotate(&self) -> Result<Arc<SigningKey>, KeyError> {
        let key = Arc::new(SigningKey::generate()?);
        self.change(|keys| {
            keys.push(Arc::clone(&key));
            let surplus = keys.len().saturating_sub(MAX_KEYS);
            keys.drain(..surplus);
        });
        Ok(key)
    }

    /// Stops publishing this key. If it was the only one, a new one replaces it. Returns whether it was published.
    ///
    /// # Errors
    /// When a new key is needed and cannot be generated.
    pub fn remove(&self, kid: &str) -> Result<bool, KeyError> {
        let known = self.all();
        if !known.iter().any(|key| key.kid == kid) {
            return Ok(false);
        }
        if known.len() == 1 {
            self.rotate()?;
        }
        self.change(|keys| keys.retain(|key| key.kid != kid));
        Ok(true)
    }

    fn change(&self, change: impl FnOnce(&mut Vec<Arc<SigningKey>>)) {
        let mut keys = self.keys.write();
        change(&mut keys);
        // Under the lock, so that the file gets the last state.
        self.persist(&keys);
    }

    /// If the file cannot be written, the keys are lost at a restart. The emulator serves all the same.
    fn persist(&self, keys: &[Arc<SigningKey>]) {
        let Some(file) = &self.file else { return };
        if let Err(reason) = key_file::write(file, keys) {
            log::warn!(
                "cannot write the signing keys to {}, so a restart generates new ones: {reason}",
                file.display()
            );
        }
    }
}

fn self_signed(key: &PKey<Private>) -> Result<X509, ErrorStack> {
    let mut name = X509NameBuilder::new()?;
    name.append_entry_by_text("CN", "blogctl development identity provider")?;
    let name = name.build();
    let mut serial = BigNum::new()?;
    serial.rand(127, MsbOption::MAYBE_ZERO, false)?;
    let mut builder = X509::builder()?;
    builder.set_version(2)?;
    builder.set_serial_number(&*serial.to_asn1_integer()?)?;
    builder.set_subject_name(&name)?;
    builder.set_issuer_name(&name)?;
    builder.set_not_before(&*Asn1Time::days_from_now(0)?)?;
    builder.set_not_after(&*Asn1Time::days_from_now(5 * 365)?)?;
    builder.set_pubkey(key)?;
    builder.sign(key, MessageDigest::sha256())?;
    Ok(builder.build())
}
