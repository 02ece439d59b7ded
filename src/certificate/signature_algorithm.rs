//! The digest in a certificate's signature.

use x509_parser::{certificate::X509Certificate, prelude::FromDer as _, signature_algorithm::SignatureAlgorithm};

/// Weak digests by object identifier: alone, as RSASSA-PSS names them, and combined with RSA or ECDSA (RFC 8017, RFC 3279).
const WEAK: [(&str, &str); 6] = [
    ("1.3.14.3.2.26", "SHA-1"),
    ("1.2.840.113549.1.1.5", "SHA-1"),
    ("1.3.14.3.2.29", "SHA-1"),
    ("1.2.840.10045.4.1", "SHA-1"),
    ("1.2.840.113549.2.5", "MD5"),
    ("1.2.840.113549.1.1.4", "MD5"),
];

/// The name of the digest, if the certificate (in DER) is signed with a weak one.
pub(super) fn weak_digest(certificate: &[u8]) -> Option<&'static str> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let algorithm = &certificate.signature_algorithm;
    let oid = match SignatureAlgorithm::try_from(algorithm) {
        // The default is SHA-1 (RFC 8017, appendix A.2.3).
        Ok(SignatureAlgorithm::RSASSA_PSS(parameters)) => parameters.hash_algorithm_oid().to_id_string(),
        _ => algorithm.algorithm.to_id_string(),
    };
    WEAK.iter().find(|(weak, _)| oid == *weak).map(|(_, name)| *name)
}
