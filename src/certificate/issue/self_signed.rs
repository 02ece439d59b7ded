//! A key and a self-signed certificate, as PEM and optionally as PFX (PKCS#12, RFC 7292).

use std::path::{Path, PathBuf};

use chrono::Utc;
use openssl::{
    asn1::Asn1Time,
    bn::{BigNum, MsbOption},
    error::ErrorStack,
    hash::MessageDigest,
    pkcs12::Pkcs12,
    pkey::{PKey, Private},
    x509::{
        X509,
        extension::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectKeyIdentifier},
    },
};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use super::{Destination, IssueError, Subject, check_bits, key_to_pem, new_key};

/// The validity starts this long ago, since Entra's clock may be a little behind ours.
const BACKDATE_SECONDS: i64 = 5 * 60;
/// Ten years.
const MAX_DAYS: u32 = 3650;
const SECONDS_A_DAY: i64 = 24 * 60 * 60;
/// X.509 version 3 is encoded as 2.
const X509_V3: i32 = 2;

/// The properties of a new certificate.
#[derive(Debug, Clone)]
pub struct NewCertificate {
    /// Subject and issuer.
    pub subject: Subject,
    /// Validity in days from now, 1–3650.
    pub days: u32,
    /// RSA modulus size: 2048, 3072 or 4096.
    pub bits: u32,
}

/// The written files.
#[derive(Debug, Clone)]
pub struct IssuedFiles {
    /// The certificate alone, for the upload.
    pub certificate: PathBuf,
    /// Key and certificate in one PEM file, mode 0600, for `client.cert_path`.
    pub combined: PathBuf,
    /// Key and certificate as PFX, mode 0600, if requested.
    pub pfx: Option<PathBuf>,
}

impl NewCertificate {
    /// The properties of a self-signed certificate (in DER): subject, alternative names, validity in days and key size. `None`
    /// when another certificate signed it.
    pub fn from_certificate(certificate: &[u8]) -> Option<Self> {
        let certificate = X509::from_der(certificate).ok()?;
        let key = certificate.public_key().ok()?;
        if !certificate.verify(&key).ok()? {
            return None;
        }
        let validity = certificate.not_before().diff(certificate.not_after()).ok()?;
        Some(Self {
            subject: Subject::from_certificate(&certificate).ok()?,
            days: u32::try_from(validity.days).ok()?.clamp(1, MAX_DAYS),
            bits: [2048, 3072, 4096]
                .into_iter()
                .find(|bits| *bits >= key.bits())
                .unwrap_or(4096),
        })
    }

    /// Makes the key and the certificate, and writes `{name}-cert.pem` and `{name}.pem`.
    ///
    /// # Errors
    /// When a file exists and must not be replaced, or cannot be written.
    pub fn write(&self, to: &Destination) -> Result<IssuedFiles, IssueError> {
        self.write_with(to, None)
    }
    /// As [`Self::write`], and writes `{name}.pfx`, which needs a passphrase.
    ///
    /// # Errors
    /// Those of [`Self::write`], and [`IssueError::PfxWithoutPassphrase`].
    pub fn write_with_pfx(&self, to: &Destination) -> Result<IssuedFiles, IssueError> {
        let passphrase = to.passphrase.as_ref().ok_or(IssueError::PfxWithoutPassphrase)?;
        self.write_with(to, Some(passphrase))
    }

    fn write_with(&self, to: &Destination, pfx: Option<&SecretString>) -> Result<IssuedFiles, IssueError> {
        self.check()?;
        let files = IssuedFiles {
            certificate: to.path("-cert.pem"),
            combined: to.path(".pem"),
            pfx: pfx.map(|_| to.path(".pfx")),
        };
        let paths = [Some(&files.combined), Some(&files.certificate), files.pfx.as_ref()];
        to.check(
            &paths
                .into_iter()
                .flatten()
                .map(PathBuf::as_path)
                .collect::<Vec<&Path>>(),
        )?;
        let other_pfx = to.path(".pfx");
        if to.overwrite && pfx.is_none() && other_pfx.symlink_metadata().is_ok() {
            return Err(IssueError::OldPfx(other_pfx));
        }

        let key = new_key(self.bits)?;
        let certificate = self.certificate(&key)?;
        let pem = certificate.to_pem()?;
        let mut combined = key_to_pem(&key, to.passphrase.as_ref())?;
        combined.extend_from_slice(&pem);

        to.write_public(&files.certificate, &pem)?;
        if let (Some(path), Some(passphrase)) = (&files.pfx, pfx) {
            to.write_secret(path, &self.pfx(&key, &certificate, passphrase)?)?;
        }
        // Last: its presence means that all files are complete, and if one of the others fails, the old key still exists.
        to.write_secret(&files.combined, &combined)?;
        Ok(files)
    }

    fn check(&self) -> Result<(), IssueError> {
        self.subject.check()?;
        if !(1..=MAX_DAYS).contains(&self.days) {
            return Err(IssueError::Days(self.days));
        }
        check_bits(self.bits)
    }

    fn certificate(&self, key: &PKey<Private>) -> Result<X509, ErrorStack> {
        let name = self.subject.name()?;
        let mut serial = BigNum::new()?;
        // Random, positive and at most 20 octets (RFC 5280 §4.1.2.2).
        serial.rand(127, MsbOption::MAYBE_ZERO, false)?;
        let not_before = Utc::now().timestamp() - BACKDATE_SECONDS;
        let not_after = not_before + i64::from(self.days) * SECONDS_A_DAY;

        let mut builder = X509::builder()?;
        builder.set_version(X509_V3)?;
        builder.set_serial_number(&*serial.to_asn1_integer()?)?;
        builder.set_subject_name(&name)?;
        builder.set_issuer_name(&name)?;
        builder.set_not_before(&*Asn1Time::from_unix(not_before)?)?;
        builder.set_not_after(&*Asn1Time::from_unix(not_after)?)?;
        builder.set_pubkey(key)?;
        builder.append_extension(BasicConstraints::new().critical().build()?)?;
        builder.append_extension(KeyUsage::new().critical().digital_signature().build()?)?;
        builder.append_extension(ExtendedKeyUsage::new().client_auth().build()?)?;
        let key_identifier = SubjectKeyIdentifier::new().build(&builder.x509v3_context(None, None))?;
        builder.append_extension(key_identifier)?;
        if let Some(names) = self.subject.extension(&builder.x509v3_context(None, None))? {
            builder.append_extension(names)?;
        }
        builder.sign(key, MessageDigest::sha256())?;
        Ok(builder.build())
    }

    /// Uses OpenSSL 3's default algorithms: AES-256, and a MAC with SHA-256.
    fn pfx(
        &self,
        key: &PKey<Private>,
        certificate: &X509,
        passphrase: &SecretString,
    ) -> Result<Zeroizing<Vec<u8>>, ErrorStack> {
        let mut builder = Pkcs12::builder();
        builder.name(self.subject.common_name()).pkey(key).cert(certificate);
        Ok(Zeroizing::new(builder.build2(passphrase.expose_secret())?.to_der()?))
    }
}
