//! What a check is, and what it finds.

use serde::Serialize;

use super::Patient;

/// How well it is. The order counts: the worst decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// As it should be.
    Ok,
    /// Could not be checked, since something that it needs failed.
    Skipped,
    /// It works, or may work; somebody should look at it.
    Warning,
    /// It does not work.
    Failed,
}

/// One thing that was found.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// Stable name of the check, for scripts.
    pub check: &'static str,
    /// Name of the check, for people.
    #[serde(skip)]
    pub title: &'static str,
    pub status: Status,
    /// What was seen; why it was skipped.
    pub seen: String,
    /// What should have been seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// What a check says of one thing; the check's name is added to it.
pub struct Said {
    status: Status,
    seen: String,
    expected: Option<String>,
    remedy: Option<String>,
}

impl Said {
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
    /// A failure whose remedy says what is expected, too.
    pub fn wrong(seen: impl Into<String>, remedy: impl Into<String>) -> Self {
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

/// One check.
#[derive(Clone, Copy)]
pub struct Check {
    pub name: &'static str,
    pub title: &'static str,
    /// Settings without which it cannot be made.
    pub settings: &'static [&'static str],
    /// Checks that must not fail before it.
    pub after: &'static [&'static str],
    /// Makes it; may block, but not for ever.
    pub run: fn(&Patient) -> Vec<Said>,
}

impl Check {
    pub fn finding(&self, said: Said) -> Finding {
        let Said {
            status,
            seen,
            expected,
            remedy,
        } = said;
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
