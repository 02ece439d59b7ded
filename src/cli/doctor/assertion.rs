//! Check: whether Entra ID accepts what the site proves itself with. Asked for each entry of the list, since a sign-in
//! goes on to the next one when Entra refuses a certificate.

use std::{sync::Arc, time::Instant};

use super::{
    DoctorContext,
    credentials::{Entry, MORE_TIME, TOO_SLOW},
    entra::{remedy_of, unreachable},
    finding::{Check, CheckResult},
    parallel::run_parallel,
};
use crate::{
    entra::{
        ConfidentialClient, Provider, ProviderError,
        aadsts::{APPLICATION_NOT_ASSIGNED, EntraError, ErrorCategory},
        confidential_client::SignInError,
    },
    web::Addresses,
};

const EXPECTED: &str = "a token for the application itself, which is thrown away unread";

pub fn check() -> Check {
    Check {
        name: "assertion",
        title: "Client assertion",
        settings: &["client.client_id", "client.api_scope"],
        after: &["certificate", "discovery"],
        run,
    }
}

/// One entry of the list, and what Entra said of it.
struct Proof {
    name: String,
    /// `certificate` or `federated token`.
    what: &'static str,
    answer: Answer,
}

enum Answer {
    Accepted,
    /// The credential was good; the API lets no application in by itself.
    AcceptedWithoutRole,
    Refused(EntraError),
    /// Entra was not asked, or said nothing: why, and what to do.
    Failed {
        reason: String,
        remedy: String,
    },
}

fn run(context: &DoctorContext) -> Vec<CheckResult> {
    match proofs(context) {
        Ok(proofs) if proofs.is_empty() => vec![CheckResult::skipped(
            "there is nothing to prove it with: see Certificate",
        )],
        Ok(proofs) => judge(
            &proofs,
            context.credentials().as_ref().is_ok_and(|entries| entries.len() > 1),
        ),
        Err(error) => vec![unreachable(&error, EXPECTED)],
    }
}

/// Of each entry that can be used, side by side; the check of the credential tells of the others.
fn proofs(context: &DoctorContext) -> Result<Vec<Proof>, ProviderError> {
    let Ok(entries) = context.credentials() else {
        return Ok(Vec::new());
    };
    let settings = &context.settings.client;
    let provider = Arc::new(Provider::new(&context.settings.entra)?);
    // It is not sent with this grant; where it cannot be worked out, the check of addresses says so.
    let redirect_uri = Addresses::from_settings(settings, settings.port)
        .map_or_else(|_| settings.api_base_url.clone(), |addresses| addresses.redirect_uri);
    // The token endpoint may need as long as it is allowed to, and a vault that signs as long again.
    let deadline = Instant::now() + context.timeout * 2;
    let (mut named, mut works) = (Vec::new(), Vec::new());
    for Entry { source, loaded } in entries {
        let Ok(credential) = loaded else { continue };
        let (provider, uri) = (Arc::clone(&provider), redirect_uri.clone());
        let client = ConfidentialClient::with_credential(provider, settings, uri, Arc::clone(credential));
        let what = if credential.certificate().is_some() {
            "certificate"
        } else {
            "federated token"
        };
        named.push((source.name().to_owned(), what));
        works.push(move || client.verify_credential());
    }
    let proof = |((name, what), outcome): (_, Option<_>)| Proof {
        name,
        what,
        answer: Answer::of(outcome),
    };
    Ok(named
        .into_iter()
        .zip(run_parallel(works, deadline))
        .map(proof)
        .collect())
}

