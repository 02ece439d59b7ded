//! The AADSTS codes that blogctl knows: what each means and who must do what about it
//! (Microsoft Learn, "Microsoft Entra authentication and authorization error codes").
//!
//! An error answer never carries a secret through here: Entra's text is cut to its first line, and whatever looks like
//! a token is taken out.

mod known;

pub use known::KNOWN;
use serde::Deserialize;
use serde_json::Value;

use super::claims_request::ClaimsChallenge;
use crate::guid;

/// A GUID has 36 characters, the shortest client secret 40.
const LONGEST_HARMLESS_RUN: usize = 36;
const MAX_DESCRIPTION_CHARS: usize = 400;

/// What kind of remedy an error needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Remedy {
    /// The certificate must be registered, or replaced by one that is.
    Certificate,
    /// An operator must mend the registration or the settings.
    Configuration,
    /// An administrator or the user must consent.
    Consent,
    /// The user must sign in again.
    SignInAgain,
    /// Unknown to blogctl, or passing.
    Other,
}

/// A code that blogctl knows, and what it says about it.
#[derive(Debug, Clone, Copy)]
pub struct KnownCode {
    /// The number after `AADSTS`.
    pub code: u32,
    /// What kind of remedy it needs.
    pub remedy: Remedy,
    /// One sentence: what happened.
    pub cause: &'static str,
    /// Who must do what, and where in the portal.
    pub advice: &'static str,
}

/// An error answer of Entra's authorize or token endpoint, by its AADSTS code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntraError {
    /// OAuth 2.0 error code, such as `invalid_client` (RFC 6749 §5.2).
    pub error: String,
    /// AADSTS number, such as 700027, when the answer names one.
    pub code: Option<u32>,
    /// Entra's description, cleaned, first line only.
    pub description: String,
    /// Entra's correlation id, for its support.
    pub correlation_id: Option<String>,
    /// What a new sign-in must ask for (`interaction_required`, Microsoft Learn "Claims challenges").
    pub claims: Option<Box<ClaimsChallenge>>,
}

/// The token endpoint's error answer (RFC 6749 §5.2 and Entra's own members). One member that is odd must not hide the others.
#[derive(Deserialize)]
struct ErrorBody {
    error: String,
    #[serde(default)]
    error_description: Value,
    #[serde(default)]
    error_codes: Value,
    #[serde(default)]
    correlation_id: Value,
    #[serde(default)]
    claims: Value,
}

/// How advice for the operator begins on a visitor's page.
const OPERATOR_MUST: &str = "The operator must ";

/// AADSTS501051: the API demands that callers are assigned to a role, and an application that acts for users only is not. The
/// credential was accepted by then.
pub const APPLICATION_NOT_ASSIGNED: u32 = 501_051;

impl EntraError {
    /// From the body of the token endpoint's error answer; `None` when it is not one.
    pub fn from_token_endpoint(body: &[u8]) -> Option<Self> {
        let body: ErrorBody = serde_json::from_slice(body).ok()?;
        let description = body.error_description.as_str().unwrap_or_default();
        let code = body
            .error_codes
            .get(0)
            .and_then(Value::as_u64)
            .and_then(|code| u32::try_from(code).ok());
        Some(Self {
            error: error_name(&body.error),
            code: code.or_else(|| code_in(description)),
            description: clean(description),
            correlation_id: body.correlation_id.as_str().and_then(parse_guid),
            claims: body.claims.as_str().and_then(ClaimsChallenge::from_error).map(Box::new),
        })
    }

    /// From the `error` and `error_description` parameters that the authorize endpoint sends to the redirect URI.
    pub fn from_callback(error: &str, error_description: &str) -> Self {
        Self {
            error: error_name(error),
            code: code_in(error_description),
            description: clean(error_description),
            correlation_id: error_description
                .split_once("Correlation ID: ")
                .and_then(|(_, rest)| parse_guid(rest.get(..36)?)),
            claims: None,
        }
    }

    /// What kind of remedy it needs.
    pub fn remedy(&self) -> Remedy {
        if let Some(known) = self.known() {
            return known.remedy;
        }
        match self.error.as_str() {
            "invalid_grant" | "interaction_required" | "login_required" => Remedy::SignInAgain,
            "consent_required" | "access_denied" => Remedy::Consent,
            "invalid_client" | "unauthorized_client" | "invalid_resource" | "invalid_scope" => Remedy::Configuration,
            _ => Remedy::Other,
        }
    }

