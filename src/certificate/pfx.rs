//! PFX files (PKCS#12), as Windows, Azure Key Vault and `openssl pkcs12` write them.

use std::sync::OnceLock;

use openssl::{
    error::ErrorStack,
    pkcs12::{ParsedPkcs12_2, Pkcs12},
    pkey::{PKey, Private},
    provider::Provider,
    x509::X509,
};
use secrecy::ExposeSecret as _;

use super::{CertificateError, CertificateLocation, passphrase::Passphrase};

/// The certificates and the private key in a PFX file.
pub(super) fn parse(
    bytes: &[u8],
    location: &CertificateLocation,
    passphrase: Passphrase<'_>,
) -> Result<(Vec<X509>, PKey<Private>), CertificateError> {
    let location = || location.clone();
    let pfx = Pkcs12::from_der(bytes).map_err(|_| CertificateError::NotPem { location: location() })?;
    let passphrase = passphrase()?;
    let text = passphrase.as_ref().map_or("", |passphrase| passphrase.expose_secret());
    // OpenSSL takes a C string, which cannot contain a null character.
    if text.contains('\0') {
        return Err(CertificateError::PassphraseWrong { location: location() });
    }
    let parsed = match pfx.parse2(text) {
        Err(error) if is_unsupported(&error) && has_legacy_algorithms() => pfx.parse2(text),
        outcome => outcome,
    };
    let ParsedPkcs12_2 { pkey, cert, ca } = parsed.map_err(|error| match passphrase {
        _ if is_unsupported(&error) => CertificateError::LegacyPfx { location: location() },
        _ if !is_about_passphrase(&error) => CertificateError::BadPfx { location: location() },
        None => CertificateError::PassphraseMissing { location: location() },
        Some(_) => CertificateError::PassphraseWrong { location: location() },
    })?;
    let key = pkey.ok_or_else(|| CertificateError::NoKey { location: location() })?;
    let certificates: Vec<X509> = cert.into_iter().chain(ca.into_iter().flatten()).collect();
    if certificates.is_empty() {
        return Err(CertificateError::NoCertificate { location: location() });
    }
    Ok((certificates, key))
}

/// The file is encrypted with an algorithm that OpenSSL 3 has only in its legacy module.
fn is_unsupported(error: &ErrorStack) -> bool {
    error.errors().iter().any(|error| error.reason() == Some("unsupported"))
}

/// The MAC over the file does not match, or, in a file without a MAC, the decrypted content is not valid.
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

/// Loads OpenSSL's legacy module, which has RC2: Windows and OpenSSL 1 encrypt certificates in PFX files with it. The module is
/// loaded for the first such file, and stays loaded.
pub(super) fn has_legacy_algorithms() -> bool {
    static LEGACY: OnceLock<Option<Provider>> = OnceLock::new();
    LEGACY
        .get_or_init(|| Provider::try_load(None, "legacy", true).ok())
        .is_some()
}
