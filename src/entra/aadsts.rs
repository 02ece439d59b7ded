//! Entra ID's errors, and the AADSTS codes that blogctl knows: what each means and what to do
//! (Microsoft Learn, "Microsoft Entra authentication and authorization error codes").
//!
//! No secret gets into messages: Entra's text is cut to its first line, and parts that look like a token are removed.

mod known;

pub use known::KNOWN;
use std::borrow::Cow;

use serde::Deserialize;
use serde_json::Value;

use super::claims_request::ClaimsChallenge;
use crate::guid;

/// A GUID has 36 characters, the shortest client secret 40.
const MAX_HARMLESS_RUN: usize = 36;
const MAX_DESCRIPTION_CHARS: usize = 400;

/// What kind of action resolves an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorCategory {
    /// An operator must register the certificate, or use one that is registered.
    Certificate,
    /// An operator must correct the registration or the settings.
    Configuration,
    /// An administrator or the user must consent.
    Consent,
    /// The user must sign in again.
    SignInAgain,
    /// Unknown to blogctl, or transient.
    Other,
}

/// A code that blogctl knows.
#[derive(Debug, Clone, Copy)]
pub struct KnownCode {
    /// The number after `AADSTS`.
    pub code: u32,
    /// What kind of action resolves it.
    pub category: ErrorCategory,
    /// One sentence: what happened.
    pub cause: &'static str,
    /// What to do, by whom, and where in the portal.
    pub hint: &'static str,
}

/// An error of Entra's authorize or token endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntraError {
    /// OAuth 2.0 error code, such as `invalid_client` (RFC 6749 §5.2).
    pub error: String,
    /// AADSTS number, such as 700027, if the error has one.
    pub code: Option<u32>,
    /// The first line of Entra's description, without anything that may be a secret.
    pub description: String,
    /// Correlation id, for Microsoft's support.
    pub correlation_id: Option<String>,
    /// The claims that a new sign-in must request (`interaction_required`, Microsoft Learn "Claims challenges").
    pub claims: Option<Box<ClaimsChallenge>>,
}

/// The token endpoint's error response (RFC 6749 §5.2, and Entra's own members). A member of the wrong type must not hide the
/// others.
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

/// Start of hints for the operator on a visitor's page.
const OPERATOR_MUST: &str = "The operator must ";

/// AADSTS501051: the API accepts only callers that are assigned to it, and an application that acts only for users is not. Entra
/// sends it after it has accepted the credential.
pub const APPLICATION_NOT_ASSIGNED: u32 = 501_051;

impl EntraError {
    /// Parses the body of the token endpoint's error response; `None` when it is something else.
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

    /// Takes the `error` and `error_description` parameters that the authorize endpoint sends to the redirect URI.
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

    /// What kind of action resolves it.
    pub fn category(&self) -> ErrorCategory {
        if let Some(known) = self.known() {
            return known.category;
        }
        match self.error.as_str() {
            "invalid_grant" | "interaction_required" | "login_required" => ErrorCategory::SignInAgain,
            "consent_required" | "access_denied" => ErrorCategory::Consent,
            "invalid_client" | "unauthorized_client" | "invalid_resource" | "invalid_scope" => {
                ErrorCategory::Configuration
            }
            _ => ErrorCategory::Other,
        }
    }

