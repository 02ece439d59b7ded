//! The client certificate and its private key, loaded and checked: what the web site proves itself with. The key never
//! leaves this type; nothing here prints it.

mod content;
mod details;
mod error;
mod file_mode;
mod inspection;
pub mod issue;
mod pem;
mod pfx;
mod signature_algorithm;
mod source;
mod thumbprints;
mod vault_signer;

use std::{
    cmp::Ordering,
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use josekit::{
    JoseError,
    jws::{JwsSigner, PS256, RS256},
};
use openssl::{
    asn1::{Asn1Time, Asn1TimeRef},
    pkey::{HasPublic, Id, PKey, Private},
    x509::{X509, X509Ref},
};
use secrecy::ExposeSecret as _;
use zeroize::Zeroizing;

use content::Content;
pub use details::{CertificateDetails, SOON_DAYS};
pub use error::CertificateError;
pub use inspection::{Examination, Observation, Severity};
pub use pem::certificates_in;
pub use source::passphrase;
use source::{Found, Parts};
pub use thumbprints::Thumbprints;
use vault_signer::VaultSigner;

use crate::{
    azure::{KeyVault, RetryBudget, VaultSecret},
    config::{AssertionForm, CertificateSettings},
};

/// Shorter RSA keys are refused (NIST SP 800-131A; Entra refuses them too).
pub const MIN_KEY_BITS: u32 = 2048;

/// What a vault signs to show that it does: no assertion, and nothing that anybody takes for one.
const PROBE: &[u8] = b"blogctl asks whether this key signs";

/// The certificates that the settings name, in DER, whether or not there is a key of one of them.
///
/// # Errors
/// When they cannot be read.
pub fn certificates_of(settings: &CertificateSettings) -> Result<Vec<Vec<u8>>, CertificateError> {
    let Parts { certificates, path, .. } = source::read_apart(settings)?;
    pem::all_to_der(&certificates?, &path)
}

/// The certificate that belongs to the private key, in DER, whether or not it is in date.
///
/// # Errors
/// When one of the two cannot be read, or they do not belong together.
pub fn leaf_of(settings: &CertificateSettings) -> Result<Vec<u8>, CertificateError> {
    let Found {
        certificates,
        key,
        path,
        key_path,
    } = source::read_apart(settings)?.whole()?;
    let leaf = leaf_among(&certificates, &key, Utc::now()).and_then(|at| certificates.get(at));
    let Some(leaf) = leaf else {
        return Err(CertificateError::KeyMismatch {
            certificate: path,
            key: key_path,
        });
    };
    leaf.to_der().map_err(|_| CertificateError::BadCertificate { path })
}

/// Whether a file is PEM, and so not PFX.
///
/// # Errors
/// When it cannot be read.
pub fn is_pem_file(path: &Path) -> Result<bool, CertificateError> {
    Ok(matches!(Content::of(&pem::read(path)?), Content::Pem(_)))
}

/// A certificate with its private key, wherever that is: they belong together, are in date, RSA of 2048 bits or more.
pub struct ClientCertificate {
    path: PathBuf,
    key_place: PathBuf,
    details: CertificateDetails,
    /// DER, leaf first, each followed by its issuer.
    chain: Vec<Vec<u8>>,
    signers: Signers,
    is_in_vault: bool,
    /// Of the same key, in the same file, and not valid yet.
    successor: Option<CertificateDetails>,
}

/// What signs in each form of assertion.
struct Signers {
    ps256: Box<dyn JwsSigner>,
    rs256: Box<dyn JwsSigner>,
}

impl ClientCertificate {
    /// Reads and checks what the settings name.
    ///
    /// # Errors
    /// When a file cannot be read or parsed, key and certificate do not belong together, the certificate is out of date
    /// or weak, or its thumbprint is not the configured one.
    pub fn load(settings: &CertificateSettings) -> Result<Self, CertificateError> {
        let loaded = Self::of(source::read(settings)?)?;
        if let Some(configured) = &settings.thumbprint {
            check_thumbprint(&loaded.details, configured, &loaded.path)?;
        }
        Ok(loaded)
    }

    /// The newest version of a certificate in a vault, whose key stays there and signs. Asks the vault, and has it sign once in
    /// the form that assertions will have: who may read a certificate may not always use its key.
    ///
    /// # Errors
    /// When the vault refuses, or the certificate is out of date, not RSA or weak.
    pub fn in_vault(
        vault: &Arc<KeyVault>,
        name: &str,
        form: AssertionForm,
        budget: RetryBudget,
    ) -> Result<Self, CertificateError> {
        Self::signed_in_vault(vault, name, form, budget).map_err(CertificateError::of_vault)
    }

    fn signed_in_vault(
        vault: &Arc<KeyVault>,
        name: &str,
        form: AssertionForm,
        budget: RetryBudget,
    ) -> Result<Self, CertificateError> {
        let path = vault_place(vault, name);
        let found = vault.certificate(name, budget)?;
        let leaf = X509::from_der(&found.der).map_err(|_| CertificateError::BadCertificate { path: path.clone() })?;
        let key = leaf
            .public_key()
            .map_err(|_| CertificateError::BadCertificate { path: path.clone() })?;
        check_key(&key, &path)?;
        let bad_key = || CertificateError::BadKey { path: path.clone() };
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
        let loaded = Self::checked(path, found.key_id.as_str().into(), vec![found.der], signers)?;
        let loaded = Self {
            is_in_vault: true,
            ..loaded
        };
        used.probe(PROBE, budget)
            .map_err(|error| loaded.signing_failed(&error))?;
        Ok(loaded)
    }

    /// The newest version of a certificate in a vault, downloaded with its key. Asks the vault.
    ///
    /// # Errors
    /// When the vault refuses or does not give the key away, and as [`Self::load`].
    pub fn from_vault(vault: &KeyVault, name: &str, budget: RetryBudget) -> Result<Self, CertificateError> {
        let path = vault_place(vault, name);
        // Its type says whether it is PEM; so does the content.
        let VaultSecret { value, .. } = vault.secret(name, budget)?;
        let content = Content::of(value.expose_secret().as_bytes());
        let loaded = Parts::in_one(&content, &path, &|| Ok(None))
            .and_then(Parts::whole)
            .and_then(Self::of);
        Ok(Self {
            is_in_vault: true,
            ..loaded.map_err(CertificateError::of_vault)?
        })
    }

    fn of(found: Found) -> Result<Self, CertificateError> {
        let Found {
            certificates,
            key,
            path,
            key_path,
        } = found;
        check_key(&key, &key_path)?;
        let now = Utc::now();
        let leaf = leaf_among(&certificates, &key, now).ok_or_else(|| CertificateError::KeyMismatch {
            certificate: path.clone(),
            key: key_path.clone(),
        })?;
        let successor = successor_among(leaf, &certificates, &key, now);
        let chain = pem::chain_from(leaf, certificates, &path)?;
        let signers = Signers::of(&key).ok_or_else(|| CertificateError::BadKey { path: key_path.clone() })?;
        Ok(Self {
            successor,
            ..Self::checked(path, key_path, chain, signers)?
        })
    }

    fn checked(
        path: PathBuf,
        key_place: PathBuf,
        chain: Vec<Vec<u8>>,
        signers: Signers,
    ) -> Result<Self, CertificateError> {
        let details = chain
            .first()
            .and_then(|der| CertificateDetails::from_der(der))
            .ok_or_else(|| CertificateError::BadCertificate { path: path.clone() })?;
        check_dates(&details, &path, Utc::now())?;
        Ok(Self {
            path,
            key_place,
            details,
            chain,
            signers,
            is_in_vault: false,
            successor: None,
        })
    }

    /// Where it comes from: a file, a setting, or an address in a vault.
    pub fn place(&self) -> &Path {
        &self.path
    }
    /// Where its key is, and signs: a file, a setting, or this version of it in a vault.
    pub fn key_place(&self) -> &Path {
        &self.key_place
    }
    /// Of the leaf.
    pub fn thumbprints(&self) -> &Thumbprints {
        &self.details.thumbprints
    }
    /// Subject, validity and so on of the leaf.
    pub fn details(&self) -> &CertificateDetails {
        &self.details
    }
    /// The certificates in DER, leaf first.
    pub fn chain(&self) -> &[Vec<u8>] {
        &self.chain
    }
    /// The next certificate of the same key, if the file has one that is not valid yet: it is used when its time has come.
    pub fn successor(&self) -> Option<&CertificateDetails> {
        self.successor.as_ref()
    }
    /// Whether it is in date at `now`: a certificate may expire while the program runs.
    ///
    /// # Errors
    /// [`CertificateError::Expired`] or [`CertificateError::NotYetValid`].
    pub fn check_dates(&self, now: DateTime<Utc>) -> Result<(), CertificateError> {
        check_dates(&self.details, &self.path, now).map_err(|error| self.told(error))
    }
    /// What signs in the given form.
    pub(crate) fn signer(&self, form: AssertionForm) -> &dyn JwsSigner {
        match form {
            AssertionForm::Ps256Sha256 => self.signers.ps256.as_ref(),
            AssertionForm::Rs256Sha1 => self.signers.rs256.as_ref(),
        }
    }
    /// The error of a signature that could not be made: what a vault has said, if it was one.
    pub(crate) fn signing_failed(&self, error: &JoseError) -> CertificateError {
        let said = VaultSigner::said(error);
        let said = said.map_or_else(
            || CertificateError::Signing {
                path: self.path.clone(),
            },
            CertificateError::Azure,
        );
        self.told(said)
    }

    fn told(&self, error: CertificateError) -> CertificateError {
        if self.is_in_vault { error.of_vault() } else { error }
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCertificate")
            .field("path", &self.path)
            .field("details", &self.details)
            .finish_non_exhaustive()
    }
}

fn check_dates(details: &CertificateDetails, path: &Path, now: DateTime<Utc>) -> Result<(), CertificateError> {
    let CertificateDetails {
        not_before, not_after, ..
    } = *details;
    let path = path.to_owned();
    if now > not_after {
        return Err(CertificateError::Expired {
            path,
            not_after,
            days: (now - not_after).num_days(),
        });
    }
    if now < not_before {
        return Err(CertificateError::NotYetValid { path, not_before });
    }
    Ok(())
}

fn check_thumbprint(details: &CertificateDetails, configured: &str, path: &Path) -> Result<(), CertificateError> {
    let thumbprints = &details.thumbprints;
    let wanted = thumbprints::normalized(configured);
    let actual = match wanted.len() {
        40 => thumbprints.sha1_hex(),
        64 => thumbprints.sha256_hex(),
        _ => {
            return Err(CertificateError::ThumbprintFormat {
                configured: configured.to_owned(),
            });
        }
    };
    if wanted == actual {
        return Ok(());
    }
    Err(CertificateError::ThumbprintMismatch {
        path: path.to_owned(),
        configured: wanted,
        actual,
    })
}

fn check_key<T: HasPublic>(key: &PKey<T>, path: &Path) -> Result<(), CertificateError> {
    let kind = kind_of(key.id());
    // OpenSSL would sign with a key for RSASSA-PSS alone, and Entra ID would not take its certificate.
    if kind != RSA {
        return Err(CertificateError::NotRsa {
            path: path.to_owned(),
            kind,
        });
    }
    if key.bits() < MIN_KEY_BITS {
        return Err(CertificateError::Weak {
            path: path.to_owned(),
            bits: key.bits(),
        });
    }
    Ok(())
}

const RSA: &str = "RSA";

/// A kind of key, as certificates and their tools call it.
fn kind_of(id: Id) -> &'static str {
    match id {
        Id::RSA => RSA,
        Id::RSA_PSS => "RSA-PSS (id-RSASSA-PSS)",
        Id::EC => "EC",
        Id::ED25519 => "Ed25519",
        Id::ED448 => "Ed448",
        Id::DSA => "DSA",
        Id::X25519 | Id::X448 | Id::DH => "for key agreement",
        _ => "of another kind",
    }
}

