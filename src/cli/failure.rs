//! How a command's failure is told: what happened on stderr, a hint below it, and the exit code.

use std::{
    borrow::Cow,
    fmt::{self, Write as _},
    io,
    process::ExitCode,
};

use anstyle::{AnsiColor, Style};

use super::logging;
use crate::{
    api,
    config::Mistakes,
    entra::{CredentialError, certificate::CertificateError, issue_certificate::IssueError},
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
        self.map_err(|error| Hinted { hint: hint.into(), cause: error.into() }.into())
    }
}

/// Tells the failure, and gives its exit code. Quiet when whoever read our output has gone away.
pub fn report(error: &anyhow::Error) -> ExitCode {
    if is_broken_pipe(error) {
        return ExitCode::SUCCESS;
    }
    let Told { message, hint, exit_code } = told(error);
    let mut text = format!("{ERROR}error:{ERROR:#} {message}\n");
    if let Some(hint) = hint {
        let _ = writeln!(text, "  {HINT}hint:{HINT:#} {hint}");
    }
    logging::say_last(text);
    exit_code
}

/// What there is to tell of a failure.
pub struct Told<'a> {
    /// What happened.
    pub message: String,
    /// What to do about it.
    pub hint: Option<Cow<'a, str>>,
    /// Of the process.
    pub exit_code: ExitCode,
}

/// The failure in its parts, for whoever tells it otherwise.
pub fn told(error: &anyhow::Error) -> Told<'_> {
    let hinted = error.downcast_ref::<Hinted>();
    let cause = hinted.map_or(error, |hinted| &hinted.cause);
    let hint = hinted.map(|hinted| Cow::from(&hinted.hint)).or_else(|| hint_of(cause));
    let is_usage = cause.is::<Mistakes>() || cause.is::<WrongUsage>();
    Told { message: message(error), hint, exit_code: ExitCode::from(if is_usage { WRONG_USAGE } else { 1 }) }
}

/// What the rooms' own errors advise.
fn hint_of(error: &anyhow::Error) -> Option<Cow<'static, str>> {
    if let Some(error) = error.downcast_ref::<CertificateError>() {
        return Some(error.hint());
    }
    if let Some(error) = error.downcast_ref::<CredentialError>() {
        return Some(error.hint().into());
    }
    if let Some(error) = error.downcast_ref::<web::StartError>() {
        return error.hint().map(Cow::from);
    }
    let hint = error.downcast_ref::<IssueError>().and_then(IssueError::hint);
    hint.or_else(|| error.downcast_ref::<api::StartError>().and_then(api::StartError::hint)).map(Cow::from)
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
    error
        .chain()
        .any(|cause| cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe))
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::*;

    #[test]
    fn a_cause_that_the_message_repeats_is_told_once() {
        let repeated = Err::<(), _>(anyhow!("permission denied")).context("cannot read a: permission denied");
        assert_eq!(message(&repeated.expect_err("an error")), "cannot read a: permission denied");
        let other = Err::<(), _>(anyhow!("permission denied")).context("cannot read a");
        assert_eq!(message(&other.expect_err("an error")), "cannot read a: permission denied");
    }
}