impl Answer {
    /// `None` when it did not come in time.
    fn of(outcome: Option<Result<(), SignInError>>) -> Self {
        match outcome {
            Some(Ok(())) => Self::Accepted,
            Some(Err(SignInError::Entra(error))) if error.code == Some(APPLICATION_NOT_ASSIGNED) => {
                Self::AcceptedWithoutRole
            }
            Some(Err(SignInError::Entra(error))) => Self::Refused(error),
            Some(Err(SignInError::Provider(error))) => Self::Failed {
                reason: error.to_string(),
                remedy: remedy_of(&error).to_owned(),
            },
            Some(Err(error)) => {
                let remedy = error
                    .hint()
                    .unwrap_or_else(|| "see the check of the credential".to_owned());
                Self::Failed {
                    reason: error.to_string(),
                    remedy,
                }
            }
            None => Self::Failed {
                reason: TOO_SLOW.to_owned(),
                remedy: MORE_TIME.to_owned(),
            },
        }
    }
}

/// `is_list`: whether the settings have several entries, so that each is to be named.
fn judge(proofs: &[Proof], is_list: bool) -> Vec<CheckResult> {
    let accepted = proofs.iter().position(Proof::is_accepted);
    let said = |(at, proof): (usize, &Proof)| match &proof.answer {
        Answer::Accepted | Answer::AcceptedWithoutRole => CheckResult::ok(proof.accepted(is_list)),
        Answer::Refused(error) => {
            // A sign-in tries the next entry on the codes of the certificate, and on no other.
            let goes_on =
                accepted.is_some_and(|accepted| at > accepted || error.category() == ErrorCategory::Certificate);
            refused(error, proof, is_list, goes_on)
        }
        Answer::Failed { reason, remedy } if accepted.is_some() => {
            CheckResult::warning(proof.named(reason, is_list), EXPECTED, remedy)
        }
        Answer::Failed { reason, remedy } => CheckResult::failed(proof.named(reason, is_list), EXPECTED, remedy),
    };
    proofs.iter().enumerate().map(said).collect()
}

impl Proof {
    fn is_accepted(&self) -> bool {
        matches!(self.answer, Answer::Accepted | Answer::AcceptedWithoutRole)
    }

    fn accepted(&self, is_list: bool) -> String {
        let seen = if is_list {
            format!("{} is accepted", self.name)
        } else {
            format!("Entra ID accepts the {} for this client id", self.what)
        };
        match self.answer {
            Answer::AcceptedWithoutRole => seen + " (and lets no application into the API by itself, which is as well)",
            _ => seen,
        }
    }

    fn named(&self, seen: &str, is_list: bool) -> String {
        if is_list {
            format!("{}: {seen}", self.name)
        } else {
            seen.to_owned()
        }
    }
}

/// Entra looks at the credential before anything else but the application and the resource; what it refuses later means
/// that it was good. Of codes that blogctl does not know, Entra's own words are all there is to go by.
fn refused(error: &EntraError, proof: &Proof, is_list: bool, goes_on: bool) -> CheckResult {
    let mut seen = proof.named(&format!("{}: {}", error.label(), error.cause()), is_list);
    let is_configuration = matches!(
        error.category(),
        ErrorCategory::Certificate | ErrorCategory::Configuration
    );
    if !(error.description.is_empty() || error.is_known() && is_configuration) {
        seen = format!("{seen} ({})", error.description);
    }
    let remedy = match (error.is_known(), error.code) {
        (true, _) if is_configuration => error.operator_hint(),
        (true, _) => format!("this is not about the {}: {}", proof.what, error.operator_hint()),
        (false, Some(code)) => format!("read https://login.microsoftonline.com/error?code={code}, and try to sign in"),
        (false, None) => "try to sign in, and look into the sign-in logs of Microsoft Entra ID".to_owned(),
    };
    match (is_configuration, goes_on) {
        (true, true) => CheckResult::warning(seen, "every entry accepted, though one is enough", remedy),
        (true, false) => CheckResult::failed(seen, EXPECTED, remedy),
        (false, _) => CheckResult::warning(seen, EXPECTED, remedy),
    }
}

#[cfg(test)]
mod tests {
    use super::{super::finding::Status, *};

