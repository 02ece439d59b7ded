//! Certificates of every kind, made with OpenSSL, and the files that hold them.
//!
//! ```ignore
//! let key = rsa_key(2048);
//! let expired = TestCertificate { valid: (-30, -1), ..TestCertificate::new("site", &key) }.make();
//! let path = file(folder.path(), "client.pem", &[&pem(&expired), &key_pem(&key)]);
//! ```

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use blogctl::config::CertificateSettings;
use chrono::Utc;
use openssl::{
    asn1::Asn1Time,
    bn::BigNum,
    hash::MessageDigest,
    nid::Nid,
    pkey::{PKey, Private},
    x509::{X509, X509NameBuilder, extension::BasicConstraints},
};

/// A certificate to make.
pub struct TestCertificate<'a> {
    pub common_name: &'a str,
    pub key: &'a PKey<Private>,
    /// Certificate and key of the issuer; `None` makes a self-signed certificate.
    pub issuer: Option<(&'a X509, &'a PKey<Private>)>,
    /// Validity, in days from now.
    pub valid: (i64, i64),
}

impl<'a> TestCertificate<'a> {
    pub fn new(common_name: &'a str, key: &'a PKey<Private>) -> Self {
        Self {
            common_name,
            key,
            issuer: None,
            valid: (-1, 30),
        }
    }

    pub fn make(&self) -> X509 {
        let time = |days: i64| Utc::now().timestamp() + days * 86_400;
        self.make_between(time(self.valid.0), time(self.valid.1))
    }

    /// Like [`Self::make`], valid between these Unix times instead of `valid`.
    pub fn make_between(&self, from: i64, until: i64) -> X509 {
        let mut name = X509NameBuilder::new().expect("a name");
        name.append_entry_by_nid(Nid::COMMONNAME, self.common_name)
            .expect("a name");
        let name = name.build();
        let time = |seconds: i64| Asn1Time::from_unix(seconds).expect("a time");
        let mut builder = X509::builder().expect("a builder");
        builder.set_version(2).expect("v3");
        let serial = BigNum::from_u32(4711)
            .expect("a number")
            .to_asn1_integer()
            .expect("a number");
        builder.set_serial_number(&serial).expect("a serial number");
        builder.set_subject_name(&name).expect("a subject");
        builder
            .set_issuer_name(self.issuer.map_or(&*name, |(issuer, _)| issuer.subject_name()))
            .expect("an issuer");
        builder.set_not_before(&time(from)).expect("a time");
        builder.set_not_after(&time(until)).expect("a time");
        builder.set_pubkey(self.key).expect("a key");
        let constraints = BasicConstraints::new().critical().ca().build().expect("an extension");
        builder.append_extension(constraints).expect("an extension");
        builder
            .sign(self.issuer.map_or(self.key, |(_, key)| key), MessageDigest::sha256())
            .expect("a signature");
        builder.build()
    }
}

pub fn pem(certificate: &X509) -> Vec<u8> {
    certificate.to_pem().expect("PEM")
}

pub fn key_pem(key: &PKey<Private>) -> Vec<u8> {
    key.private_key_to_pem_pkcs8().expect("PEM")
}

/// Writes the parts to a file that only the owner can read, since one may be a key. Returns the path.
pub fn file(folder: &Path, name: &str, parts: &[&[u8]]) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, parts.concat()).expect("written");
    fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("a mode");
    path
}

pub fn settings(path: &Path) -> CertificateSettings {
    CertificateSettings {
        path: Some(path.to_owned()),
        ..CertificateSettings::default()
    }
}
