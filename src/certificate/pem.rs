//! Reads certificates and private keys from files. Parsing is OpenSSL's; what is added here tells the ways apart in
//! which it goes wrong.

use std::{
    cell::OnceCell,
    cmp::Ordering,
    fs::{self, File},
    io::{self, Read as _},
    path::Path,
    sync::Arc,
};

use openssl::{
    error::ErrorStack,
    pkcs12::Pkcs12,
    pkey::{PKey, Private},
    x509::X509,
};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use super::{CertificateError, content::Content, pfx};

/// Finds the passphrase, if there is one. It may be in a file that cannot be read, which matters only where it is needed.
pub(super) type Passphrase<'a> = &'a dyn Fn() -> Result<Option<SecretString>, CertificateError>;

const KEY_LABEL: &[u8] = b"PRIVATE KEY-----";
/// Of a file; a chain of ten certificates with its key has some 20 KiB.
const MAX_BYTES: u64 = 1024 * 1024;

/// The certificates in a PEM file (others of its blocks are passed over) or of a DER file, in DER.
///
/// # Errors
/// When the file cannot be read, or holds no certificate that can be parsed.
pub fn certificates_in(path: &Path) -> Result<Vec<Vec<u8>>, CertificateError> {
    all_to_der(&parse_certificates(&Content::of(&read(path)?), path)?, path)
}

pub(super) fn all_to_der(certificates: &[X509], path: &Path) -> Result<Vec<Vec<u8>>, CertificateError> {
    certificates
        .iter()
        .map(|certificate| to_der(certificate, path))
        .collect()
}

/// `passphrase` is asked only if the key is encrypted.
pub(super) fn parse_key(
    content: &Content,
    path: &Path,
    passphrase: Passphrase<'_>,
) -> Result<PKey<Private>, CertificateError> {
    let no_key = || CertificateError::NoKey { path: path.to_owned() };
    match content {
        Content::Pem(pem) if contains(pem, KEY_LABEL) => decrypted(path, passphrase, |answer| {
            PKey::private_key_from_pem_callback(pem, answer)
        }),
        Content::Der(der) => {
            if let Ok(key) = PKey::private_key_from_der(der) {
                return Ok(key);
            }
            if X509::from_der(der).is_ok() {
                return Err(no_key());
            }
            if Pkcs12::from_der(der).is_ok() {
                return pfx::parse(der, path, passphrase).map(|(_, key)| key);
            }
            decrypted(path, passphrase, |answer| {
                PKey::private_key_from_pkcs8_callback(der, answer)
            })
        }
        Content::Pem(_) | Content::Unknown => Err(no_key()),
    }
}

/// What OpenSSL asks for a passphrase: fills the buffer, and gives the length.
type Answer<'a> = &'a mut dyn FnMut(&mut [u8]) -> Result<usize, ErrorStack>;

/// A key that may be encrypted, and why it cannot be read, as exactly as OpenSSL says it.
fn decrypted(
    path: &Path,
    passphrase: Passphrase<'_>,
    parse: impl Fn(Answer<'_>) -> Result<PKey<Private>, ErrorStack>,
) -> Result<PKey<Private>, CertificateError> {
    let answered = OnceCell::new();
    let mut answer = |buffer: &mut [u8]| {
        let passphrase = match answered.get_or_init(passphrase) {
            Ok(Some(passphrase)) => passphrase.expose_secret().as_bytes(),
            _ => &[],
        };
        // Longer than OpenSSL's buffer (1 KB) cannot be the right one; 0 tells OpenSSL that there is none.
        let Some(target) = buffer.get_mut(..passphrase.len()) else {
            return Ok(0);
        };
        target.copy_from_slice(passphrase);
        Ok(passphrase.len())
    };
    let parsed = match parse(&mut answer) {
        Err(error) if is_unsupported_cipher(&error) && pfx::has_legacy_algorithms() => parse(&mut answer),
        outcome => outcome,
    };
    parsed.map_err(|error| {
        let path = path.to_owned();
        match answered.into_inner() {
            None => CertificateError::BadKey { path },
            Some(Ok(None)) => CertificateError::PassphraseMissing { path },
            Some(Ok(Some(_))) if is_unsupported_cipher(&error) => CertificateError::UnsupportedCipher { path },
            Some(Ok(Some(_))) => CertificateError::PassphraseWrong { path },
            Some(Err(error)) => error,
        }
    })
}

/// The passphrase may be right, and OpenSSL lacks the cipher: DES and RC2 are in a module of their own, which is not everywhere.
/// Of the decoders that OpenSSL tries, others say "unsupported" for any key.
fn is_unsupported_cipher(error: &ErrorStack) -> bool {
    error.errors().iter().any(|error| {
        let reason = error.reason().unwrap_or_default();
        let is_of_cipher = error.library().is_some_and(|library| library.contains("envelope"));
        (is_of_cipher && (reason.contains("unsupported") || reason.contains("unknown")))
            || reason == "unsupported encryption"
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
    while let Some(issuer) = certificates
        .iter()
        .position(|candidate| has_issued(candidate, &last) && !is_root(&last))
    {
        last = certificates.swap_remove(issuer);
        chain.push(to_der(&last, path)?);
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

/// Those of PEM, or the one that is in DER.
pub(super) fn parse_certificates(content: &Content, path: &Path) -> Result<Vec<X509>, CertificateError> {
    let not_pem = || CertificateError::NotPem { path: path.to_owned() };
    let pem = match content {
        Content::Pem(pem) => pem,
        Content::Der(der) => return X509::from_der(der).map(|alone| vec![alone]).map_err(|_| not_pem()),
        Content::Unknown => return Err(not_pem()),
    };
    let certificates =
        X509::stack_from_pem(pem).map_err(|_| CertificateError::BadCertificate { path: path.to_owned() })?;
    if certificates.is_empty() {
        return Err(CertificateError::NoCertificate { path: path.to_owned() });
    }
    Ok(certificates)
}

/// Wiped when dropped: it may hold a private key. A pipe or a device is not opened, which could take for ever.
pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, CertificateError> {
    let unreadable = |reason: io::Error| CertificateError::Unreadable {
        path: path.to_owned(),
        reason: Arc::new(reason),
    };
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(CertificateError::NotAFile { path: path.to_owned() });
    }
    let file = File::open(path).map_err(unreadable)?;
    // Of its size at once: a buffer that grows leaves copies behind, which nothing wipes.
    let size = file.metadata().map_err(unreadable)?.len();
    if size > MAX_BYTES {
        return Err(CertificateError::TooLarge { path: path.to_owned() });
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(size).unwrap_or_default() + 1));
    file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}

fn to_der(certificate: &X509, path: &Path) -> Result<Vec<u8>, CertificateError> {
    certificate
        .to_der()
        .map_err(|_| CertificateError::BadCertificate { path: path.to_owned() })
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}
