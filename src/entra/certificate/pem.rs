//! Reads certificates and private keys from files. Parsing is OpenSSL's; what is added here tells the ways apart in
//! which it goes wrong.

use std::{cell::Cell, fs, path::Path, sync::Arc};

use openssl::{
    error::ErrorStack,
    pkey::{PKey, Private},
    x509::X509,
};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use super::CertificateError;

const PEM_START: &[u8] = b"-----BEGIN ";
const KEY_LABEL: &[u8] = b"PRIVATE KEY-----";

/// The certificates in a PEM file (others of its blocks are passed over) or of a DER file, in DER.
///
/// # Errors
/// When the file cannot be read, or holds no certificate that can be parsed.
pub fn certificates_in(path: &Path) -> Result<Vec<Vec<u8>>, CertificateError> {
    all_to_der(&parse_certificates(&read(path)?, path)?, path)
}

pub(super) fn all_to_der(certificates: &[X509], path: &Path) -> Result<Vec<Vec<u8>>, CertificateError> {
    certificates.iter().map(|certificate| to_der(certificate, path)).collect()
}

/// Whether there is PEM in it.
pub(super) fn is_pem(bytes: &[u8]) -> bool {
    contains(bytes, PEM_START)
}

pub(super) fn parse_key(
    pem: &[u8],
    path: &Path,
    passphrase: Option<&SecretString>,
) -> Result<PKey<Private>, CertificateError> {
    if !contains(pem, KEY_LABEL) {
        return Err(CertificateError::NoKey { path: path.to_owned() });
    }
    let was_asked = Cell::new(false);
    let answer = |buffer: &mut [u8]| {
        was_asked.set(true);
        let passphrase = passphrase.map_or(&[][..], |passphrase| passphrase.expose_secret().as_bytes());
        // Longer than OpenSSL's buffer (1 KB) cannot be the right one; 0 tells OpenSSL that there is none.
        let Some(target) = buffer.get_mut(..passphrase.len()) else { return Ok(0) };
        target.copy_from_slice(passphrase);
        Ok(passphrase.len())
    };
    PKey::private_key_from_pem_callback(pem, answer).map_err(|_: ErrorStack| {
        let path = path.to_owned();
        match (was_asked.get(), passphrase) {
            (false, _) => CertificateError::BadKey { path },
            (true, None) => CertificateError::PassphraseMissing { path },
            (true, Some(_)) => CertificateError::PassphraseWrong { path },
        }
    })
}

/// The leaf, then the issuer of each, as far as the file goes, in DER. Files have them in any order.
pub(super) fn chain_from(
    leaf: usize,
    mut certificates: Vec<X509>,
    path: &Path,
) -> Result<Vec<Vec<u8>>, CertificateError> {
    let mut last = certificates.swap_remove(leaf);
    let mut chain = vec![to_der(&last, path)?];
    while let Some(issuer) = certificates.iter().position(|candidate| has_issued(candidate, &last)) {
        last = certificates.swap_remove(issuer);
        chain.push(to_der(&last, path)?);
    }
    Ok(chain)
}

fn has_issued(issuer: &X509, certificate: &X509) -> bool {
    issuer.public_key().is_ok_and(|key| certificate.verify(&key).unwrap_or(false))
}

/// Those of PEM, or the one that is in DER.
pub(super) fn parse_certificates(bytes: &[u8], path: &Path) -> Result<Vec<X509>, CertificateError> {
    if !is_pem(bytes) {
        let alone = X509::from_der(bytes).map_err(|_| CertificateError::NotPem { path: path.to_owned() })?;
        return Ok(vec![alone]);
    }
    let certificates =
        X509::stack_from_pem(bytes).map_err(|_| CertificateError::BadCertificate { path: path.to_owned() })?;
    if certificates.is_empty() {
        return Err(CertificateError::NoCertificate { path: path.to_owned() });
    }
    Ok(certificates)
}

/// Wiped when dropped: it may hold a private key.
pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, CertificateError> {
    let unreadable = |reason| CertificateError::Unreadable { path: path.to_owned(), reason: Arc::new(reason) };
    fs::read(path).map(Zeroizing::new).map_err(unreadable)
}

fn to_der(certificate: &X509, path: &Path) -> Result<Vec<u8>, CertificateError> {
    certificate.to_der().map_err(|_| CertificateError::BadCertificate { path: path.to_owned() })
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// The group may read it: that is how secrets are mounted into containers.
#[cfg(unix)]
pub(super) fn warn_when_others_may_read(path: &Path) {
    use std::os::unix::fs::PermissionsExt as _;

    const READ_OR_WRITE_BY_OTHERS: u32 = 0o006;
    let Ok(metadata) = fs::metadata(path) else { return };
    if metadata.permissions().mode() & READ_OR_WRITE_BY_OTHERS != 0 {
        let file = path.display();
        log::warn!("every user of this machine may read the private key in {file}: chmod 600 {file}");
    }
}

#[cfg(not(unix))]
pub(super) fn warn_when_others_may_read(_: &Path) {}
