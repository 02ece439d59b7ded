//! The client certificate and its private key: loaded, checked, and ready to sign. This room knows neither Entra ID nor a web
//! server. The key never leaves [`ClientCertificate`], and no output contains it. Certificates for TLS are read in the same way,
//! and their keys leave [`TlsIdentity`] only for rustls.

mod checks;
mod content;
mod details;
mod error;
mod expiry_notifier;
mod file;
mod file_mode;
mod inspection;
pub mod issue;
mod leaf;
mod location;
mod passphrase;
mod pem;
mod pfx;
mod signature_algorithm;
mod source;
mod thumbprints;
mod tls_identity;
mod vault_signer;

use std::{fmt, path::Path, sync::Arc};

use chrono::{DateTime, Utc};
use josekit::{
    JoseError,
    jws::{JwsSigner, PS256, RS256},
};
use openssl::{
    pkey::{PKey, Private},
    x509::X509,
};
use secrecy::ExposeSecret as _;
use zeroize::Zeroizing;

use content::Content;
pub use details::{CertificateDetails, SOON_DAYS};
pub use error::CertificateError;
pub use expiry_notifier::{ExpiryNotifier, ExpirySubject};
pub use inspection::{Inspection, Observation, Severity};
pub use location::CertificateLocation;
pub use passphrase::load_passphrase;
pub use pem::certificates_from_file;
use source::{Parts, Source};
pub use thumbprints::Thumbprints;
pub use tls_identity::TlsIdentity;
use vault_signer::VaultSigner;

use crate::{
    azure::{KeyVault, RetryBudget, VaultSecret},
    config::{AssertionForm, CertificateSettings},
};

/// Signed by a vault's key to check that it signs. Not an assertion, and nothing that another program accepts as one.
const PROBE: &[u8] = b"blogctl asks whether this key signs";

/// The certificates that the settings name, in DER, with or without a matching key.
///
/// # Errors
/// When they cannot be read.
pub fn certificates_from_settings(settings: &CertificateSettings) -> Result<Vec<Vec<u8>>, CertificateError> {
    let Parts {
        certificates, location, ..
    } = source::read_parts(settings)?;
    pem::all_to_der(&certificates?, &location)
}

/// The certificate that belongs to the private key, in DER, even if it has expired or is not valid yet.
///
/// # Errors
/// When one of the two cannot be read, or they do not belong together.
pub fn leaf_from_settings(settings: &CertificateSettings) -> Result<Vec<u8>, CertificateError> {
    let Source {
        certificates,
        key,
        location,
        key_location,
    } = source::read_parts(settings)?.complete()?;
    let leaf = leaf::find_leaf(&certificates, &key, Utc::now()).and_then(|at| certificates.get(at));
    let Some(leaf) = leaf else {
        return Err(CertificateError::KeyMismatch {
            certificate: location,
            key: key_location,
        });
    };
    leaf.to_der().map_err(|_| CertificateError::BadCertificate { location })
}

/// Whether a file is PEM, and so not PFX.
///
/// # Errors
/// When it cannot be read.
pub fn is_pem_file(path: &Path) -> Result<bool, CertificateError> {
    Ok(matches!(Content::parse(&file::read(path)?), Content::Pem(_)))
}

/// A certificate and its private key, which may be in a vault. They belong together, the certificate was valid when it was
/// loaded, and the key is RSA with 2048 bits or more.
pub struct ClientCertificate {
    location: CertificateLocation,
    key_location: CertificateLocation,
    details: CertificateDetails,
    /// DER, leaf first, each followed by its issuer.
    chain: Vec<Vec<u8>>,
    signers: Signers,
    successor: Option<CertificateDetails>,
}

/// One signer for each form of assertion.
struct Signers {
    ps256: Box<dyn JwsSigner>,
    rs256: Box<dyn JwsSigner>,
}