/// Whether a certificate can be used at a time. In the order of preference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Currency {
    Expired,
    NotYetValid,
    Valid,
}

fn currency(certificate: &X509Ref, now: &Asn1TimeRef) -> Currency {
    if certificate.not_after() < now {
        Currency::Expired
    } else if certificate.not_before() > now {
        Currency::NotYetValid
    } else {
        Currency::Valid
    }
}

/// The certificate of the key. Of several, as after a renewal that kept the key, the one that is valid now, and of these the one
/// that ends last; of those that are not valid yet, the first that will be.
fn leaf_among(certificates: &[X509], key: &PKey<Private>, now: DateTime<Utc>) -> Option<usize> {
    let now = Asn1Time::from_unix(now.timestamp()).ok()?;
    let own = certificates
        .iter()
        .enumerate()
        .filter(|(_, certificate)| belongs_to(certificate, key));
    let best = own.max_by(|(_, one), (_, other)| {
        let state = currency(one, &now);
        state.cmp(&currency(other, &now)).then_with(|| match state {
            Currency::NotYetValid => compare(other.not_before(), one.not_before()),
            Currency::Expired | Currency::Valid => compare(one.not_after(), other.not_after()),
        })
    });
    best.map(|(at, _)| at)
}

fn compare(one: &Asn1TimeRef, other: &Asn1TimeRef) -> Ordering {
    one.partial_cmp(other).unwrap_or(Ordering::Equal)
}

