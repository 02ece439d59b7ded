//! Check: key and certificate.

use chrono::Utc;

use super::{
    DoctorContext,
    credentials::Entry,
    finding::{Check, CheckResult},
};
use crate::{
    certificate::{CertificateError, ClientCertificate, Observation, Severity},
    entra::{Credential, CredentialSource},
};

pub fn check() -> Check {
    let settings = &[
        "client.cert_path",
        "client.cert_base64",
        "client.key_passphrase_file",
        "client.credential",
        "client.key_base64",
    ];
    Check {
        name: "certificate",
        title: "Certificate",
        settings,
        after: &[],
        run,
    }
}

const A_CERTIFICATE: &str = "a valid certificate with its own RSA key of 2048 bits or more";
const A_TOKEN: &str = "a token for the identity of this machine or pod";

/// Checks each entry of the list. One usable entry is enough.
fn run(context: &DoctorContext) -> Vec<CheckResult> {
    let entries = match context.credentials() {
        Ok(entries) => entries,
        Err(reason) => return vec![CheckResult::failed(reason, "a PEM file", "correct entra.ca_file")],
    };
    if entries.is_empty() {
        let error = CertificateError::NotConfigured;
        return vec![CheckResult::failed(error.to_string(), A_CERTIFICATE, error.hint())];
    }
    let is_any_usable = entries.iter().any(|entry| entry.loaded.is_ok());
    let is_list = entries.len() > 1;
    let said = |Entry { source, loaded }: &Entry| {
        let named = |seen: String| {
            if is_list {
                format!("{}: {seen}", source.name())
            } else {
                seen
            }
        };
        match loaded {
            Ok(credential) => of_credential(credential, source, context.settings.client.soon_days(), named),
            Err(error) if is_any_usable => {
                vec![CheckResult::warning(
                    named(error.seen()),
                    "every entry usable, although one is enough",
                    error.remedy(),
                )]
            }
            Err(error) => {
                let expected = if source.is_token() { A_TOKEN } else { A_CERTIFICATE };
                vec![CheckResult::failed(named(error.seen()), expected, error.remedy())]
            }
        }
    };
    entries.iter().flat_map(said).collect()
}

fn of_credential(
    credential: &Credential,
    source: &CredentialSource,
    soon_days: i64,
    named: impl Fn(String) -> String,
) -> Vec<CheckResult> {
    let Some(certificate) = credential.certificate() else {
        return vec![CheckResult::ok(named(format!(
            "can authenticate with {}",
            credential.name()
        )))];
    };
    let mode = source.file().and_then(Observation::for_key_file);
    let mode = mode.filter(|mode| mode.severity != Severity::Good).map(|mode| {
        CheckResult::warning(
            named(mode.seen),
            "a key that only the site's account can read or replace",
            mode.hint.unwrap_or_default(),
        )
    });
    std::iter::once(of_certificate(certificate, soon_days, &named))
        .chain(mode)
        .collect()
}

fn of_certificate(certificate: &ClientCertificate, soon_days: i64, named: &impl Fn(String) -> String) -> CheckResult {
    let details = certificate.details();
    let now = Utc::now();
    let seen = named(format!(
        "{}, {} {} bits, expires {} ({}), thumbprint {}",
        details.subject,
        details.key_type,
        details.key_bits,
        details.relative_expiry(now),
        details.not_after.format("%Y-%m-%d"),
        details.thumbprints.sha1_hex()
    ));
    let seen = match certificate.successor() {
        Some(next) => format!(
            "{seen}; the next certificate in the file is valid from {}, thumbprint {}",
            next.not_before.format("%Y-%m-%d"),
            next.thumbprints.sha1_hex()
        ),
        None => seen,
    };
    if details.days_left(now) <= soon_days {
        let remedy = "create a new one with blogctl cert new, upload it in addition to the old one under Certificates & \
                      secrets of the site's app registration, then replace the file";
        return CheckResult::warning(seen, format!("more than {soon_days} days until it expires"), remedy);
    }
    CheckResult::ok(seen)
}