impl ClientCertificate {
    /// Reads and checks the certificate and the key that the settings name.
    ///
    /// # Errors
    /// When a file cannot be read or parsed, key and certificate do not belong together, the certificate is not valid now
    /// or weak, or its thumbprint is not the configured one.
    pub fn load(settings: &CertificateSettings) -> Result<Self, CertificateError> {
        let loaded = Self::from_source(source::read(settings)?)?;
        if let Some(configured) = &settings.thumbprint {
            checks::check_thumbprint(&loaded.details, configured, &loaded.location)?;
        }
        Ok(loaded)
    }

    /// The newest version of a certificate in a vault. Its key stays there and signs. Asks the vault, and has it sign once in the
    /// form of the later assertions: an identity that may read a certificate may not always use its key.
    ///
    /// # Errors
    /// When the vault returns an error, or the certificate is not valid now, not RSA or weak.
    pub fn load_with_vault_key(
        vault: &Arc<KeyVault>,
        name: &str,
        form: AssertionForm,
        budget: RetryBudget,
    ) -> Result<Self, CertificateError> {
        Self::try_load_with_vault_key(vault, name, form, budget).map_err(CertificateError::into_vault_error)
    }

    fn try_load_with_vault_key(
        vault: &Arc<KeyVault>,
        name: &str,
        form: AssertionForm,
        budget: RetryBudget,
    ) -> Result<Self, CertificateError> {
        let location = vault_location(vault, name);
        let bad_certificate = || CertificateError::BadCertificate {
            location: location.clone(),
        };
        let found = vault.certificate(name, budget)?;
        let leaf = X509::from_der(&found.der).map_err(|_| bad_certificate())?;
        let key = leaf.public_key().map_err(|_| bad_certificate())?;
        checks::check_key(&key, &location)?;
        let bad_key = || CertificateError::BadKey {
            location: location.clone(),
        };
        let public = key.public_key_to_der().map_err(|_| bad_key())?;
        let signer = |form| VaultSigner::new(vault, &found.key_id, &public, form).ok_or_else(bad_key);
        let (ps256, rs256) = (signer(AssertionForm::Ps256Sha256)?, signer(AssertionForm::Rs256Sha1)?);
        let used = match form {
            AssertionForm::Ps256Sha256 => ps256.clone(),
            AssertionForm::Rs256Sha1 => rs256.clone(),
        };
        let signers = Signers {
            ps256: Box::new(ps256),
            rs256: Box::new(rs256),
        };
        let key_location = CertificateLocation::Vault(found.key_id.to_string());
        let loaded = Self::new(location.clone(), key_location, vec![found.der], signers)?;
        used.probe(PROBE, budget)
            .map_err(|error| loaded.signing_error(&error))?;
        Ok(loaded)
    }

    /// The newest version of a certificate in a vault, downloaded with its key. Asks the vault.
    ///
    /// # Errors
    /// When the vault returns an error or does not export the key, and as [`Self::load`].
    pub fn download_from_vault(vault: &KeyVault, name: &str, budget: RetryBudget) -> Result<Self, CertificateError> {
        let location = vault_location(vault, name);
        // The content itself shows whether it is PEM.
        let VaultSecret { value, .. } = vault.secret(name, budget)?;
        let content = Content::parse(value.expose_secret().as_bytes());
        Parts::from_content(&content, &location, &|| Ok(None))
            .and_then(Parts::complete)
            .and_then(Self::from_source)
            .map_err(CertificateError::into_vault_error)
    }

    fn from_source(source: Source) -> Result<Self, CertificateError> {
        let Source {
            certificates,
            key,
            location,
            key_location,
        } = source;
        checks::check_key(&key, &key_location)?;
        let now = Utc::now();
        let leaf = leaf::find_leaf(&certificates, &key, now).ok_or_else(|| CertificateError::KeyMismatch {
            certificate: location.clone(),
            key: key_location.clone(),
        })?;
        let successor = leaf::find_successor(leaf, &certificates, &key, now);
        let chain = pem::chain_from(leaf, certificates, &location)?;
        let signers = Signers::from_key(&key).ok_or_else(|| CertificateError::BadKey {
            location: key_location.clone(),
        })?;
        Ok(Self {
            successor,
            ..Self::new(location, key_location, chain, signers)?
        })
    }

