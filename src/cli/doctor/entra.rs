//! Checks of the public endpoints of Entra ID: clock, discovery and signing keys.

use super::{
    DoctorContext,
    finding::{Check, CheckResult},
};
use crate::entra::{Provider, ProviderError};

const AUTHORITY: &[&str] = &[
    "entra.tenant_id",
    "entra.cloud",
    "entra.authority_host",
    "entra.ca_file",
];

/// With a larger difference, the API rejects fresh tokens, and Entra ID soon rejects assertions.
const MAX_SECONDS: i64 = 60;
/// Synchronised machines stay well within this. The comparison is accurate to a second or two.
const WARN_SECONDS: i64 = 10;

pub fn clock() -> Check {
    Check {
        name: "clock",
        title: "Clock",
        settings: AUTHORITY,
        after: &[],
        run: run_clock,
    }
}

pub fn discovery() -> Check {
    Check {
        name: "discovery",
        title: "Discovery",
        settings: AUTHORITY,
        after: &[],
        run: run_discovery,
    }
}

pub fn signing_keys() -> Check {
    Check {
        name: "signing_keys",
        title: "Signing keys",
        settings: &["entra.tenant_id", "entra.jwks_uri"],
        after: &["discovery"],
        run: run_signing_keys,
    }
}

fn run_clock(context: &DoctorContext) -> Vec<CheckResult> {
    let difference = Provider::new(&context.settings.entra).and_then(|provider| provider.clock_difference());
    let seconds = match difference {
        Ok(Some(difference)) => difference.num_seconds(),
        Ok(None) => {
            return vec![CheckResult::skipped(
                "the response of the authority has no Date header to compare with",
            )];
        }
        // The check of discovery reports the error.
        Err(_) => return vec![CheckResult::skipped("the authority does not answer: see Discovery")],
    };
    vec![compare_clock(seconds)]
}

/// `seconds` is how far the clock of the authority is ahead.
fn compare_clock(seconds: i64) -> CheckResult {
    let seen = match seconds {
        // The header has whole seconds, and servers may cache it.
        -2..=2 => "agrees with the clock of the authority".to_owned(),
        ahead if ahead > 0 => format!("is {ahead} seconds behind the clock of the authority"),
        behind => format!(
            "is {} seconds ahead of the clock of the authority",
            behind.unsigned_abs()
        ),
    };
    let remedy = "synchronise the clock of this machine with NTP; timedatectl shows whether it is";
    if seconds.abs() > MAX_SECONDS {
        let expected = format!(
            "at most {MAX_SECONDS} seconds apart; otherwise tokens and assertions are not yet valid, or expired"
        );
        CheckResult::failed(seen, expected, remedy)
    } else if seconds.abs() > WARN_SECONDS {
        CheckResult::warning(seen, format!("at most {WARN_SECONDS} seconds apart"), remedy)
    } else {
        CheckResult::ok(seen)
    }
}

fn run_discovery(context: &DoctorContext) -> Vec<CheckResult> {
    let outcome = Provider::new(&context.settings.entra)
        .and_then(|provider| Ok((provider.metadata()?, provider.authority().issuer_v1())));
    vec![match outcome {
        Ok((metadata, issuer_v1)) => {
            CheckResult::ok(format!("issuer {}, and {issuer_v1} in v1 tokens", metadata.issuer))
        }
        Err(error) => unreachable(&error, "the OpenID Connect configuration of the tenant"),
    }]
}

fn run_signing_keys(context: &DoctorContext) -> Vec<CheckResult> {
    let outcome = Provider::new(&context.settings.entra).and_then(|provider| {
        provider.refresh_keys()?;
        Ok(provider.usable_keys())
    });
    let expected = "at least one RSA key of 2048 bits or more for RS256";
    vec![match outcome {
        Ok(1) => CheckResult::ok("1 key that can verify tokens"),
        Ok(keys) => CheckResult::ok(format!("{keys} keys that can verify tokens")),
        Err(error) => unreachable(&error, expected),
    }]
}

pub fn unreachable(error: &ProviderError, expected: &str) -> CheckResult {
    CheckResult::failed(error.to_string(), expected, remedy_of(error))
}

