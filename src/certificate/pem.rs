//! Parses certificates and private keys with OpenSSL, and distinguishes the reasons why that fails.

use std::{cell::OnceCell, cmp::Ordering, path::Path};

use openssl::{
    error::ErrorStack,
    pkcs12::Pkcs12,
    pkey::{PKey, Private},
    x509::X509,
};
use secrecy::ExposeSecret as _;

use super::{CertificateError, CertificateLocation, content::Content, file, passphrase::Passphrase, pfx};

const KEY_LABEL: &[u8] = b"PRIVATE KEY-----";

/// The certificates in a PEM file, whose other blocks are ignored, or in a DER file, in DER.
///
/// # Errors
/// When the file cannot be read, or holds no certificate that can be parsed.
pub fn certificates_from_file(path: &Path) -> Result<Vec<Vec<u8>>, CertificateError> {
    let location = CertificateLocation::from(path);
    let content = Content::parse(&file::read(path)?);
    all_to_der(&parse_certificates(&content, &location)?, &location)
}

pub(super) fn all_to_der(
    certificates: &[X509],
    location: &CertificateLocation,
) -> Result<Vec<Vec<u8>>, CertificateError> {
    certificates
        .iter()
        .map(|certificate| to_der(certificate, location))
        .collect()
}

/// `passphrase` is called only if the key is encrypted.
pub(super) fn parse_key(
    content: &Content,
    location: &CertificateLocation,
    passphrase: Passphrase<'_>,
) -> Result<PKey<Private>, CertificateError> {
    let no_key = || CertificateError::NoKey {
        location: location.clone(),
    };
    match content {
        Content::Pem(pem) if contains(pem, KEY_LABEL) => decrypt(location, passphrase, |callback| {
            PKey::private_key_from_pem_callback(pem, callback)
        }),
        Content::Der(der) => {
            if let Ok(key) = PKey::private_key_from_der(der) {
                return Ok(key);
            }
            if X509::from_der(der).is_ok() {
                return Err(no_key());
            }
            if Pkcs12::from_der(der).is_ok() {
                return pfx::parse(der, location, passphrase).map(|(_, key)| key);
            }
            decrypt(location, passphrase, |callback| {
                PKey::private_key_from_pkcs8_callback(der, callback)
            })
        }
        Content::Pem(_) | Content::Unknown => Err(no_key()),
    }
}

/// OpenSSL's passphrase callback: fills the buffer, and returns the length.
type PassphraseCallback<'a> = &'a mut dyn FnMut(&mut [u8]) -> Result<usize, ErrorStack>;

/// Parses a key that may be encrypted. Its errors are as exact as OpenSSL's.
fn decrypt(
    location: &CertificateLocation,
    passphrase: Passphrase<'_>,
    parse: impl Fn(PassphraseCallback<'_>) -> Result<PKey<Private>, ErrorStack>,
) -> Result<PKey<Private>, CertificateError> {
    let loaded = OnceCell::new();
    let mut callback = |buffer: &mut [u8]| {
        let passphrase = match loaded.get_or_init(passphrase) {
            Ok(Some(passphrase)) => passphrase.expose_secret().as_bytes(),
            _ => &[],
        };
        // A passphrase longer than OpenSSL's buffer (1 KB) cannot be right. 0 means that there is no passphrase.
        let Some(target) = buffer.get_mut(..passphrase.len()) else {
            return Ok(0);
        };
        target.copy_from_slice(passphrase);
        Ok(passphrase.len())
    };
    let parsed = match parse(&mut callback) {
        Err(error) if is_unsupported_cipher(&error) && pfx::has_legacy_algorithms() => parse(&mut callback),
        outcome => outcome,
    };
    parsed.map_err(|error| {
        let location = location.clone();
        match loaded.into_inner() {
            None => CertificateError::BadKey { location },
            Some(Ok(None)) => CertificateError::PassphraseMissing { location },
            Some(Ok(Some(_))) if is_unsupported_cipher(&error) => CertificateError::UnsupportedCipher { location },
            Some(Ok(Some(_))) => CertificateError::PassphraseWrong { location },
            Some(Err(error)) => error,
        }
    })
}

/// Whether OpenSSL lacks the cipher, so that the passphrase may be right: DES and RC2 are in a separate module, which is not
/// always installed. OpenSSL tries several decoders, and others of them report "unsupported" for any key.
fn is_unsupported_cipher(error: &ErrorStack) -> bool {
    error.errors().iter().any(|error| {
        let reason = error.reason().unwrap_or_default();
        let is_of_cipher = error.library().is_some_and(|library| library.contains("envelope"));
        (is_of_cipher && (reason.contains("unsupported") || reason.contains("unknown")))
            || reason == "unsupported encryption"
    })
}

/// The leaf, then the issuer of each as far as the file has them, in DER. The order in the file does not matter.
pub(super) fn chain_from(
    leaf: usize,
    mut certificates: Vec<X509>,
    location: &CertificateLocation,
) -> Result<Vec<Vec<u8>>, CertificateError> {
    let mut last = certificates.swap_remove(leaf);
    let mut chain = vec![to_der(&last, location)?];
    while let Some(issuer) = certificates
        .iter()
        .position(|candidate| has_issued(candidate, &last) && !is_root(&last))
    {
        last = certificates.swap_remove(issuer);
        chain.push(to_der(&last, location)?);
    }
    Ok(chain)
}

fn is_root(certificate: &X509) -> bool {
    has_name_of(certificate, certificate)
}

fn has_name_of(issuer: &X509, certificate: &X509) -> bool {
    issuer
        .subject_name()
        .try_cmp(certificate.issuer_name())
        .is_ok_and(Ordering::is_eq)
}

fn has_issued(issuer: &X509, certificate: &X509) -> bool {
    has_name_of(issuer, certificate)
        && issuer
            .public_key()
            .is_ok_and(|key| certificate.verify(&key).unwrap_or(false))
}

/// All certificates of PEM, or the one in DER.
pub(super) fn parse_certificates(
    content: &Content,
    location: &CertificateLocation,
) -> Result<Vec<X509>, CertificateError> {
    let not_pem = || CertificateError::NotPem {
        location: location.clone(),
    };
    let pem = match content {
        Content::Pem(pem) => pem,
        Content::Der(der) => return X509::from_der(der).map(|alone| vec![alone]).map_err(|_| not_pem()),
        Content::Unknown => return Err(not_pem()),
    };
    let certificates = X509::stack_from_pem(pem).map_err(|_| CertificateError::BadCertificate {
        location: location.clone(),
    })?;
    if certificates.is_empty() {
        return Err(CertificateError::NoCertificate {
            location: location.clone(),
        });
    }
    Ok(certificates)
}

fn to_der(certificate: &X509, location: &CertificateLocation) -> Result<Vec<u8>, CertificateError> {
    certificate.to_der().map_err(|_| CertificateError::BadCertificate {
        location: location.clone(),
    })
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}
