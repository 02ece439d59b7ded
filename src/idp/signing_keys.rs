//! The keys that sign tokens: made at the first start, published in the JWKS, rotated on demand. A file keeps them over a
//! restart, because those who verify tokens ask for new keys only every few minutes.

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

/// Why a key could not be made.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// OpenSSL refused.
    #[error("cannot make a signing key: {0}")]
    OpenSsl(#[from] ErrorStack),
    /// josekit refused.
    #[error("cannot use a signing key: {0}")]
    Jose(#[from] JoseError),
    /// There is a file of keys, and it is not used. It is never replaced: somebody may still want what is in it.
    #[error("the signing keys in {path} cannot be used: {reason}; repair the file, or delete it to have new keys made")]
    File {
        /// The file, `idp.signing_keys_file`.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
}

/// One key pair with its self-signed certificate, as Entra publishes them.
pub struct SigningKey {
    /// Name of the key in token headers and in the JWKS. As with Entra, it is also the certificate's `x5t`.
    pub kid: String,
    private_key: PKey<Private>,
    certificate: String,
    signer: RsassaJwsSigner,
    verifier: RsassaJwsVerifier,
}

impl SigningKey {
    /// A new RSA key of 2048 bits.
    ///
    /// # Errors
    /// When OpenSSL cannot make it.
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

    /// The private key, to sign in ways that Entra never would.
    pub fn private_key(&self) -> &PKey<Private> {
        &self.private_key
    }

    /// Signs RS256.
    pub fn signer(&self) -> &dyn JwsSigner {
        &self.signer
    }

    /// A JWS in compact form (RFC 7515 §7.1), signed RS256, with `alg` and `kid` in its header.
    ///
    /// # Errors
    /// When OpenSSL cannot sign.
    pub fn sign(&self, mut header: Map<String, Value>, claims: &Map<String, Value>) -> Result<String, KeyError> {
        header.insert("alg".to_owned(), json!("RS256"));
        header.insert("kid".to_owned(), json!(self.kid));
        compact(&header, claims, &self.signer)
    }

    /// Whether this key signed the JWS.
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

    /// The public half, with `kid`, `x5t`, `x5c` and no `alg`, as Entra's (`signing-key-rollover.md`).
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

/// Puts header, claims and signature together.
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

/// What a JWS signature covers: header and claims, each in base64url.
pub fn signing_input(header: &Map<String, Value>, claims: &Map<String, Value>) -> String {
    let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(Value::Object(part.clone()).to_string()));
    format!("{header}.{claims}")
}

/// Most keys that are published at once. Beyond that, each new key takes the place of the oldest.
const MAX_KEYS: usize = 20;

/// The published keys; the newest one signs. There is always one.
pub struct KeyRing {
    keys: RwLock<Vec<Arc<SigningKey>>>,
    file: Option<PathBuf>,
}

impl KeyRing {
    /// The keys of `file`, or one new key, which is kept there. Without a file, keys are in memory only.
    ///
    /// # Errors
    /// When a key cannot be made, or the file is there and cannot be used.
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

    /// Signs with a new key from now on; the older ones stay published.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn rotate(&self) -> Result<Arc<SigningKey>, KeyError> {
        let key = Arc::new(SigningKey::generate()?);
        self.change(|keys| {
            keys.push(Arc::clone(&key));
            let surplus = keys.len().saturating_sub(MAX_KEYS);
            keys.drain(..surplus);
        });
        Ok(key)
    }

    /// Publishes this key no more; when it was the only one, a new one takes its place. Says whether it was there.
    ///
    /// # Errors
    /// When a new one was needed and could not be made.
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
        // While nobody else can change them, so that the file has the last state.
        self.persist(&keys);
    }

    /// A file that cannot be written costs a restart its keys, which is no reason not to serve.
    fn persist(&self, keys: &[Arc<SigningKey>]) {
        let Some(file) = &self.file else { return };
        if let Err(reason) = key_file::write(file, keys) {
            log::warn!(
                "the signing keys are in memory only, and new after a restart: {}: {reason}",
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