    fn new(
        location: CertificateLocation,
        key_location: CertificateLocation,
        chain: Vec<Vec<u8>>,
        signers: Signers,
    ) -> Result<Self, CertificateError> {
        let details = chain
            .first()
            .and_then(|der| CertificateDetails::from_der(der))
            .ok_or_else(|| CertificateError::BadCertificate {
                location: location.clone(),
            })?;
        checks::check_dates(&details, &location, Utc::now())?;
        Ok(Self {
            location,
            key_location,
            details,
            chain,
            signers,
            successor: None,
        })
    }

    /// Where the certificate was loaded from.
    pub fn location(&self) -> &CertificateLocation {
        &self.location
    }
    /// Where the key is; in a vault, this version of it.
    pub fn key_location(&self) -> &CertificateLocation {
        &self.key_location
    }
    /// Thumbprints of the leaf.
    pub fn thumbprints(&self) -> &Thumbprints {
        &self.details.thumbprints
    }
    /// Subject, validity and other details of the leaf.
    pub fn details(&self) -> &CertificateDetails {
        &self.details
    }
    /// The certificates in DER, leaf first.
    pub fn chain(&self) -> &[Vec<u8>] {
        &self.chain
    }
    /// The next certificate of the same key, if the file has one that is not valid yet. It is used once it becomes valid.
    pub fn successor(&self) -> Option<&CertificateDetails> {
        self.successor.as_ref()
    }
    /// Checks that the certificate is valid at `now`: it may expire while the program runs.
    ///
    /// # Errors
    /// [`CertificateError::Expired`] or [`CertificateError::NotYetValid`].
    pub fn check_dates(&self, now: DateTime<Utc>) -> Result<(), CertificateError> {
        checks::check_dates(&self.details, &self.location, now).map_err(|error| self.in_context(error))
    }
    /// The signer for this form of assertion.
    pub(crate) fn signer(&self, form: AssertionForm) -> &dyn JwsSigner {
        match form {
            AssertionForm::Ps256Sha256 => self.signers.ps256.as_ref(),
            AssertionForm::Rs256Sha1 => self.signers.rs256.as_ref(),
        }
    }
    /// Converts the error of a failed signature. If a vault failed, its own error is returned.
    pub(crate) fn signing_error(&self, error: &JoseError) -> CertificateError {
        let error = VaultSigner::azure_error(error).map_or_else(
            || CertificateError::Signing {
                location: self.location.clone(),
            },
            CertificateError::Azure,
        );
        self.in_context(error)
    }

    /// With the hints for a certificate in a vault, if it is in one.
    fn in_context(&self, error: CertificateError) -> CertificateError {
        match self.location {
            CertificateLocation::Vault(_) => error.into_vault_error(),
            CertificateLocation::File(_) | CertificateLocation::Setting(_) => error,
        }
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate")
            .field("location", &self.location)
            .field("details", &self.details)
            .finish_non_exhaustive()
    }
}

fn vault_location(vault: &KeyVault, name: &str) -> CertificateLocation {
    CertificateLocation::Vault(format!("{}certificates/{name}", vault.url()))
}

impl Signers {
    /// The signers take PKCS#1, which josekit wraps as each algorithm needs it.
    fn from_key(key: &PKey<Private>) -> Option<Self> {
        let der = Zeroizing::new(key.rsa().ok()?.private_key_to_der().ok()?);
        let ps256 = PS256.signer_from_der(der.as_slice()).ok()?;
        let rs256 = RS256.signer_from_der(der.as_slice()).ok()?;
        Some(Self {
            ps256: Box::new(ps256),
            rs256: Box::new(rs256),
        })
    }
}