    /// One sentence: what happened. Chosen by code, never Entra's text.
    pub fn cause(&self) -> &'static str {
        self.known()
            .map_or("Entra ID rejected the request", |known| known.cause)
    }

    /// One or two sentences: what to do, by whom, and where in the portal.
    pub fn hint(&self) -> &'static str {
        if let Some(known) = self.known() {
            return known.hint;
        }
        match self.category() {
            ErrorCategory::SignInAgain => "Sign in again.",
            ErrorCategory::Consent => {
                "Sign in again and accept the permissions that the application asks for, or ask an administrator to do so."
            }
            ErrorCategory::Configuration | ErrorCategory::Certificate => {
                "The operator must compare this site's settings with the app registration in the Entra admin center."
            }
            ErrorCategory::Other => {
                "Try again in a moment. If the error persists, give the code and the correlation id to the operator of this site."
            }
        }
    }

    /// [`Self::hint`] for the operator: without "The operator must", in lower case, without a full stop.
    pub fn operator_hint(&self) -> String {
        let hint = self.hint();
        let hint = hint.strip_prefix(OPERATOR_MUST).unwrap_or(hint).trim_end_matches('.');
        let mut chars = hint.chars();
        chars
            .next()
            .map_or_else(String::new, |first| first.to_lowercase().chain(chars).collect())
    }

    /// Whether blogctl knows the code, so that cause and hint are specific to it.
    pub fn is_known(&self) -> bool {
        self.known().is_some()
    }

    /// The code as Entra writes it, such as `AADSTS700027`, or the OAuth error without one.
    pub fn label(&self) -> String {
        self.code
            .map_or_else(|| self.error.clone(), |code| format!("AADSTS{code}"))
    }

    /// As [`Self::label`] if blogctl knows the code; otherwise `other`, or `none` without a code. Bounded, for the metrics.
    pub fn bounded_label(&self) -> Cow<'static, str> {
        match (self.known(), self.code) {
            (Some(known), _) => format!("AADSTS{}", known.code).into(),
            (None, Some(_)) => "other".into(),
            (None, None) => "none".into(),
        }
    }

    fn known(&self) -> Option<&'static KnownCode> {
        let code = self.code?;
        KNOWN.iter().find(|known| known.code == code)
    }
}

/// An OAuth error code is a short word (RFC 6749 §4.1.2.1). Anything else becomes `unknown_error`, since the parameter comes
/// through the browser and goes into a page and the log.
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

/// The first line, without Entra's trace ids and without anything that may be a token, a code or a secret.
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

/// A long run of base64url or similar characters. Thumbprints in hex, which identify a certificate, and host names are
/// harmless.
fn may_be_secret(run: &str) -> bool {
    let is_thumbprint = matches!(run.len(), 40 | 64) && run.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_host = run.ends_with("microsoftonline.com") || run.ends_with("microsoftonline.us");
    run.len() > MAX_HARMLESS_RUN && !is_thumbprint && !is_host
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_from_error_codes_or_else_from_the_description() {
        let body = br#"{"error":"invalid_client","error_description":"AADSTS700027: nope","error_codes":[7000215]}"#;
        assert_eq!(EntraError::from_token_endpoint(body).unwrap().code, Some(7_000_215));
        let body = br#"{"error":"invalid_client","error_description":"AADSTS700027: nope"}"#;
        let error = EntraError::from_token_endpoint(body).unwrap();
        assert_eq!(
            (error.code, error.category()),
            (Some(700_027), ErrorCategory::Certificate)
        );
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
    fn anything_else_than_an_error_response_is_none() {
        for body in [&b""[..], b"<html>", b"{}", b"[]", br#"{"error":7}"#] {
            assert_eq!(EntraError::from_token_endpoint(body), None);
        }
    }

    #[test]
    fn a_token_in_the_description_is_removed() {
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
    fn each_operator_hint_is_a_complete_instruction() {
        for known in KNOWN {
            let error = EntraError::from_callback("e", &format!("AADSTS{}: x", known.code));
            let hint = error.operator_hint();
            assert!(
                hint.starts_with(|c: char| c.is_lowercase()) && !hint.ends_with('.'),
                "{hint}"
            );
            assert!(!hint.starts_with("the operator"), "{hint}");
            assert!(
                !["set it", "look at it"].iter().any(|start| hint.starts_with(start)),
                "{hint}"
            );
            if known.category != ErrorCategory::SignInAgain {
                assert!(hint.split_whitespace().count() >= 5, "{}: {hint}", known.code);
            }
        }
        let unknown = EntraError::from_callback("invalid_client", "AADSTS1: x").operator_hint();
        assert!(unknown.starts_with("compare this site's settings with"), "{unknown}");
    }

    #[test]
    fn without_a_code_the_oauth_error_decides() {
        assert_eq!(
            EntraError::from_callback("interaction_required", "").category(),
            ErrorCategory::SignInAgain
        );
        assert_eq!(
            EntraError::from_callback("temporarily_unavailable", "").category(),
            ErrorCategory::Other
        );
        assert_eq!(
            EntraError::from_callback("invalid_client", "").category(),
            ErrorCategory::Configuration
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
