//! A signer whose key is in Key Vault: the digest goes there, the signature comes back and is verified.

use std::sync::Arc;

use josekit::{
    JoseError,
    jws::{JwsAlgorithm, JwsSigner, JwsVerifier, PS256, RS256},
};
use openssl::sha::sha256;
use url::Url;

use crate::{
    azure::{AzureError, KeyVault, RetryBudget},
    config::AssertionForm,
};

#[derive(Debug, Clone)]
pub(super) struct VaultSigner {
    vault: Arc<KeyVault>,
    key_id: Url,
    form: AssertionForm,
    /// Of the certificate: a signature by another key must not leave this machine.
    verifier: Box<dyn JwsVerifier>,
}

/// The vault did not sign.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct VaultRefusal(AzureError);

impl VaultSigner {
    /// `public_key` in DER is the certificate's. `None` when it is no RSA key that can verify.
    pub(super) fn new(vault: &Arc<KeyVault>, key_id: &Url, public_key: &[u8], form: AssertionForm) -> Option<Self> {
        let verifier: Box<dyn JwsVerifier> = match form {
            AssertionForm::Ps256Sha256 => Box::new(PS256.verifier_from_der(public_key).ok()?),
            AssertionForm::Rs256Sha1 => Box::new(RS256.verifier_from_der(public_key).ok()?),
        };
        Some(Self {
            vault: Arc::clone(vault),
            key_id: key_id.clone(),
            form,
            verifier,
        })
    }

    /// Signs a text for nobody: whether it can.
    pub(super) fn probe(&self, text: &[u8], budget: RetryBudget) -> Result<(), JoseError> {
        self.sign_with(text, budget).map(drop)
    }

    fn sign_with(&self, message: &[u8], budget: RetryBudget) -> Result<Vec<u8>, JoseError> {
        let signature = self
            .vault
            .sign(&self.key_id, self.algorithm().name(), &sha256(message), budget)
            .map_err(|error| JoseError::InvalidSignature(VaultRefusal(error).into()))?;
        self.verifier.verify(message, &signature)?;
        Ok(signature)
    }

    /// What the vault has said, if `error` is of its signature.
    pub(super) fn said(error: &JoseError) -> Option<AzureError> {
        let JoseError::InvalidSignature(cause) = error else {
            return None;
        };
        cause
            .downcast_ref::<VaultRefusal>()
            .map(|VaultRefusal(error)| error.clone())
    }
}

impl JwsSigner for VaultSigner {
    fn algorithm(&self) -> &dyn JwsAlgorithm {
        match self.form {
            AssertionForm::Ps256Sha256 => &PS256,
            AssertionForm::Rs256Sha1 => &RS256,
        }
    }

    /// An assertion names its certificate, not a key.
    fn key_id(&self) -> Option<&str> {
        None
    }

    /// Of a key with 2048 bits; only a hint for buffers.
    fn signature_len(&self) -> usize {
        256
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, JoseError> {
        self.sign_with(message, RetryBudget::Request)
    }

    fn box_clone(&self) -> Box<dyn JwsSigner> {
        Box::new(self.clone())
    }
}
