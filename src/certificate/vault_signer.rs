//! A signer whose key is in Key Vault: it sends the digest to the vault and verifies the returned signature.

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
    /// For the certificate's public key: a signature by another key must not leave this machine.
    verifier: Box<dyn JwsVerifier>,
}

/// Carries the vault's error through josekit.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct VaultError(AzureError);

impl VaultSigner {
    /// `public_key` is the certificate's, in DER. `None` when it is not a usable RSA key.
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

    /// Checks that the key signs.
    pub(super) fn probe(&self, text: &[u8], budget: RetryBudget) -> Result<(), JoseError> {
        self.sign_with(text, budget).map(drop)
    }

    fn sign_with(&self, message: &[u8], budget: RetryBudget) -> Result<Vec<u8>, JoseError> {
        let signature = self
            .vault
            .sign(&self.key_id, self.algorithm().name(), &sha256(message), budget)
            .map_err(|error| JoseError::InvalidSignature(VaultError(error).into()))?;
        self.verifier.verify(message, &signature)?;
        Ok(signature)
    }

    /// The vault's error, if that was the cause.
    pub(super) fn azure_error(error: &JoseError) -> Option<AzureError> {
        let JoseError::InvalidSignature(cause) = error else {
            return None;
        };
        cause
            .downcast_ref::<VaultError>()
            .map(|VaultError(error)| error.clone())
    }
}

impl JwsSigner for VaultSigner {
    fn algorithm(&self) -> &dyn JwsAlgorithm {
        match self.form {
            AssertionForm::Ps256Sha256 => &PS256,
            AssertionForm::Rs256Sha1 => &RS256,
        }
    }

    /// An assertion names its certificate instead of a key.
    fn key_id(&self) -> Option<&str> {
        None
    }

    /// For a 2048-bit key; only a hint for buffers.
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
