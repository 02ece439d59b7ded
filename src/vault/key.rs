//! The vault's certificate and its key.

use std::{fs, io, path::Path};

use openssl::{
    error::ErrorStack,
    hash::MessageDigest,
    md::Md,
    pkey::{PKey, Private},
    pkey_ctx::PkeyCtx,
    rsa::Padding,
    sign::RsaPssSaltlen,
    x509::X509,
};

/// Why the vault's key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The file cannot be read.
    #[error("the vault's key cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// The file holds no key with its certificate.
    #[error("the vault's key cannot be used: {0}")]
    Unusable(#[from] ErrorStack),
}

pub(super) struct VaultKey {
    pub(super) certificate: Vec<u8>,
    /// Version of the key and of the certificate.
    pub(super) version: String,
    key: PKey<Private>,
}

impl VaultKey {
    /// Reads a PEM file with key and certificate.
    pub(super) fn read(path: &Path) -> Result<Self, KeyError> {
        let pem = fs::read(path)?;
        let certificate = X509::from_pem(&pem)?;
        let version = hex::encode(
            certificate
                .digest(MessageDigest::sha256())?
                .get(..16)
                .unwrap_or_default(),
        );
        Ok(Self {
            certificate: certificate.to_der()?,
            version,
            key: PKey::private_key_from_pem(&pem)?,
        })
    }

    /// Signs a SHA-256 digest with `PS256` or `RS256`. `None` for another algorithm, or a digest of another length.
    pub(super) fn sign(&self, alg: &str, digest: &[u8]) -> Option<Vec<u8>> {
        let mut context = PkeyCtx::new(&self.key).ok()?;
        context.sign_init().ok()?;
        match alg {
            "PS256" => {
                context.set_rsa_padding(Padding::PKCS1_PSS).ok()?;
                context.set_rsa_pss_saltlen(RsaPssSaltlen::DIGEST_LENGTH).ok()?;
            }
            "RS256" => context.set_rsa_padding(Padding::PKCS1).ok()?,
            _ => return None,
        }
        context.set_signature_md(Md::sha256()).ok()?;
        let mut signature = Vec::new();
        context.sign_to_vec(digest, &mut signature).ok()?;
        Some(signature)
    }
}
