//! Creates and stores the CA and the certificate for localhost, and renews them before they expire.

use std::{
    fs::{self, DirBuilder},
    os::unix::fs::DirBuilderExt,
    path::Path,
};

use chrono::{Datelike, Days, Utc};
use openssl::{asn1::Asn1Time, x509::X509};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};

use super::{LocalTlsError, TlsFiles};
use crate::atomic_file::{self, Access};

const CA_DAYS: u64 = 10 * 365;
const CERTIFICATE_DAYS: u64 = 365;
/// A certificate is renewed this many days before it expires.
const RENEW_DAYS: u32 = 30;

/// Creates what is missing or about to expire in `folder`.
///
/// # Errors
/// When the folder cannot be used, or no certificate can be created.
pub fn prepare(folder: &Path) -> Result<TlsFiles, LocalTlsError> {
    let files = TlsFiles::in_folder(folder);
    let folder_error = |source| LocalTlsError::File {
        path: folder.to_owned(),
        source,
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(folder_error)?;
    if !is_valid_for_a_while(&files.ca)? || !files.ca_key.exists() {
        let key = KeyPair::generate()?;
        let certificate = ca_params()?.self_signed(&key)?;
        write(&files.ca_key, &key.serialize_pem(), Access::OwnerOnly)?;
        write(&files.ca, &certificate.pem(), Access::Everyone)?;
    }
    if !is_valid_for_a_while(&files.certificate)? || !files.key.exists() || !is_signed_by_ca(&files)? {
        let ca_key = KeyPair::from_pem(&read(&files.ca_key)?).map_err(|error| LocalTlsError::Damaged {
            path: files.ca_key.clone(),
            reason: error.to_string(),
        })?;
        let key = KeyPair::generate()?;
        // The same parameters produce the same name and key identifier as in the CA file.
        let certificate = localhost_params()?.signed_by(&key, &Issuer::new(ca_params()?, ca_key))?;
        write(&files.key, &key.serialize_pem(), Access::OwnerOnly)?;
        write(&files.certificate, &certificate.pem(), Access::Everyone)?;
    }
    Ok(files)
}

fn ca_params() -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(Vec::<String>::new())?;
    params
        .distinguished_name
        .push(DnType::CommonName, "blogctl development CA");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    set_validity(&mut params, CA_DAYS);
    Ok(params)
}

fn localhost_params() -> Result<CertificateParams, rcgen::Error> {
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, "localhost");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    set_validity(&mut params, CERTIFICATE_DAYS);
    Ok(params)
}

/// From yesterday, to tolerate clock skew, until `days` from today.
fn set_validity(params: &mut CertificateParams, days: u64) {
    let today = Utc::now().date_naive();
    let date = |date: chrono::NaiveDate| {
        // Cannot fail: months and days of a date fit.
        let [month, day] = [date.month(), date.day()].map(|number| u8::try_from(number).unwrap_or(1));
        date_time_ymd(date.year(), month, day)
    };
    params.not_before = date(today.checked_sub_days(Days::new(1)).unwrap_or(today));
    params.not_after = date(today.checked_add_days(Days::new(days)).unwrap_or(today));
}

/// Whether there is a certificate that is valid for more than [`RENEW_DAYS`].
fn is_valid_for_a_while(path: &Path) -> Result<bool, LocalTlsError> {
    if !path.exists() {
        return Ok(false);
    }
    let certificate = certificate(path)?;
    let soon = Asn1Time::days_from_now(RENEW_DAYS).map_err(|error| damaged(path, &error))?;
    Ok(certificate.not_after() > &*soon)
}

fn is_signed_by_ca(files: &TlsFiles) -> Result<bool, LocalTlsError> {
    let ca_key = certificate(&files.ca)?
        .public_key()
        .map_err(|error| damaged(&files.ca, &error))?;
    certificate(&files.certificate)?
        .verify(&ca_key)
        .map_err(|error| damaged(&files.certificate, &error))
}

fn certificate(path: &Path) -> Result<X509, LocalTlsError> {
    X509::from_pem(read(path)?.as_bytes()).map_err(|error| damaged(path, &error))
}

fn damaged(path: &Path, reason: &impl ToString) -> LocalTlsError {
    LocalTlsError::Damaged {
        path: path.to_owned(),
        reason: reason.to_string(),
    }
}

fn read(path: &Path) -> Result<String, LocalTlsError> {
    fs::read_to_string(path).map_err(|source| LocalTlsError::File {
        path: path.to_owned(),
        source,
    })
}

/// No reader sees half a file: see [`atomic_file`].
fn write(path: &Path, text: &str, access: Access) -> Result<(), LocalTlsError> {
    atomic_file::replace(path, text.as_bytes(), access).map_err(|source| LocalTlsError::File {
        path: path.to_owned(),
        source,
    })
}
