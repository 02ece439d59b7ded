//! PFX files (PKCS#12), as Windows, Azure Key Vault and `openssl pkcs12` write them.

use std::{path::Path, sync::OnceLock};

use openssl::{
    error::ErrorStack,
    pkcs12::{ParsedPkcs12_2, Pkcs12},
    pkey::{PKey, Private},
    provider::Provider,
    x509::X509,
};
use secrecy::ExposeSecret as _;

use super::{CertificateError, pem::Passphrase};

/// Certificates and private key in it.
pub(super) fn parse(
    bytes: &[u8],
    path: &Path,
    passphrase: Passphrase<'_>,
) -> Result<(Vec<X509>, PKey<Private>), CertificateError> {
    let path = || path.to_owned();
    let pfx = Pkcs12::from_der(bytes).map_err(|_| CertificateError::NotPem { path: path() })?;
    let passphrase = passphrase()?;
    let text = passphrase.as_ref().map_or("", |passphrase| passphrase.expose_secret());
    // OpenSSL takes text that ends with a null character, so there can be none in it.
    if text.contains('\0') {
        return Err(CertificateError::PassphraseWrong { path: path() });
    }
    let parsed = match pfx.parse2(text) {
        Err(error) if is_unsupported(&error) && has_legacy_algorithms() => pfx.parse2(text),
        outcome => outcome,
    };
    let ParsedPkcs12_2 { pkey, cert, ca } = parsed.map_err(|error| match passphrase {
        _ if is_unsupported(&error) => CertificateError::LegacyPfx { path: path() },
        _ if !is_about_passphrase(&error) => CertificateError::BadPfx { path: path() },
        None => CertificateError::PassphraseMissing { path: path() },
        Some(_) => CertificateError::PassphraseWrong { path: path() },
    })?;
    let key = pkey.ok_or_else(|| CertificateError::NoKey { path: path() })?;
    let certificates: Vec<X509> = cert.into_iter().chain(ca.into_iter().flatten()).collect();
    if certificates.is_empty() {
        return Err(CertificateError::NoCertificate { path: path() });
    }
    Ok((certificates, key))
}

/// It is encrypted by what OpenSSL 3 does not do by itself.
fn is_unsupported(error: &ErrorStack) -> bool {
    error.errors().iter().any(|error| error.reason() == Some("unsupported"))
}

/// The digest over the whole file does not fit, or, where a file has none, what was decrypted makes no sense.
fn is_about_passphrase(error: &ErrorStack) -> bool {
    let reasons = [
        "mac verify failure",
        "mac absent",
        "cipherfinal error",
        "bad decrypt",
        "decrypt error",
    ];
    error
        .errors()
        .iter()
        .filter_map(openssl::error::Error::reason)
        .any(|own| reasons.iter().any(|reason| own.contains(reason)))
}

/// RC2, with which Windows and OpenSSL 1 encrypted certificates in PFX files, is in a module of its own. It is loaded when
/// the first such file is met, and stays.
pub(super) fn has_legacy_algorithms() -> bool {
    static LEGACY: OnceLock<Option<Provider>> = OnceLock::new();
    LEGACY
        .get_or_init(|| Provider::try_load(None, "legacy", true).ok())
        .is_some()
}
