//! What the site proves itself with, against what is uploaded. One credential that is right is enough; the others are
//! told as warnings then.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use chrono::{DateTime, Utc};
use serde_json::Value;

use super::{Compared, Severity, listed, member, or_none};
use crate::{
    certificate::{CertificateDetails, SOON_DAYS},
    registration::{Proof, Wanted},
};

const UPLOAD: &str = "Certificates & secrets › Certificates › Upload certificate (the file without the key)";

/// What is wrong with one of the site's certificates.
struct Problem {
    seen: String,
    expected: String,
    remedy: &'static str,
}

impl Compared<'_> {
    pub(super) fn credentials(&mut self, wanted: &Wanted, now: DateTime<Utc>) {
        // Those for signing are of SAML, and prove nothing.
        let is_for_proof = |key: &&Value| member(key, "usage") != "Sign";
        let keys: Vec<_> = self.array("/keyCredentials").into_iter().filter(is_for_proof).collect();
        let mut judged = Vec::new();
        for proof in &wanted.proofs {
            match proof {
                Proof::Certificate { details, der } => {
                    let uploaded = keys.iter().copied().find(|key| is_of(key, details, der));
                    judged.push((details, judge(details, uploaded, &keys, now), uploaded));
                }
                Proof::Federated { name, audience, .. } => self.federated(name, audience),
                Proof::Unreadable { name, reason, remedy } => {
                    let seen = format!("{name} cannot be compared: {reason}");
                    self.push(Severity::Warning, seen, "a certificate to compare with", remedy);
                }
            }
        }
        let is_federated = |proof: &Proof| matches!(proof, Proof::Federated { .. });
        let is_one_enough =
            judged.iter().any(|(_, problem, _)| problem.is_none()) || wanted.proofs.iter().any(is_federated);
        let severity = if is_one_enough {
            Severity::Warning
        } else {
            Severity::Differs
        };
        for (details, problem, uploaded) in &judged {
            match problem {
                Some(Problem { seen, expected, remedy }) => self.push(severity, seen.clone(), expected, remedy),
                None => self.uploaded(details, *uploaded, now),
            }
        }
        if wanted.proofs.is_empty() {
            let seen = "there is no certificate here to compare with".to_owned();
            self.push(
                Severity::Warning,
                seen,
                "the one that client.cert_path names",
                "blogctl cert new makes one",
            );
        }
        let known: Vec<&Value> = judged.iter().filter_map(|(_, _, uploaded)| *uploaded).collect();
        self.left_over(keys.into_iter().filter(|key| !known.contains(key)), now);
    }

    /// An export holds nothing of federated credentials.
    fn federated(&mut self, name: &str, audience: &str) {
        self.push(
            Severity::Warning,
            format!("the site proves itself by a federated token, {name}, of which an export tells nothing"),
            &format!("a federated credential with the token's issuer and subject, and the audience {audience}"),
            "compare them by hand with Certificates & secrets › Federated credentials",
        );
    }

    /// A certificate that is uploaded and in date.
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
                "make another with blogctl cert new, and upload it beside this one",
            ),
            _ => self.push(Severity::Agrees, format!("the certificate {sha1} is uploaded"), "", ""),
        }
    }

    /// Whoever has the key of one that is in date can be the site.
    fn left_over<'k>(&mut self, keys: impl Iterator<Item = &'k Value>, now: DateTime<Utc>) {
        for key in keys {
            let id = identified(key);
            match time(key, "endDateTime") {
                Some(ends) if ends < now => self.push(
                    Severity::Warning,
                    format!("an expired certificate is still there: {id}"),
                    "certificates in date",
                    "Certificates & secrets › Certificates: delete it",
                ),
                ends => self.push(
                    Severity::Warning,
                    format!(
                        "a certificate is there that these settings do not have: {id}, valid until {}",
                        ends.map_or_else(|| "an unknown date".to_owned(), |ends| ends.format("%Y-%m-%d").to_string())
                    ),
                    "the site's own: whoever has the key of another can be the site",
                    "Certificates & secrets › Certificates: delete it, unless it is the site's next one or the one before",
                ),
            }
        }
    }
}

/// Its dates are told first: to upload one that has expired helps nobody.
fn judge(
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
            expected: "one in date".to_owned(),
            remedy: "make another with blogctl cert new, and upload it",
        });
    }
    if starts > now {
        return Some(Problem {
            seen: format!("the certificate {sha1} is not valid yet"),
            expected: "one in date".to_owned(),
            remedy: "wait, or use another; compare the clock",
        });
    }
    uploaded.is_none().then(|| {
        let others: Vec<_> = keys.iter().map(|key| identified(key)).collect();
        Problem {
            seen: listed(&others, "certificate", "no certificate is uploaded"),
            expected: format!("the site's own, thumbprint {sha1}"),
            remedy: UPLOAD,
        }
    })
}

/// Graph gives SHA-1 or SHA-256 in base64; az has given both in hex, too.
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

/// How people can tell which certificate it is.
fn identified(key: &Value) -> String {
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
