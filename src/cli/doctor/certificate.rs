//! Check: key and certificate.

use chrono::Utc;

use super::{
    Patient,
    finding::{Check, Said},
};
use crate::entra::{
    ClientCertificate,
    certificate::{SOON_DAYS, relative_days},
};

pub fn check() -> Check {
    Check { name: "certificate", title: "Certificate", settings: &["client.cert_path"], after: &[], run }
}

fn run(patient: &Patient) -> Vec<Said> {
    let certificate = match ClientCertificate::load(&patient.settings.client.certificate) {
        Ok(certificate) => certificate,
        Err(error) => {
            let expected = "a certificate in date with its own RSA key of 2048 bits or more";
            return vec![Said::failed(error.to_string(), expected, error.hint())];
        }
    };
    let details = certificate.details();
    let days = details.days_left(Utc::now());
    let seen = format!(
        "{}, {} {} bits, expires {} ({}), thumbprint {}",
        details.subject,
        details.key_type,
        details.key_bits,
        relative_days(days),
        details.not_after.format("%Y-%m-%d"),
        details.thumbprints.sha1_hex()
    );
    if days < SOON_DAYS {
        let remedy = "make a new one with blogctl cert new, upload it beside the old one under Certificates & secrets \
                      of the site's registration, then put it in place";
        return vec![Said::warning(seen, format!("{SOON_DAYS} days or more before it expires"), remedy)];
    }
    vec![Said::ok(seen)]
}
