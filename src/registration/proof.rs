//! What the site proves itself with, as far as its registration has to know it: certificates without their keys, and
//! tokens of others. Nothing is signed and no token is fetched, so that the registrations can be described on a machine
//! that is not the site's.

use openssl::x509::X509;

use crate::{
    certificate::{CertificateDetails, CertificateError, ClientCertificate},
    config::{Cloud, CredentialSettings, EntraSettings, Settings},
    entra::{Authority, CredentialSource},
    outbound::OutboundError,
};

/// One entry of `client.credential`.
#[derive(Debug, Clone)]
pub enum Proof {
    /// A certificate, whether or not it is in date.
    Certificate {
        /// What it says.
        details: Box<CertificateDetails>,
        /// The certificate itself.
        der: Vec<u8>,
    },
    /// A token that somebody else issues.
    Federated {
        /// Kind and place of the entry.
        name: String,
        /// Who issues it, where the settings tell.
        issuer: Option<String>,
        /// For whom it is issued.
        audience: &'static str,
    },
    /// A certificate that cannot be read here.
    Unreadable {
        /// Kind and place of the entry.
        name: String,
        /// Why.
        reason: String,
        /// What to do about it.
        remedy: String,
    },
}

impl Proof {
    /// Those of the settings, in their order; none when none is set. Reads files, and asks vaults for certificates.
    ///
    /// # Errors
    /// When the CA file cannot be used.
    pub fn all(settings: &Settings) -> Result<Vec<Self>, OutboundError> {
        let sources = CredentialSource::from_settings(settings)?;
        let entries = settings.client.credentials();
        Ok(entries
            .iter()
            .zip(&sources)
            .flat_map(|(entry, source)| Self::of(entry, source, &settings.entra))
            .collect())
    }

    fn of(entry: &CredentialSettings, source: &CredentialSource, settings: &EntraSettings) -> Vec<Self> {
        let (name, audience) = (source.name().to_owned(), audience(settings.cloud));
        match entry {
            // The cluster issues it.
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
                Ok(leaves) => leaves.into_iter().filter_map(Self::of_certificate).collect(),
                Err(error) => {
                    let (reason, remedy) = (error.to_string(), error.hint().into_owned());
                    vec![Self::Unreadable { name, reason, remedy }]
                }
            },
        }
    }

    fn of_certificate(der: Vec<u8>) -> Option<Self> {
        Some(Self::Certificate {
            details: Box::new(CertificateDetails::from_der(&der)?),
            der,
        })
    }
}

/// The audience of federated credentials in each cloud (Microsoft Learn "Workload identity federation").
fn audience(cloud: Cloud) -> &'static str {
    match cloud {
        Cloud::Public => "api://AzureADTokenExchange",
        Cloud::UsGovernment => "api://AzureADTokenExchangeUSGov",
        Cloud::China => "api://AzureADTokenExchangeChina",
    }
}

/// In DER: the certificate of the key, or where that cannot be told (it is out of date, or there is no key here) each
/// that has issued no other.
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