/// What to do if Entra ID cannot be reached.
pub fn remedy_of(error: &ProviderError) -> &'static str {
    match error {
        ProviderError::Authority(_) => "correct entra.tenant_id (TENANT_ID) or entra.authority_host",
        ProviderError::Outbound(_) => "set entra.ca_file to a PEM file of certificates, or leave it unset",
        ProviderError::Issuer { .. } => {
            "entra.tenant_id, entra.cloud and entra.authority_host must name the same tenant; a proxy may also have \
             answered instead of Entra ID"
        }
        ProviderError::Insecure { .. } => "use https; http is allowed only on this machine",
        ProviderError::Jwks { .. } => {
            "check whether entra.jwks_uri (JWKS_URI) names the keys of this tenant; it need not be set"
        }
        ProviderError::Unreachable { reason, .. } => remedy_for(reason),
    }
}

/// Decides by the text of the error: the layers below report nothing else.
fn remedy_for(reason: &str) -> &'static str {
    let has = |words: &[&str]| words.iter().any(|word| reason.to_ascii_lowercase().contains(word));
    if has(&["aadsts90002", "invalid_tenant"]) {
        "compare entra.tenant_id (TENANT_ID) and entra.cloud with the Overview page of Microsoft Entra ID"
    } else if has(&["aadsts"]) {
        "read the error of Entra ID, and compare entra.tenant_id, entra.cloud and entra.authority_host with the portal"
    } else if let Some(remedy) = remedy_for_tls(reason) {
        remedy
    } else if has(&["invalidcontenttype", "corrupt message"]) {
        "the server does not speak TLS: check scheme and port of entra.authority_host, and HTTPS_PROXY"
    } else if has(&["timeout", "timed out"]) {
        "a firewall may drop the requests: allow https to the authority, or set HTTPS_PROXY"
    } else if has(&["refused", "dns", "lookup", "resolve", "host"]) {
        "check entra.authority_host and entra.cloud, the name server and HTTPS_PROXY; blogctl dev needs no network"
    } else {
        "check whether entra.authority_host names Entra ID, and which proxies are between this machine and it"
    }
}

/// What to do about a TLS error, if the text of the error names one.
pub fn remedy_for_tls(reason: &str) -> Option<&'static str> {
    let reason = reason.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    // rustls reports `Expired` or `NotValidYet`; newer versions add a sentence.
    if has(&["expired", "not valid yet", "notvalidyet"]) {
        Some("set this machine's clock (NTP) first: according to it, the server's certificate is not valid")
    } else if has(&["certificate", "tls", "unknownissuer"]) {
        Some("if a company proxy intercepts TLS, set entra.ca_file to the certificate of its CA (PEM)")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::{super::finding::Status, *};

    fn clock(seconds: i64) -> (Status, String) {
        let finding = super::clock().finding(compare_clock(seconds));
        (finding.status, finding.seen)
    }

    #[test]
    fn a_clock_may_be_a_few_seconds_off_and_never_more_than_a_minute() {
        for (seconds, status) in [
            (0, Status::Ok),
            (-10, Status::Ok),
            (11, Status::Warning),
            (-60, Status::Warning),
            (61, Status::Failed),
            (-7200, Status::Failed),
        ] {
            assert_eq!(clock(seconds).0, status, "{seconds}");
        }
        assert_eq!(clock(-2).1, "agrees with the clock of the authority");
        assert_eq!(clock(90).1, "is 90 seconds behind the clock of the authority");
        assert_eq!(clock(-90).1, "is 90 seconds ahead of the clock of the authority");
    }

    #[test]
    fn each_cause_of_an_outage_has_its_remedy() {
        for (reason, expected) in [
            ("answered 400 Bad Request (AADSTS90002: …)", "entra.tenant_id"),
            ("io: invalid peer certificate: UnknownIssuer", "entra.ca_file"),
            ("io: invalid peer certificate: Expired", "clock (NTP)"),
            (
                "io: invalid peer certificate: certificate not valid yet: verification time 1 (UNIX)",
                "clock (NTP)",
            ),
            ("io: invalid peer certificate: NotValidYet", "clock (NTP)"),
            ("timeout: global", "firewall"),
            (
                "answered 400 Bad Request (AADSTS900144: the request was refused)",
                "read the error of Entra ID",
            ),
            (
                "io: received corrupt message of type InvalidContentType",
                "does not speak TLS",
            ),
            ("host not found", "name server"),
            ("io: Connection refused (os error 111)", "HTTPS_PROXY"),
            ("answered 502 Bad Gateway", "between this machine and it"),
        ] {
            assert!(remedy_for(reason).contains(expected), "{reason}");
        }
    }
}
