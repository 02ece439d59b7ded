//! The site's credentials as its registration has to know them: certificates without keys, and federated credentials. Nothing is
//! signed and no token is fetched, so that the registrations can be described on another machine than the site's.

use openssl::x509::X509;

use crate::{
    certificate::{CertificateDetails, CertificateError, ClientCertificate},
    config::{CredentialSettings, EntraSettings, Settings},
    entra::{Authority, CredentialSource, credential::FederatedCredential},
    outbound::OutboundError,
};

/// A credential that the registration must know.
#[derive(Debug, Clone)]
pub enum ExpectedCredential {
    /// A certificate, which may have expired.
    Certificate {
        /// Its details.
        details: Box<CertificateDetails>,
        /// The certificate in DER.
        der: Vec<u8>,
    },
    /// A token of another issuer.
    Federated {
        /// Kind and location of the entry.
        name: String,
        /// Issuer of the token, if the settings determine it.
        issuer: Option<String>,
        /// Audience of the token.
        audience: &'static str,
    },
    /// A certificate that cannot be read here.
    Unreadable {
        /// Kind and location of the entry.
        name: String,
        /// The error.
        reason: String,
        /// What the operator can do.
        hint: String,
    },
}

impl ExpectedCredential {
    /// The credentials of the settings, in order. Reads files, and asks vaults for certificates.
    ///
    /// # Errors
    /// When the CA file cannot be used.
    pub fn from_settings(settings: &Settings) -> Result<Vec<Self>, OutboundError> {
        let sources = CredentialSource::from_settings(settings)?;
        let entries = settings.client.credentials();
        Ok(entries
            .iter()
            .zip(&sources)
            .flat_map(|(entry, source)| Self::from_entry(entry, source, &settings.entra))
            .collect())
    }

    fn from_entry(entry: &CredentialSettings, source: &CredentialSource, settings: &EntraSettings) -> Vec<Self> {
        let (name, audience) = (source.name().to_owned(), FederatedCredential::audience(settings.cloud));
        match entry {
            // The settings do not name the cluster's issuer.
            CredentialSettings::WorkloadIdentity(_) => vec![Self::Federated {
                name,
                issuer: None,
                audience,
            }],
            CredentialSettings::ManagedIdentity(_) => {
                let issuer = Authority::new(settings).ok().map(|authority| authority.issuer_v2());
                vec![Self::Federated { name, issuer, audience }]
            }
            CredentialSettings::File(_)
            | CredentialSettings::KeyVaultSign(_)
            | CredentialSettings::KeyVaultCertificate(_) => match leaves(source) {
                Ok(leaves) => leaves.into_iter().filter_map(Self::from_certificate).collect(),
                Err(error) => {
                    let (reason, hint) = (error.to_string(), error.hint().into_owned());
                    vec![Self::Unreadable { name, reason, hint }]
                }
            },
        }
    }

    fn from_certificate(der: Vec<u8>) -> Option<Self> {
        Some(Self::Certificate {
            details: Box::new(CertificateDetails::from_der(&der)?),
            der,
        })
    }
}

/// In DER: the certificate of the key. If that is unknown, since the certificate is not valid now or there is no key here, every
/// certificate that is not the issuer of another.
fn leaves(source: &CredentialSource) -> Result<Vec<Vec<u8>>, CertificateError> {
    if let Some(Ok(certificate)) = source.file().map(ClientCertificate::load) {
        return Ok(certificate.chain().first().cloned().into_iter().collect());
    }
    let all = source.certificates()?;
    let parsed: Vec<X509> = all.iter().filter_map(|der| X509::from_der(der).ok()).collect();
    let has_issued_another = |one: &X509| {
        let name = one.subject_name().to_der().ok();
        let is_issued =
            |other: &X509| other.issuer_name().to_der().ok() == name && other.subject_name().to_der().ok() != name;
        name.is_some() && parsed.iter().any(is_issued)
    };
    let is_leaf = |der: &Vec<u8>| X509::from_der(der).is_ok_and(|one| !has_issued_another(&one));
    Ok(all.iter().filter(|der| is_leaf(der)).cloned().collect())
}