    /// One sentence: what happened. In words of our own, by code.
    pub fn cause(&self) -> &'static str {
        self.known().map_or("Entra ID refused the request", |known| known.cause)
    }

    /// One or two sentences: who must do what, and where in the portal.
    pub fn advice(&self) -> &'static str {
        if let Some(known) = self.known() {
            return known.advice;
        }
        match self.remedy() {
            Remedy::SignInAgain => "Sign in again.",
            Remedy::Consent => "Sign in again and accept what the application asks for, or ask an administrator to.",
            Remedy::Configuration | Remedy::Certificate => {
                "The operator must compare this site's settings with the app registration in the Entra admin center."
            }
            Remedy::Other => {
                "Try again in a moment; if it goes on, give the code and the correlation id to the operator of this site."
            }
        }
    }

    /// The advice as a remedy for the operator, who need not be told who must do it: lower case, no full stop.
    pub fn remedy_of_operator(&self) -> String {
        let advice = self.advice();
        let advice = advice
            .strip_prefix(OPERATOR_MUST)
            .unwrap_or(advice)
            .trim_end_matches('.');
        let mut chars = advice.chars();
        chars
            .next()
            .map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
    }

    /// Whether blogctl knows the code, so that cause and advice are about it.
    pub fn is_known(&self) -> bool {
        self.known().is_some()
    }

    /// The code as Entra writes it, such as `AADSTS700027`, or the OAuth error when there is none.
    pub fn label(&self) -> String {
        self.code
            .map_or_else(|| self.error.clone(), |code| format!("AADSTS{code}"))
    }

    fn known(&self) -> Option<&'static KnownCode> {
        let code = self.code?;
        KNOWN.iter().find(|known| known.code == code)
    }
}

/// An OAuth error code is a short word (RFC 6749 §4.1.2.1); anything else becomes `unknown_error`, since it comes
/// through the browser and ends on a page and in the log.
fn error_name(error: &str) -> String {
    let sane = (1..=64).contains(&error.len())
        && error
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if sane {
        error.to_owned()
    } else {
        "unknown_error".to_owned()
    }
}

fn code_in(description: &str) -> Option<u32> {
    let (_, rest) = description.split_once("AADSTS")?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).take(9).collect();
    digits.parse().ok()
}

fn parse_guid(text: &str) -> Option<String> {
    guid::parse(text).map(|id| id.to_string())
}

/// The first line, without Entra's trace ids and without anything that could be a token, a code or a secret.
fn clean(description: &str) -> String {
    let line = description.lines().next().unwrap_or_default();
    let line = line.split(" Trace ID:").next().unwrap_or_default();
    let mut text = String::new();
    let mut run = String::new();
    for c in line.chars().filter(|c| !c.is_control()).chain(['\n']) {
        if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '+' | '~' | '=') {
            run.push(c);
            continue;
        }
        text.push_str(if may_be_secret(&run) { "…" } else { &run });
        run.clear();
        text.push(c);
    }
    text.trim_end().chars().take(MAX_DESCRIPTION_CHARS).collect()
}

