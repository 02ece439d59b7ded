//! Check: key and certificate.

use std::sync::Arc;

use chrono::Utc;

use super::{
    Patient,
    finding::{Check, Said},
};
use crate::entra::{ClientCertificate, Credential, CredentialError, CredentialSource, certificate::CertificateError};

pub fn check() -> Check {
    let settings = &[
        "client.cert_path",
        "client.cert_base64",
        "client.key_passphrase_file",
        "client.credential",
        "client.key_base64",
    ];
    Check { name: "certificate", title: "Certificate", settings, after: &[], run }
}

const A_CERTIFICATE: &str = "a certificate in date with its own RSA key of 2048 bits or more";
const A_TOKEN: &str = "a token of this machine's or pod's identity";

/// Of each entry of the list: one that can be used is enough.
fn run(patient: &Patient) -> Vec<Said> {
    let sources = match CredentialSource::all(&patient.settings) {
        Ok(sources) => sources,
        Err(error) => return vec![Said::failed(error.to_string(), "a PEM file", "correct entra.ca_file")],
    };
    if sources.is_empty() {
        let error = CertificateError::NotConfigured;
        return vec![Said::failed(error.to_string(), A_CERTIFICATE, error.hint())];
    }
    let loaded: Vec<_> = sources.iter().map(|source| (source, source.load())).collect();
    let is_any_usable = loaded.iter().any(|(_, loaded)| loaded.is_ok());
    let is_list = sources.len() > 1;
    let said = |(source, loaded): &(&CredentialSource, Result<Arc<Credential>, CredentialError>)| {
        let named = |seen: String| if is_list { format!("{}: {seen}", source.name()) } else { seen };
        match loaded {
            Ok(credential) => of_credential(credential, patient.settings.client.soon_days(), named),
            Err(error) if is_any_usable => {
                Said::warning(named(error.to_string()), "every entry usable, though one is enough", error.hint())
            }
            Err(error) => {
                let expected = if source.is_token() { A_TOKEN } else { A_CERTIFICATE };
                Said::failed(named(error.to_string()), expected, error.hint())
            }
        }
    };
    loaded.iter().map(said).collect()
}

fn of_credential(credential: &Credential, soon_days: i64, named: impl Fn(String) -> String) -> Said {
    match credential.certificate() {
        Some(certificate) => of_certificate(certificate, soon_days, named),
        None => Said::ok(named(format!("can prove itself by {}", credential.name()))),
    }
}

fn of_certificate(certificate: &ClientCertificate, soon_days: i64, named: impl Fn(String) -> String) -> Said {
    let details = certificate.details();
    let now = Utc::now();
    let seen = named(format!(
        "{}, {} {} bits, expires {} ({}), thumbprint {}",
        details.subject,
        details.key_type,
        details.key_bits,
        details.relative_end(now),
        details.not_after.format("%Y-%m-%d"),
        details.thumbprints.sha1_hex()
    ));
    if details.days_left(now) < soon_days {
        let remedy = "make a new one with blogctl cert new, upload it beside the old one under Certificates & secrets \
                      of the site's registration, then put it in place";
        return Said::warning(seen, format!("{soon_days} days or more before it expires"), remedy);
    }
    Said::ok(seen)
}
