//! Tokens of the developer who ran `az login`: for laptops, never for servers.

use std::{io, process::Command};

use chrono::{Local, NaiveDateTime, Utc};
use secrecy::SecretString;
use serde::Deserialize;

use super::{AzureError, token_source::Token};

/// Longest part of its error text that a message repeats.
const MAX_REASON_CHARS: usize = 300;
/// For answers that name no end.
const UNKNOWN_LIFETIME_SECONDS: i64 = 5 * 60;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TokenAnswer {
    access_token: SecretString,
    /// Seconds since 1970; since Azure CLI 2.54.
    #[serde(rename = "expires_on")]
    until: Option<i64>,
    /// Local time, in older ones.
    expires_on: Option<String>,
}

/// A token for `resource`.
pub(super) fn token(resource: &str) -> Result<Token, AzureError> {
    let wrong = |reason: &str| AzureError::Cli { reason: reason.to_owned() };
    let ended = Command::new("az")
        .args(["account", "get-access-token", "--output", "json", "--resource", resource])
        .output()
        .map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => wrong("there is no program az"),
            _ => wrong(&error.to_string()),
        })?;
    if !ended.status.success() {
        let text = String::from_utf8_lossy(&ended.stderr);
        let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or("it failed without a word");
        return Err(wrong(&line.chars().take(MAX_REASON_CHARS).collect::<String>()));
    }
    parse(&ended.stdout).ok_or_else(|| wrong("its answer is not a token in JSON"))
}

fn parse(json: &[u8]) -> Option<Token> {
    let TokenAnswer { access_token, until, expires_on } = serde_json::from_slice(json).ok()?;
    let local = |text: String| {
        let time = NaiveDateTime::parse_from_str(&text, "%Y-%m-%d %H:%M:%S%.f").ok()?;
        Some(time.and_local_timezone(Local).earliest()?.timestamp())
    };
    let until = until
        .or_else(|| expires_on.and_then(local))
        .unwrap_or_else(|| Utc::now().timestamp() + UNKNOWN_LIFETIME_SECONDS);
    Token::until(access_token, until)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answers_of_old_and_new_versions_are_read() {
        for good in [
            r#"{"accessToken":"t","expires_on":4102444800,"expiresOn":"2100-01-01 00:00:00.000000"}"#,
            r#"{"accessToken":"t","expiresOn":"2100-01-01 00:00:00.000000"}"#,
            r#"{"accessToken":"t"}"#,
        ] {
            assert!(parse(good.as_bytes()).is_some(), "{good}");
        }
        for bad in [r#"{"expires_on":4102444800}"#, r#"{"accessToken":"t","expires_on":1}"#, "", "az: error"] {
            assert!(parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
