//! How a command's failure is told: what happened on stderr, a hint below it, and the exit code.

use std::{
    borrow::Cow,
    fmt::{self, Write as _},
    io::{self, Write as _},
    process::ExitCode,
};

use anstyle::{AnsiColor, Style};
use serde_json::json;

use super::{logging, wrap};
use crate::{
    api,
    certificate::{CertificateError, issue::IssueError},
    config::Mistakes,
    db::DbError,
    entra::CredentialError,
    web,
};

/// Exit code for wrong usage or settings, the same that clap uses.
pub const WRONG_USAGE: u8 = 2;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();

/// A failure with advice.
#[derive(Debug)]
struct Hinted {
    hint: String,
    cause: anyhow::Error,
}

impl fmt::Display for Hinted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl std::error::Error for Hinted {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.cause.source()
    }
}

/// Arguments that do not go together; clap cannot know.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct WrongUsage(pub String);

/// Adds advice to a failure.
pub trait Hint<T> {
    /// With `hint: …` below the message.
    ///
    /// # Errors
    /// The same failure.
    fn hint(self, hint: impl Into<String>) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> Hint<T> for Result<T, E> {
    fn hint(self, hint: impl Into<String>) -> anyhow::Result<T> {
        self.map_err(|error| {
            Hinted {
                hint: hint.into(),
                cause: error.into(),
            }
            .into()
        })
    }
}

/// For whom a failure is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For people, on stderr.
    Text,
    /// For programs, on stdout, where the result would be: the same object for every command.
    Json,
}

/// Tells the failure, and gives its exit code. Quiet when whoever read our output has gone away.
pub fn report(error: &anyhow::Error, form: Form) -> ExitCode {
    if is_broken_pipe(error) {
        return ExitCode::SUCCESS;
    }
    let Told {
        message,
        hint,
        exit_code,
    } = told(error);
    if form == Form::Json {
        let text = format!("{:#}\n", json!({ "error": as_json(error) }));
        // Nothing can be told when stdout is closed; the exit code still says it.
        let _ = anstream::stdout().lock().write_all(text.as_bytes());
        return ExitCode::from(exit_code);
    }
    let width = wrap::stderr_width();
    let mut text = wrap::wrap(&format!("{ERROR}error:{ERROR:#} {message}"), "error: ".len(), width) + "\n";
    if let Some(hint) = hint {
        let hint = wrap::wrap(&format!("  {HINT}hint:{HINT:#} {hint}"), "  hint: ".len(), width);
        let _ = writeln!(text, "{hint}");
    }
    logging::say_last(text);
    ExitCode::from(exit_code)
}

/// A failure as `--json` has it: `message`, `hint` (`null` when there is none) and `exit_code`.
pub fn as_json(error: &anyhow::Error) -> serde_json::Value {
    let Told {
        message,
        hint,
        exit_code,
    } = told(error);
    json!({ "message": message, "hint": hint, "exit_code": exit_code })
}

/// A command line that the parser refuses.
pub fn of_usage(error: &clap::Error) -> anyhow::Error {
    let text = error.to_string();
    let message = text.split("\n\n").next().unwrap_or_default();
    let message = message.strip_prefix("error: ").unwrap_or(message).trim().to_owned();
    let hinted = Err::<(), _>(WrongUsage(message)).hint("--help says what the command takes");
    hinted.err().unwrap_or_else(|| anyhow::anyhow!("wrong usage"))
}

/// What there is to tell of a failure.
pub struct Told<'a> {
    /// What happened.
    pub message: String,
    /// What to do about it.
    pub hint: Option<Cow<'a, str>>,
    /// Of the process.
    pub exit_code: u8,
}

/// The failure in its parts, for whoever tells it otherwise.
pub fn told(error: &anyhow::Error) -> Told<'_> {
    let hinted = error.downcast_ref::<Hinted>();
    let cause = hinted.map_or(error, |hinted| &hinted.cause);
    let hint = hinted.map(|hinted| Cow::from(&hinted.hint)).or_else(|| hint_of(cause));
    let is_usage = cause.is::<Mistakes>() || cause.is::<WrongUsage>();
    Told {
        message: message(error),
        hint,
        exit_code: if is_usage { WRONG_USAGE } else { 1 },
    }
}

/// What the rooms' own errors advise.
fn hint_of(error: &anyhow::Error) -> Option<Cow<'static, str>> {
    if let Some(error) = error.downcast_ref::<CertificateError>() {
        return Some(error.hint());
    }
    if let Some(error) = error.downcast_ref::<CredentialError>() {
        return Some(error.hint().into());
    }
    if let Some(error) = error.downcast_ref::<DbError>() {
        return error.hint().map(Cow::from);
    }
    if let Some(error) = error.downcast_ref::<web::StartError>() {
        return error.hint().map(Cow::from);
    }
    let hint = error.downcast_ref::<IssueError>().and_then(IssueError::hint);
    hint.or_else(|| error.downcast_ref::<api::StartError>().and_then(api::StartError::hint))
        .map(Cow::from)
}

/// The message, and those of its causes that it does not repeat.
fn message(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |told, cause| {
        let cause = cause.to_string();
        match (told.is_empty(), told.contains(&cause)) {
            (true, _) => cause,
            (false, true) => told,
            (false, false) => format!("{told}: {cause}"),
        }
    })
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause
            .downcast_ref::<io::Error>()
            .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::*;

    #[test]
    fn a_cause_that_the_message_repeats_is_told_once() {
        let repeated = Err::<(), _>(anyhow!("permission denied")).context("cannot read a: permission denied");
        assert_eq!(
            message(&repeated.expect_err("an error")),
            "cannot read a: permission denied"
        );
        let other = Err::<(), _>(anyhow!("permission denied")).context("cannot read a");
        assert_eq!(
            message(&other.expect_err("an error")),
            "cannot read a: permission denied"
        );
    }
}