/// A long run of base64url and its relatives, but for thumbprints in hex, which say which certificate was meant, and
/// host names.
fn may_be_secret(run: &str) -> bool {
    let is_thumbprint = matches!(run.len(), 40 | 64) && run.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_host = run.ends_with("microsoftonline.com") || run.ends_with("microsoftonline.us");
    run.len() > LONGEST_HARMLESS_RUN && !is_thumbprint && !is_host
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_from_error_codes_and_else_from_the_description() {
        let body = br#"{"error":"invalid_client","error_description":"AADSTS700027: nope","error_codes":[7000215]}"#;
        assert_eq!(EntraError::from_token_endpoint(body).unwrap().code, Some(7_000_215));
        let body = br#"{"error":"invalid_client","error_description":"AADSTS700027: nope"}"#;
        let error = EntraError::from_token_endpoint(body).unwrap();
        assert_eq!((error.code, error.remedy()), (Some(700_027), Remedy::Certificate));
        assert_eq!(error.label(), "AADSTS700027");
        for odd in [
            &br#"{"error":"invalid_client","error_description":null,"error_codes":[7000215],"correlation_id":7}"#[..],
            br#"{"error":"invalid_client","error_description":"AADSTS7000215: x","error_codes":[99999999999]}"#,
            br#"{"error":"invalid_client","error_description":"AADSTS7000215: x","error_codes":"none"}"#,
        ] {
            assert_eq!(EntraError::from_token_endpoint(odd).unwrap().code, Some(7_000_215));
        }
    }

    #[test]
    fn what_is_not_an_error_answer_is_none() {
        for body in [&b""[..], b"<html>", b"{}", b"[]", br#"{"error":7}"#] {
            assert_eq!(EntraError::from_token_endpoint(body), None);
        }
    }

    #[test]
    fn a_token_in_the_description_is_taken_out() {
        let token = format!("eyJ{}.eyJ{}.{}", "a".repeat(60), "b".repeat(60), "c".repeat(200));
        let error = EntraError::from_callback(
            "invalid_request",
            &format!("AADSTS50000: bad '{token}' sent\r\nTrace ID: x"),
        );
        assert_eq!(error.description, "AADSTS50000: bad '…' sent");
        assert!(!format!("{error:?}").contains("eyJ"));
        for secret in [
            "0.AXoAq1w2e3r4t5y6u7i8o9p0-asdfghjklzxcvbnm_AQ",
            "abc8Q~defGHIjklMNOpqrSTUvwxYZ0123456789ab",
        ] {
            let error = EntraError::from_callback("e", &format!("AADSTS7000215: provided {secret}, wrong"));
            assert_eq!(error.description, "AADSTS7000215: provided …, wrong");
        }
    }

    #[test]
    fn a_thumbprint_and_a_guid_in_the_description_are_kept() {
        let text = "AADSTS700027: key was not found, Thumbprint of key used by client: \
                    'D5A3B1C2D5A3B1C2D5A3B1C2D5A3B1C2D5A3B1C2', app 6f1c2d4e-0000-4000-8000-1234567890ab";
        assert_eq!(EntraError::from_callback("invalid_client", text).description, text);
    }

    #[test]
    fn an_error_name_from_the_browser_cannot_carry_markup_or_lines() {
        for bad in ["", "<b>", "a b", "a\nb", &"x".repeat(65)] {
            assert_eq!(EntraError::from_callback(bad, "").error, "unknown_error");
        }
    }

    #[test]
    fn a_correlation_id_is_taken_only_when_it_is_a_guid() {
        let id = "6f1c2d4e-0000-4000-8000-1234567890ab";
        let error = EntraError::from_callback("server_error", &format!("AADSTS1: x Correlation ID: {id} Timestamp: y"));
        assert_eq!(error.correlation_id.as_deref(), Some(id));
        assert_eq!(
            EntraError::from_callback("e", "Correlation ID: <script>alert(1)</script>").correlation_id,
            None
        );
        assert_eq!(EntraError::from_callback("e", "Correlation ID: ä").correlation_id, None);
    }

    #[test]
    fn the_operator_gets_each_advice_as_a_remedy_that_stands_by_itself() {
        for known in KNOWN {
            let error = EntraError::from_callback("e", &format!("AADSTS{}: x", known.code));
            let remedy = error.remedy_of_operator();
            assert!(
                remedy.starts_with(|c: char| c.is_lowercase()) && !remedy.ends_with('.'),
                "{remedy}"
            );
            assert!(!remedy.starts_with("the operator"), "{remedy}");
            assert!(
                !["set it", "look at it"].iter().any(|start| remedy.starts_with(start)),
                "{remedy}"
            );
            if known.remedy != Remedy::SignInAgain {
                assert!(remedy.split_whitespace().count() >= 5, "{}: {remedy}", known.code);
            }
        }
        let unknown = EntraError::from_callback("invalid_client", "AADSTS1: x").remedy_of_operator();
        assert!(unknown.starts_with("compare this site's settings with"), "{unknown}");
    }

    #[test]
    fn without_a_code_the_oauth_error_decides() {
        assert_eq!(
            EntraError::from_callback("interaction_required", "").remedy(),
            Remedy::SignInAgain
        );
        assert_eq!(
            EntraError::from_callback("temporarily_unavailable", "").remedy(),
            Remedy::Other
        );
        assert_eq!(
            EntraError::from_callback("invalid_client", "").remedy(),
            Remedy::Configuration
        );
    }

    proptest::proptest! {
        #[test]
        fn no_error_answer_makes_it_panic_or_gets_control_characters_or_long_runs_through(
            error in "\\PC{0,60}",
            description in "(AADSTS[0-9]{0,12}: )?(.|\n|\r|\t){0,200}( Correlation ID: [-0-9a-fé]{0,40})?",
            codes in proptest::collection::vec(proptest::num::i64::ANY, 0..3),
            bytes: Vec<u8>,
        ) {
            let _ = EntraError::from_token_endpoint(&bytes);
            let body = serde_json::json!({ "error": error, "error_description": description, "error_codes": codes });
            let found = [EntraError::from_token_endpoint(body.to_string().as_bytes()), Some(EntraError::from_callback(&error, &description))];
            for found in found.into_iter().flatten() {
                let text = format!("{} {} {} {}", found.error, found.label(), found.cause(), found.description);
                proptest::prop_assert!(!text.chars().any(char::is_control), "{:?}", text);
                proptest::prop_assert!(found.description.chars().count() <= MAX_DESCRIPTION_CHARS + 1);
            }
        }
    }
}
