//! Runs a password command. Its arguments may be secret, so messages name the program only.

use std::{io, process::Command, time::Duration};

use secrecy::SecretString;
use serde_json::Value;

use super::PasswordError;
use crate::{
    azure::unverified_claims,
    bounded_command,
    config::{HIDDEN, MAX_PASSWORD_BYTES, SecretKind, password_in_text, secret_kind, text_in},
    token_cache::Token,
};

/// Then the program and the processes that it has started are killed.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The program, for messages.
pub(super) fn program(command: &[String]) -> &str {
    let program = command.first().map_or("", String::as_str);
    if secret_kind(program).is_some_and(SecretKind::is_certain) {
        HIDDEN
    } else {
        program
    }
}

/// Runs the command, and takes what it prints as the password.
pub(super) fn run(command: &[String]) -> Result<Token, PasswordError> {
    run_within(command, TIMEOUT)
}

fn run_within(command: &[String], timeout: Duration) -> Result<Token, PasswordError> {
    let failed = |reason: String| PasswordError::Command {
        program: program(command).to_owned(),
        reason,
    };
    let Some((executable, arguments)) = command.split_first() else {
        return Err(failed("is empty".to_owned()));
    };
    // One byte more, to notice that it is too long.
    let output = bounded_command::run(
        Command::new(executable).args(arguments),
        timeout,
        2 * MAX_PASSWORD_BYTES + 1,
    )
    .map_err(|error| {
        failed(match error.kind() {
            io::ErrorKind::TimedOut => format!("did not finish within {} seconds", timeout.as_secs().max(1)),
            _ => format!("cannot be run: {error}"),
        })
    })?;
    if !output.status.success() {
        let message = output.message().filter(|text| secret_kind(text).is_none());
        let message = message.map_or_else(String::new, |text| format!(": {text}"));
        return Err(failed(format!("ended with {}{message}", output.status)));
    }
    let password = text_in(&output.stdout)
        .and_then(password_in_text)
        .ok_or_else(|| failed("did not print one line with a password".to_owned()))?;
    let value = SecretString::from(password.as_str());
    match expiry(&password) {
        Some(expires_at) => {
            Token::new(value, expires_at).ok_or_else(|| failed("printed a token that has expired already".to_owned()))
        }
        None => Ok(Token::undated(value)),
    }
}

/// The time at which a token expires, in seconds since 1970; `None` for any other password.
fn expiry(password: &str) -> Option<i64> {
    unverified_claims(password)?.get("exp").and_then(Value::as_i64)
}
