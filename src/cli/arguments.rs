//! Rejects secrets in the command line before it is parsed, and removes them from the parser's errors.
//!
//! `blogctl cert check "$(cat client.pem)"` puts a private key into an argument. The parser's message would repeat it, and so
//! would every message about a file of that name.

use std::ffi::{OsStr, OsString};

use clap::error::{ContextKind, ContextValue};

use super::error_report::{WithHint as _, WrongUsage};
use crate::config::{HIDDEN, SecretKind, secret_kind};

/// Rejects an argument that contains a secret.
///
/// # Errors
/// If an argument contains one. The message names the position of the argument, not its content.
pub fn check(arguments: &[OsString]) -> anyhow::Result<()> {
    let mut is_setting = false;
    for (number, argument) in arguments.iter().enumerate().skip(1) {
        let text = argument.to_string_lossy();
        let is_value_of_set = std::mem::replace(&mut is_setting, text == "--set");
        let value = text
            .strip_prefix("--set=")
            .or_else(|| is_value_of_set.then_some(&*text));
        if value.is_some_and(is_assignment) {
            // The type of the setting decides what is accepted and what messages show.
            continue;
        }
        let value = text
            .strip_prefix("--")
            .and_then(|rest| rest.split_once('='))
            .filter(|(option, _)| is_option(option))
            .map_or(&*text, |(_, value)| value);
        let Some(kind) = secret_kind(value).filter(|kind| kind.is_certain()) else {
            continue;
        };
        let hint = if kind == SecretKind::Token {
            "pass it in a file or on standard input: blogctl doctor --token -"
        } else {
            "save it to a file that only you can read, and pass the path of that file"
        };
        let problem = format!(
            "argument {number} contains {kind}, which is not shown; every user of this machine can read the arguments of a \
             running command"
        );
        return Err(WrongUsage(problem)).hint(hint);
    }
    Ok(())
}

/// The name of an option. An argument such as `--password=…` is judged as a whole.
fn is_option(name: &str) -> bool {
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    is_name && secret_kind(&format!("{name}=x")).is_none()
}

/// `section.key=value`
fn is_assignment(text: &str) -> bool {
    let is_name = |name: &str| {
        name.contains('.')
            && name
                .trim()
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"._".contains(&byte))
    };
    text.split_once('=').is_some_and(|(name, _)| is_name(name))
}

/// Removes from the parser's error everything that could be a secret.
pub fn hide_secrets(error: &mut clap::Error) {
    // The name of an option, such as `--san <NAME>`, comes from the parser.
    let is_secret = |text: &String| secret_kind(text).is_some_and(|kind| kind.is_certain() || !text.starts_with("--"));
    let hides = |value: &ContextValue| match value {
        ContextValue::String(text) => is_secret(text),
        ContextValue::Strings(texts) => texts.iter().any(is_secret),
        _ => false,
    };
    let hidden: Vec<ContextKind> = error
        .context()
        .filter(|(_, value)| hides(value))
        .map(|(kind, _)| kind)
        .collect();
    for kind in &hidden {
        error.insert(*kind, ContextValue::String(HIDDEN.to_owned()));
    }
    if !hidden.is_empty() {
        // The suggestion "to pass '…' as a value, use …" repeats the argument.
        error.remove(ContextKind::Suggested);
    }
}

/// Whether the caller expects JSON. The arguments need not be valid.
pub fn want_json(arguments: &[OsString]) -> bool {
    arguments
        .iter()
        .take_while(|argument| *argument != "--")
        .any(|argument| argument == OsStr::new("--json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(arguments: &[&str]) -> Option<String> {
        let arguments: Vec<OsString> = std::iter::once(&"blogctl")
            .chain(arguments)
            .map(OsString::from)
            .collect();
        check(&arguments).err().map(|error| format!("{error:?}"))
    }

    #[test]
    fn an_argument_with_a_key_or_a_token_is_named_only_by_its_position() {
        let pem = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0\n-----END PRIVATE KEY-----";
        let token = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl";
        for arguments in [
            &["cert", "check", pem][..],
            &["cert", "thumbprint", "a.pem", pem],
            &["cert", "check", "a.pem", &format!("--key={pem}")],
            &["config", "--password=hunter2"],
            &["doctor", "--token", token],
            &["--set", pem, "config"],
            &["migrate", "import", "postgres://u:hunter2@host/db"],
        ] {
            let message = checked(arguments).expect("an error");
            assert!(
                message.contains("argument ") && !message.contains("MII") && !message.contains("eyJ"),
                "{message}"
            );
            assert!(!message.contains("hunter2"), "{message}");
        }
    }

    #[test]
    fn values_of_settings_and_plain_arguments_pass() {
        let base64 = format!(
            "--set=client.cert_base64={}",
            "MIIKEAIBAzCCCcYGCSqGSIb3DQEHAaCCCbcEggmzMIIJrzCC".repeat(3)
        );
        for arguments in [
            &["config", "--set", "database.url=postgres://u:hunter2@h/b"][..],
            &[&base64, "config"],
            &[
                "cert",
                "new",
                "--cn",
                "Blog web site of the department",
                "--san",
                "blog.example.com",
            ],
            &["cert", "new", "--san=email:ops@example.com"],
            &[
                "cert",
                "check",
                "/etc/blogctl/client.pem",
                "--key",
                "C:\\keys\\Blog2026.key",
            ],
        ] {
            assert_eq!(checked(arguments), None, "{arguments:?}");
        }
    }
}
