//! Tokens from the Azure CLI, for the developer who ran `az login`. For laptops, never for servers.

use std::{io, process::Command, time::Duration};

use chrono::{Local, NaiveDateTime, Utc};
use secrecy::SecretString;
use serde::Deserialize;

use super::AzureError;
use crate::{bounded_command, token_cache::Token};

/// `az` is a Python program: it needs a second or two to start, may wait for the network, and may hang.
const TIMEOUT: Duration = Duration::from_secs(15);
/// A token has about 3 KB; longer output is cut off.
const MAX_OUTPUT_BYTES: u64 = 1024 * 1024;
/// Assumed when the output names no expiry time.
const UNKNOWN_LIFETIME_SECONDS: i64 = 5 * 60;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TokenOutput {
    access_token: SecretString,
    /// Seconds since 1970. Azure CLI 2.54 and later.
    #[serde(rename = "expires_on")]
    expires_at: Option<i64>,
    /// Local time. Older versions have only this.
    expires_on: Option<String>,
}

/// A token for `resource`, from `tenant` if the required tenant is known.
pub(super) fn token(resource: &str, tenant: Option<&str>) -> Result<Token, AzureError> {
    let failed = |reason: &str| AzureError::Cli {
        reason: reason.to_owned(),
    };
    let mut command = Command::new("az");
    command.args([
        "account",
        "get-access-token",
        "--output",
        "json",
        "--resource",
        resource,
    ]);
    if let Some(tenant) = tenant {
        command.args(["--tenant", tenant]);
    }
    let output = bounded_command::run(&mut command, TIMEOUT, MAX_OUTPUT_BYTES).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => failed("the program az is not installed"),
        io::ErrorKind::TimedOut => failed("it did not finish within 15 seconds"),
        _ => failed(&error.to_string()),
    })?;
    if !output.status.success() {
        let message = output.message();
        return Err(failed(message.as_deref().unwrap_or("it failed without a message")));
    }
    parse(&output.stdout).ok_or_else(|| failed("its output is not a token in JSON"))
}

fn parse(json: &[u8]) -> Option<Token> {
    let TokenOutput {
        access_token,
        expires_at,
        expires_on,
    } = serde_json::from_slice(json).ok()?;
    let local = |text: String| {
        let time = NaiveDateTime::parse_from_str(&text, "%Y-%m-%d %H:%M:%S%.f").ok()?;
        Some(time.and_local_timezone(Local).earliest()?.timestamp())
    };
    let expires_at = expires_at
        .or_else(|| expires_on.and_then(local))
        .unwrap_or_else(|| Utc::now().timestamp() + UNKNOWN_LIFETIME_SECONDS);
    Token::new(access_token, expires_at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_of_old_and_new_versions_is_read() {
        for good in [
            r#"{"accessToken":"t","expires_on":4102444800,"expiresOn":"2100-01-01 00:00:00.000000"}"#,
            r#"{"accessToken":"t","expiresOn":"2100-01-01 00:00:00.000000"}"#,
            r#"{"accessToken":"t"}"#,
        ] {
            assert!(parse(good.as_bytes()).is_some(), "{good}");
        }
        for bad in [
            r#"{"expires_on":4102444800}"#,
            r#"{"accessToken":"t","expires_on":1}"#,
            "",
            "az: error",
        ] {
            assert!(parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
