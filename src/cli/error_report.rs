//! Reports the error of a command: what happened on stderr, a hint below it, and the exit code.

use std::{
    borrow::Cow,
    error::Error,
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
    config::ConfigErrors,
    db::{DbError, backup::BackupError, copy::CopyError},
    entra::CredentialError,
    exposition,
    hint::Hint,
    idp, web,
};

/// Exit code for invalid arguments or settings, the same that clap uses.
pub const WRONG_USAGE: u8 = 2;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const HINT: Style = AnsiColor::Cyan.on_default().bold();

/// An error to which a command has added a hint.
#[derive(Debug)]
struct HintedError {
    hint: String,
    cause: anyhow::Error,
}

impl fmt::Display for HintedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.cause.fmt(f)
    }
}

impl Error for HintedError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(self.cause.as_ref())
    }
}

impl Hint for HintedError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        Some(Cow::from(&self.hint))
    }
}

/// Arguments that contradict each other in a way that clap cannot check.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct WrongUsage(pub String);

/// Adds a hint to the error of a result.
pub trait WithHint<T> {
    /// Adds a `hint: …` below the message.
    ///
    /// # Errors
    /// The same error, with the hint.
    fn hint(self, hint: impl Into<String>) -> anyhow::Result<T>;
}

impl<T, E: Into<anyhow::Error>> WithHint<T> for Result<T, E> {
    fn hint(self, hint: impl Into<String>) -> anyhow::Result<T> {
        self.map_err(|error| {
            HintedError {
                hint: hint.into(),
                cause: error.into(),
            }
            .into()
        })
    }
}

/// The form of an error report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// For people, on stderr.
    Text,
    /// For programs, on stdout instead of the result: the same object for every command.
    Json,
}

/// An error as it is reported.
pub struct ErrorReport<'a> {
    /// What happened.
    pub message: String,
    /// What to do about it.
    pub hint: Option<Cow<'a, str>>,
    /// Exit code of the process.
    pub exit_code: u8,
}

impl<'a> ErrorReport<'a> {
    pub fn new(error: &'a anyhow::Error) -> Self {
        let is_usage = error
            .chain()
            .any(|cause| cause.is::<ConfigErrors>() || cause.is::<WrongUsage>());
        Self {
            message: message(error),
            hint: hint(error),
            exit_code: if is_usage { WRONG_USAGE } else { 1 },
        }
    }

    /// As `--json` prints it: `message`, `hint` (may be `null`) and `exit_code`.
    pub fn to_json(&self) -> serde_json::Value {
        json!({ "message": self.message, "hint": self.hint, "exit_code": self.exit_code })
    }
}

/// Reports an error, and returns its exit code. Prints nothing if the reader of our output has closed the pipe.
pub fn report(error: &anyhow::Error, form: Form) -> ExitCode {
    if is_broken_pipe(error) {
        return ExitCode::SUCCESS;
    }
    let report = ErrorReport::new(error);
    let exit_code = ExitCode::from(report.exit_code);
    if form == Form::Json {
        let text = format!("{:#}\n", json!({ "error": report.to_json() }));
        // If stdout is closed, only the exit code remains.
        let _ = anstream::stdout().lock().write_all(text.as_bytes());
        return exit_code;
    }
    let width = wrap::stderr_width();
    let message = format!("{ERROR}error:{ERROR:#} {}", report.message);
    let mut text = wrap::wrap(&message, "error: ".len(), width) + "\n";
    if let Some(hint) = report.hint {
        let hint = wrap::wrap(&format!("  {HINT}hint:{HINT:#} {hint}"), "  hint: ".len(), width);
        let _ = writeln!(text, "{hint}");
    }
    logging::write_last(text);
    exit_code
}

/// The error for arguments that clap rejects.
pub fn from_clap(error: &clap::Error) -> anyhow::Error {
    let text = error.to_string();
    let message = text.split("\n\n").next().unwrap_or_default();
    let message = message.strip_prefix("error: ").unwrap_or(message).trim().to_owned();
    HintedError {
        hint: "see --help for the arguments of the command".to_owned(),
        cause: WrongUsage(message).into(),
    }
    .into()
}

/// The first hint in the chain of an error and its causes.
fn hint(error: &anyhow::Error) -> Option<Cow<'_, str>> {
    error
        .chain()
        .find_map(|cause| HINTED_ERRORS.iter().find_map(|hint_of| hint_of(cause)))
}

type HintOf = for<'e> fn(&'e (dyn Error + 'static)) -> Option<Cow<'e, str>>;

/// The errors that have hints. `dyn Error` can be converted to a type only, not to another trait, so each type is listed.
const HINTED_ERRORS: &[HintOf] = &[
    hint_of::<HintedError>,
    hint_of::<CertificateError>,
    hint_of::<CredentialError>,
    hint_of::<IssueError>,
    hint_of::<DbError>,
    hint_of::<BackupError>,
    hint_of::<CopyError>,
    hint_of::<api::StartError>,
    hint_of::<exposition::StartError>,
    hint_of::<idp::StartError>,
    hint_of::<web::StartError>,
];

fn hint_of<'e, E: Hint + 'static>(error: &'e (dyn Error + 'static)) -> Option<Cow<'e, str>> {
    error.downcast_ref::<E>()?.hint()
}

/// The message, and those of the causes that it does not contain already.
fn message(error: &anyhow::Error) -> String {
    error.chain().fold(String::new(), |message, cause| {
        let cause = cause.to_string();
        match (message.is_empty(), message.contains(&cause)) {
            (true, _) => cause,
            (false, true) => message,
            (false, false) => format!("{message}: {cause}"),
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
    fn a_cause_that_the_message_repeats_is_reported_once() {
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

    #[test]
    fn the_hint_of_a_cause_is_found_below_other_errors() {
        let wrapped = Err::<(), _>(CertificateError::NotConfigured).context("the site cannot start");
        let wrapped = wrapped.expect_err("an error");
        assert_eq!(
            hint(&wrapped).as_deref(),
            Hint::hint(&CertificateError::NotConfigured).as_deref()
        );
    }

    #[test]
    fn the_outermost_hint_and_the_exit_code_of_the_cause_count() {
        let inner = Err::<(), _>(WrongUsage("wrong".to_owned())).hint("inner");
        let outer = inner.hint("outer").expect_err("an error");
        let report = ErrorReport::new(&outer);
        assert_eq!(
            (report.message.as_str(), report.hint.as_deref(), report.exit_code),
            ("wrong", Some("outer"), WRONG_USAGE)
        );
    }
}
