//! The checks of `doctor` and their findings.

use serde::Serialize;

use super::DoctorContext;

/// The status of a finding, in order of severity: the worst one decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Everything is as expected.
    Ok,
    /// The check did not run, because something that it needs failed.
    Skipped,
    /// It works, or may work, but an operator should look at it.
    Warning,
    /// The site or the API cannot work like this.
    Failed,
}

/// One line of the report.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// Stable name of the check for scripts.
    pub check: &'static str,
    /// Name of the check for people.
    #[serde(skip)]
    pub title: &'static str,
    pub status: Status,
    /// What the check saw, or why it was skipped.
    pub seen: String,
    /// What it should have seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// A result of a check. [`Check::finding`] adds the name of the check.
pub struct CheckResult {
    status: Status,
    seen: String,
    expected: Option<String>,
    remedy: Option<String>,
}

impl CheckResult {
    pub fn ok(seen: impl Into<String>) -> Self {
        Self {
            status: Status::Ok,
            seen: seen.into(),
            expected: None,
            remedy: None,
        }
    }
    pub fn warning(seen: impl Into<String>, expected: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            status: Status::Warning,
            ..Self::failed(seen, expected, remedy)
        }
    }
    pub fn failed(seen: impl Into<String>, expected: impl Into<String>, remedy: impl Into<String>) -> Self {
        let (expected, remedy) = (Some(expected.into()), Some(remedy.into()));
        Self {
            status: Status::Failed,
            seen: seen.into(),
            expected,
            remedy,
        }
    }
    /// A failure whose remedy also says what is expected.
    pub fn failed_without_expected(seen: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            status: Status::Failed,
            seen: seen.into(),
            expected: None,
            remedy: Some(remedy.into()),
        }
    }
    pub fn skipped(reason: impl Into<String>) -> Self {
        Self {
            status: Status::Skipped,
            seen: reason.into(),
            expected: None,
            remedy: None,
        }
    }
}

#[derive(Clone, Copy)]
pub struct Check {
    pub name: &'static str,
    pub title: &'static str,
    /// Settings that must be valid.
    pub settings: &'static [&'static str],
    /// Checks that must succeed first.
    pub after: &'static [&'static str],
    /// Runs the check. It may block, but must end.
    pub run: fn(&DoctorContext) -> Vec<CheckResult>,
}

impl Check {
    pub fn finding(&self, result: CheckResult) -> Finding {
        let CheckResult {
            status,
            seen,
            expected,
            remedy,
        } = result;
        Finding {
            check: self.name,
            title: self.title,
            status,
            seen,
            expected,
            remedy,
        }
    }
}
