//! A key and a certificate signing request (PKCS#10, RFC 2986), for companies with a certificate authority.

use std::path::PathBuf;

use openssl::{
    hash::MessageDigest,
    pkey::{PKey, Private},
    stack::Stack,
    x509::{
        X509Req,
        extension::{ExtendedKeyUsage, KeyUsage},
    },
};

use super::{Destination, IssueError, Subject, check_bits, key_to_pem, new_key};

/// The properties of a new request.
#[derive(Debug, Clone)]
pub struct NewSigningRequest {
    /// Subject of the certificate.
    pub subject: Subject,
    /// RSA modulus size: 2048, 3072 or 4096.
    pub bits: u32,
}

/// The written files.
#[derive(Debug, Clone)]
pub struct RequestFiles {
    /// The private key, mode 0600, for `client.key_path`.
    pub key: PathBuf,
    /// The request, for the certificate authority.
    pub request: PathBuf,
}

impl NewSigningRequest {
    /// Makes the key and the request, and writes `{name}-key.pem` and `{name}.csr`.
    ///
    /// # Errors
    /// When a file exists and must not be replaced, or cannot be written.
    pub fn write(&self, to: &Destination) -> Result<RequestFiles, IssueError> {
        self.subject.check()?;
        check_bits(self.bits)?;
        let files = RequestFiles {
            key: to.path("-key.pem"),
            request: to.path(".csr"),
        };
        to.check(&[&files.key, &files.request])?;

        let key = new_key(self.bits)?;
        let request = self.request(&key)?.to_pem()?;
        to.write_secret(&files.key, &key_to_pem(&key, to.passphrase.as_ref())?)?;
        to.write_public(&files.request, &request)?;
        Ok(files)
    }

    fn request(&self, key: &PKey<Private>) -> Result<X509Req, IssueError> {
        let mut builder = X509Req::builder()?;
        builder.set_subject_name(&*self.subject.name()?)?;
        builder.set_pubkey(key)?;
        let mut extensions = Stack::new()?;
        extensions.push(KeyUsage::new().critical().digital_signature().build()?)?;
        extensions.push(ExtendedKeyUsage::new().client_auth().build()?)?;
        if let Some(names) = self.subject.extension(&builder.x509v3_context(None))? {
            extensions.push(names)?;
        }
        builder.add_extensions(&extensions)?;
        builder.sign(key, MessageDigest::sha256())?;
        Ok(builder.build())
    }
}
