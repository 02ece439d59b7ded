//! Check: whether Entra ID accepts the credentials of the site. Each entry of the list is checked, because a sign-in continues
//! with the next entry if Entra ID rejects a certificate.

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

const EXPECTED: &str = "a token for the application itself, which doctor discards";

pub fn check() -> Check {
    Check {
        name: "assertion",
        title: "Client assertion",
        settings: &["client.client_id", "client.api_scope"],
        after: &["certificate", "discovery"],
        run,
    }
}

/// One entry of the list, and the response of Entra ID.
struct Proof {
    name: String,
    /// `certificate` or `federated token`.
    what: &'static str,
    answer: Answer,
}

enum Answer {
    Accepted,
    /// The credential is valid; the API allows no application without a user.
    AcceptedWithoutRole,
    Refused(EntraError),
    /// There was no request or no response: the reason, and what to do.
    Failed {
        reason: String,
        remedy: String,
    },
}

fn run(context: &DoctorContext) -> Vec<CheckResult> {
    match proofs(context) {
        Ok(proofs) if proofs.is_empty() => vec![CheckResult::skipped("there is no usable credential: see Certificate")],
        Ok(proofs) => judge(
            &proofs,
            context.credentials().as_ref().is_ok_and(|entries| entries.len() > 1),
        ),
        Err(error) => vec![unreachable(&error, EXPECTED)],
    }
}

/// Tries each usable entry, in parallel. The check of the certificate reports the others.
fn proofs(context: &DoctorContext) -> Result<Vec<Proof>, ProviderError> {
    let Ok(entries) = context.credentials() else {
        return Ok(Vec::new());
    };
    let settings = &context.settings.client;
    let provider = Arc::new(Provider::new(&context.settings.entra)?);
    // Not sent in this request. If the redirect URI cannot be determined, the check of addresses reports that.
    let redirect_uri = Addresses::from_settings(&context.settings, settings.port)
        .map_or_else(|_| settings.api_base_url.clone(), |addresses| addresses.redirect_uri);
    // One timeout for the token endpoint, and one for a vault that signs.
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
    /// `None` means that there was no response in time.
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
                let remedy = error.hint().unwrap_or_else(|| "see the check Certificate".to_owned());
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

/// `is_list`: whether the settings have several entries, so that each result names its entry.
fn judge(proofs: &[Proof], is_list: bool) -> Vec<CheckResult> {
    let accepted = proofs.iter().position(Proof::is_accepted);
    let said = |(at, proof): (usize, &Proof)| match &proof.answer {
        Answer::Accepted | Answer::AcceptedWithoutRole => CheckResult::ok(proof.accepted(is_list)),
        Answer::Refused(error) => {
            // A sign-in tries the next entry only after an error code about the certificate.
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
            format!("Entra ID accepts the {} for this client ID", self.what)
        };
        match self.answer {
            Answer::AcceptedWithoutRole => seen + " (the API allows no application without a user, as intended)",
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

/// Entra ID checks the credential right after the application and the resource. If it rejects something else, the credential is
/// valid. For an unknown code, only the text of Entra ID helps.
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
        (false, Some(code)) => format!("see https://login.microsoftonline.com/error?code={code}, and try to sign in"),
        (false, None) => "try to sign in, and see the sign-in logs of Microsoft Entra ID".to_owned(),
    };
    match (is_configuration, goes_on) {
        (true, true) => CheckResult::warning(seen, "every entry accepted, although one is enough", remedy),
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
    fn a_list_is_ok_if_sign_ins_reach_an_accepted_entry() {
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
    fn for_an_unknown_code_the_text_of_entra_id_is_shown() {
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
    fn a_known_code_has_its_own_remedy() {
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
    fn a_credential_that_never_reached_entra_id_says_why_and_what_to_do() {
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
    fn a_missing_role_means_that_the_certificate_is_accepted() {
        let found = judged(&[proof("one", Answer::AcceptedWithoutRole)]).remove(0);
        assert!(
            found.0 == Status::Ok && found.1.starts_with("Entra ID accepts the certificate"),
            "{found:?}"
        );
    }
}
