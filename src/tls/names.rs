//! Which names a certificate is for.

use rustls::{
    client::verify_server_name,
    pki_types::{CertificateDer, ServerName},
    server::ParsedCertificate,
};

/// Whether a certificate in DER is for a DNS name or an address.
pub(crate) fn is_for(leaf: &[u8], name: &str) -> bool {
    let certificate = CertificateDer::from(leaf);
    let (Ok(certificate), Ok(name)) = (ParsedCertificate::try_from(&certificate), ServerName::try_from(name)) else {
        return false;
    };
    verify_server_name(&certificate, &name).is_ok()
}
