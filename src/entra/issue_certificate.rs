//! Makes a key and a self-signed certificate for an app registration. Entra trusts a certificate because it was
//! uploaded, not because somebody signed it: self-signed is no weaker here.

mod files;

use std::path::{Path, PathBuf};

use chrono::Utc;
use openssl::{
    asn1::Asn1Time,
    bn::{BigNum, MsbOption},
    error::ErrorStack,
    hash::MessageDigest,
    nid::Nid,
    pkey::{PKey, Private},
    rsa::Rsa,
    x509::{
        X509, X509NameBuilder,
        extension::{BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectKeyIdentifier},
    },
};
use zeroize::Zeroizing;

/// Valid from so long ago: Entra's clock may be a little behind ours.
const BACKDATE_SECONDS: i64 = 5 * 60;
const SECONDS_A_DAY: i64 = 24 * 60 * 60;
/// Upper bound of a common name (RFC 5280, appendix A.1, `ub-common-name`).
const MAX_COMMON_NAME_CHARS: usize = 64;
/// X.509 version 3 is written 2.
const X509_V3: i32 = 2;

/// What to make.
#[derive(Debug, Clone)]
pub struct NewCertificate {
    /// Subject common name.
    pub common_name: String,
    /// Valid from now for so many days, 1–3650.
    pub days: u32,
    /// RSA modulus size: 2048, 3072 or 4096.
    pub bits: u32,
}

/// Where it was put.
#[derive(Debug, Clone)]
pub struct IssuedFiles {
    /// The certificate alone: what is uploaded.
    pub certificate: PathBuf,
    /// Key and certificate in one PEM, mode 0600: what `client.cert_path` names.
    pub combined: PathBuf,
}

/// Why nothing was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IssueError {
    /// A file is there already, and `overwrite` was not asked for.
    #[error("{} exists already", .0.display())]
    Exists(PathBuf),
    /// The common name is empty or too long.
    #[error("a common name has 1 to 64 characters")]
    CommonName,
    /// The time of validity is out of range.
    #[error("a certificate is made for 1 to 3650 days, not {0}")]
    Days(u32),
    /// The size of the key is not on offer.
    #[error("a key has 2048, 3072 or 4096 bits, not {0}")]
    Bits(u32),
    /// The name would lead out of the folder.
    #[error("{0:?} is not a plain file name")]
    Name(String),
    /// A file cannot be written.
    #[error("{} cannot be written: {reason}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the system says.
        reason: std::io::Error,
    },
    /// OpenSSL made no key or certificate.
    #[error("OpenSSL did not make the certificate: {0}")]
    OpenSsl(#[from] ErrorStack),
}

impl IssueError {
    /// What to do about it, where that is not plain from the message.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Exists(_) => Some("choose another --name or --out, or replace it with --force"),
            Self::Write { .. } => Some("choose a folder that you may write to with --out"),
            _ => None,
        }
    }
}

impl NewCertificate {
    /// Makes the key and the certificate, and writes `{name}-cert.pem` and `{name}.pem` into `folder` (made when
    /// missing).
    ///
    /// # Errors
    /// When a file exists and `overwrite` is false, or cannot be written.
    pub fn write(&self, folder: &Path, name: &str, overwrite: bool) -> Result<IssuedFiles, IssueError> {
        self.check()?;
        let plain = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0']);
        if !plain {
            return Err(IssueError::Name(name.to_owned()));
        }
        let files = IssuedFiles {
            certificate: folder.join(format!("{name}-cert.pem")),
            combined: folder.join(format!("{name}.pem")),
        };
        // Before the key is made, which takes a while; the files are opened so that one made meanwhile is kept too.
        let existing = [&files.combined, &files.certificate].into_iter().find(|path| path.symlink_metadata().is_ok());
        if let Some(path) = existing.filter(|_| !overwrite) {
            return Err(IssueError::Exists(path.clone()));
        }

        let key = PKey::from_rsa(Rsa::generate(self.bits)?)?;
        let certificate = self.certificate(&key)?.to_pem()?;
        let mut combined = Zeroizing::new(key.private_key_to_pem_pkcs8()?);
        combined.extend_from_slice(&certificate);

        files::make_private_folder(folder)?;
        let write = if overwrite { files::replace } else { files::create };
        write(&files.combined, &combined, files::Access::OwnerOnly)?;
        write(&files.certificate, &certificate, files::Access::Everyone)?;
        Ok(files)
    }

    fn check(&self) -> Result<(), IssueError> {
        if self.common_name.trim().is_empty() || self.common_name.chars().count() > MAX_COMMON_NAME_CHARS {
            return Err(IssueError::CommonName);
        }
        if !(1..=3650).contains(&self.days) {
            return Err(IssueError::Days(self.days));
        }
        if ![2048, 3072, 4096].contains(&self.bits) {
            return Err(IssueError::Bits(self.bits));
        }
        Ok(())
    }

    fn certificate(&self, key: &PKey<Private>) -> Result<X509, ErrorStack> {
        let mut name = X509NameBuilder::new()?;
        name.append_entry_by_nid(Nid::COMMONNAME, &self.common_name)?;
        let name = name.build();
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
        builder.sign(key, MessageDigest::sha256())?;
        Ok(builder.build())
    }
}