    fn proof(name: &str, answer: Answer) -> Proof {
        Proof {
            name: name.to_owned(),
            what: "certificate",
            answer,
        }
    }

    fn refusal(error: &str, description: &str) -> Answer {
        Answer::Refused(EntraError::from_callback(error, description))
    }

    fn judged(proofs: &[Proof]) -> Vec<(Status, String, String)> {
        let finding = |said| {
            let finding = check().finding(said);
            (finding.status, finding.seen, finding.remedy.unwrap_or_default())
        };
        judge(proofs, proofs.len() > 1).into_iter().map(finding).collect()
    }

    #[test]
    fn a_list_is_well_when_sign_ins_get_to_an_entry_that_is_accepted() {
        let not_registered = || proof("old", refusal("invalid_client", "AADSTS700027: x"));
        let federated = || proof("cluster", refusal("invalid_client", "AADSTS700213: x"));
        let good = || proof("new", Answer::Accepted);
        let statuses = |proofs: &[Proof]| {
            judged(proofs)
                .into_iter()
                .map(|(status, ..)| status)
                .collect::<Vec<_>>()
        };
        assert_eq!(statuses(&[not_registered(), good()]), [Status::Warning, Status::Ok]);
        assert_eq!(statuses(&[good(), federated()]), [Status::Ok, Status::Warning]);
        assert_eq!(
            statuses(&[federated(), good()]),
            [Status::Failed, Status::Ok],
            "sign-ins end at the first"
        );
        assert_eq!(
            statuses(&[not_registered(), not_registered()]),
            [Status::Failed, Status::Failed]
        );
        assert_eq!(judged(&[not_registered(), good()])[1].1, "new is accepted");
    }

    #[test]
    fn of_a_code_that_is_not_known_entras_own_words_are_shown_and_nothing_is_claimed() {
        for (error, status) in [("invalid_client", Status::Failed), ("invalid_request", Status::Warning)] {
            let found = judged(&[proof("one", refusal(error, "AADSTS5002723: Invalid JWT token"))]).remove(0);
            assert_eq!(found.0, status);
            assert!(found.1.contains("AADSTS5002723: Invalid JWT token"), "{found:?}");
            assert!(
                found.2.contains("https://login.microsoftonline.com/error?code=5002723"),
                "{found:?}"
            );
            assert!(!found.2.contains("not about"), "{found:?}");
        }
    }

    #[test]
    fn a_known_code_gets_the_remedy_of_its_own() {
        let found = judged(&[proof("one", refusal("invalid_client", "AADSTS700024: x"))]).remove(0);
        assert!(
            found.0 == Status::Failed && found.2.starts_with("set the clock of the machine"),
            "{found:?}"
        );
        let found = judged(&[proof("one", refusal("invalid_grant", "AADSTS65001: x"))]).remove(0);
        assert!(
            found.0 == Status::Warning && found.2.starts_with("this is not about the certificate: "),
            "{found:?}"
        );
    }

    #[test]
    fn what_never_got_as_far_as_entra_says_why_and_what_to_do() {
        let not_signed = || {
            proof(
                "vault",
                Answer::Failed {
                    reason: "403".to_owned(),
                    remedy: "a role".to_owned(),
                },
            )
        };
        let told = |status, seen: &str| (status, seen.to_owned(), "a role".to_owned());
        assert_eq!(judged(&[not_signed()]), [told(Status::Failed, "403")]);
        let found = judged(&[not_signed(), proof("file", Answer::Accepted)]);
        assert_eq!(
            found[0],
            told(Status::Warning, "vault: 403"),
            "sign-ins go on to the file"
        );
    }

    #[test]
    fn a_role_that_is_missing_means_that_the_certificate_was_good() {
        let found = judged(&[proof("one", Answer::AcceptedWithoutRole)]).remove(0);
        assert!(
            found.0 == Status::Ok && found.1.starts_with("Entra ID accepts the certificate"),
            "{found:?}"
        );
    }
}
