//! Comparison of the site's credentials with the uploaded ones. One matching credential is enough; then the others are only
//! warnings.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{Comparison, Severity, listed, member, or_none};
use crate::{
    certificate::{CertificateDetails, SOON_DAYS},
    registration::{ExpectedCredential, ExpectedRegistrations},
};

const UPLOAD: &str = "Certificates & secrets › Certificates › Upload certificate (the file without the key)";

/// A problem with one of the site's certificates.
struct Problem {
    seen: String,
    expected: String,
    hint: &'static str,
}

impl Comparison<'_> {
    pub(super) fn credentials(&mut self, wanted: &ExpectedRegistrations, now: DateTime<Utc>) {
        // Keys for signing belong to SAML and authenticate nothing.
        let is_for_authentication = |key: &&Value| member(key, "usage") != "Sign";
        let keys: Vec<_> = self
            .array("/keyCredentials")
            .into_iter()
            .filter(is_for_authentication)
            .collect();
        let mut compared = Vec::new();
        for credential in &wanted.credentials {
            match credential {
                ExpectedCredential::Certificate { details, der } => {
                    let uploaded = keys.iter().copied().find(|key| is_of(key, details, der));
                    compared.push((details, problem_of(details, uploaded, &keys, now), uploaded));
                }
                ExpectedCredential::Federated { name, audience, .. } => self.federated(name, audience),
                ExpectedCredential::Unreadable { name, reason, hint } => {
                    let seen = format!("{name} cannot be compared: {reason}");
                    self.push(Severity::Warning, seen, "a certificate to compare with", hint);
                }
            }
        }
        let is_federated = |credential: &ExpectedCredential| matches!(credential, ExpectedCredential::Federated { .. });
        let is_one_enough =
            compared.iter().any(|(_, problem, _)| problem.is_none()) || wanted.credentials.iter().any(is_federated);
        let severity = if is_one_enough {
            Severity::Warning
        } else {
            Severity::Differs
        };
        for (details, problem, uploaded) in &compared {
            match problem {
                Some(Problem { seen, expected, hint }) => self.push(severity, seen.clone(), expected, hint),
                None => self.uploaded(details, *uploaded, now),
            }
        }
        if wanted.credentials.is_empty() {
            let seen = "there is no certificate here to compare with".to_owned();
            self.push(
                Severity::Warning,
                seen,
                "the certificate that client.cert_path names",
                "blogctl cert new makes one",
            );
        }
        let known: Vec<&Value> = compared.iter().filter_map(|(_, _, uploaded)| *uploaded).collect();
        self.unknown_certificates(keys.into_iter().filter(|key| !known.contains(key)), now);
    }

    /// Exports do not include federated credentials.
    fn federated(&mut self, name: &str, audience: &str) {
        self.push(
            Severity::Warning,
            format!(
                "the site authenticates with a federated token, {name}; exports do not include federated credentials"
            ),
            &format!("a federated credential with the token's issuer and subject, and the audience {audience}"),
            "compare it with Certificates & secrets › Federated credentials",
        );
    }

    /// A certificate that is uploaded and valid.
    fn uploaded(&mut self, details: &CertificateDetails, uploaded: Option<&Value>, now: DateTime<Utc>) {
        let sha1 = details.thumbprints.sha1_hex();
        let days = uploaded
            .and_then(|key| time(key, "endDateTime"))
            .map(|ends| (ends - now).num_days());
        match days {
            Some(days) if days < SOON_DAYS => self.push(
                Severity::Warning,
                format!("the certificate {sha1} expires in {days} days"),
                &format!("{SOON_DAYS} days or more"),
                "make another with blogctl cert new, and upload it in addition to this one",
            ),
            _ => self.push(Severity::Agrees, format!("the certificate {sha1} is uploaded"), "", ""),
        }
    }

    /// Uploaded certificates that the settings do not have. An attacker who has the key of a valid one can impersonate the site.
    fn unknown_certificates<'k>(&mut self, keys: impl Iterator<Item = &'k Value>, now: DateTime<Utc>) {
        for key in keys {
            let id = name_of(key);
            match time(key, "endDateTime") {
                Some(ends) if ends < now => self.push(
                    Severity::Warning,
                    format!("an expired certificate is still uploaded: {id}"),
                    "valid certificates only",
                    "Certificates & secrets › Certificates: delete it",
                ),
                ends => self.push(
                    Severity::Warning,
                    format!(
                        "a certificate is uploaded that these settings do not have: {id}, valid until {}",
                        ends.map_or_else(
                            || "an unknown date".to_owned(),
                            |ends| ends.format("%Y-%m-%d").to_string()
                        )
                    ),
                    "only the site's own: an attacker with the key of another can impersonate the site",
                    "Certificates & secrets › Certificates: delete it, unless it is the site's next or previous one",
                ),
            }
        }
    }
}

/// Reports wrong dates first: the upload of an expired certificate does not help.
fn problem_of(
    details: &CertificateDetails,
    uploaded: Option<&Value>,
    keys: &[&Value],
    now: DateTime<Utc>,
) -> Option<Problem> {
    let sha1 = details.thumbprints.sha1_hex();
    let date = |name| uploaded.and_then(|key| time(key, name));
    let ends = date("endDateTime").map_or(details.not_after, |ends| ends.min(details.not_after));
    let starts = date("startDateTime").map_or(details.not_before, |starts| starts.max(details.not_before));
    if ends < now {
        return Some(Problem {
            seen: format!("the certificate {sha1} has expired"),
            expected: "a valid certificate".to_owned(),
            hint: "make another with blogctl cert new, and upload it",
        });
    }
    if starts > now {
        return Some(Problem {
            seen: format!("the certificate {sha1} is not valid yet"),
            expected: "a valid certificate".to_owned(),
            hint: "wait, or use another certificate; compare the clock",
        });
    }
    uploaded.is_none().then(|| {
        let others: Vec<_> = keys.iter().map(|key| name_of(key)).collect();
        Problem {
            seen: listed(&others, "certificate", "no certificate is uploaded"),
            expected: format!("the site's own, thumbprint {sha1}"),
            hint: UPLOAD,
        }
    })
}

/// Graph returns SHA-1 or SHA-256 in base64; some versions of az return them in hex.
fn is_of(key: &Value, details: &CertificateDetails, der: &[u8]) -> bool {
    let thumbprints = &details.thumbprints;
    let base64 = [thumbprints.custom_key_identifier(), STANDARD.encode(thumbprints.sha256)];
    let hex = [thumbprints.sha1_hex(), thumbprints.sha256_hex()];
    let id = member(key, "customKeyIdentifier");
    member(key, "key") == STANDARD.encode(der)
        || base64.contains(&id)
        || hex.iter().any(|own| own.eq_ignore_ascii_case(&id))
}

fn time(key: &Value, name: &str) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(&member(key, name))
        .ok()
        .map(|time| time.to_utc())
}

/// Identifies the certificate for people.
fn name_of(key: &Value) -> String {
    let id = member(key, "customKeyIdentifier");
    let id = match STANDARD.decode(&id) {
        Ok(bytes) if matches!(bytes.len(), 20 | 32) => hex::encode_upper(bytes),
        _ => id,
    };
    if id.is_empty() {
        or_none(&member(key, "displayName"))
    } else {
        id
    }
}