/// The first certificate of the same key that takes over from the leaf when it becomes valid.
fn successor_among(
    leaf: usize,
    certificates: &[X509],
    key: &PKey<Private>,
    now: DateTime<Utc>,
) -> Option<CertificateDetails> {
    let others = certificates
        .iter()
        .enumerate()
        .filter(|(at, other)| *at != leaf && belongs_to(other, key));
    let details = others.filter_map(|(_, other)| CertificateDetails::from_der(&other.to_der().ok()?));
    details
        .filter(|details| details.not_before > now)
        .min_by_key(|details| details.not_before)
}

fn belongs_to(certificate: &X509, key: &PKey<Private>) -> bool {
    certificate.public_key().is_ok_and(|public| public.public_eq(key))
}

fn vault_place(vault: &KeyVault, name: &str) -> PathBuf {
    PathBuf::from(format!("{}certificates/{name}", vault.url()))
}

impl Signers {
    /// Made once. They take PKCS#1, which josekit wraps for each as its algorithm wants it.
    fn of(key: &PKey<Private>) -> Option<Self> {
        let der = Zeroizing::new(key.rsa().ok()?.private_key_to_der().ok()?);
        let ps256 = PS256.signer_from_der(der.as_slice()).ok()?;
        let rs256 = RS256.signer_from_der(der.as_slice()).ok()?;
        Some(Self {
            ps256: Box::new(ps256),
            rs256: Box::new(rs256),
        })
    }
}
