//! Check: the settings. Their errors are reported first, and checks that need an invalid setting are skipped, because their
//! results would be misleading.

use super::finding::{Check, CheckResult, Finding};
use crate::config::{ConfigError, ConfigErrorKind};

const CHECK: Check = Check {
    name: "settings",
    title: "Settings",
    settings: &[],
    after: &[],
    run: |_| Vec::new(),
};

/// The settings that cannot be used, so that checks which need them are skipped.
pub struct FailedPrerequisites {
    settings: Vec<String>,
    has_unreadable_file: bool,
}

/// A finding for each error and each warning, and the settings that cannot be used.
pub fn findings(errors: &[ConfigError], warnings: &[String], given: usize) -> (Vec<Finding>, FailedPrerequisites) {
    let mut results: Vec<CheckResult> = errors
        .iter()
        .map(|error| match &error.kind {
            ConfigErrorKind::Invalid {
                expected: Some(expected),
            } => CheckResult::failed(error.to_string(), expected, format!("correct {}", error.setting)),
            ConfigErrorKind::Missing { expected, remedy } => CheckResult::failed(error.to_string(), expected, remedy),
            _ => CheckResult::failed_without_expected(error.to_string(), error.hint.clone()),
        })
        .collect();
    results.extend(warnings.iter().map(|warning| {
        CheckResult::warning(
            warning.clone(),
            "each setting set under one name",
            "see blogctl config for the values in force",
        )
    }));
    if results.is_empty() {
        results.push(match given {
            0 => CheckResult::ok("all settings have their defaults"),
            1 => CheckResult::ok("1 setting is set and valid"),
            given => CheckResult::ok(format!("{given} settings are set and valid")),
        });
    }
    let failed = FailedPrerequisites {
        settings: errors.iter().map(|error| error.setting.clone()).collect(),
        has_unreadable_file: errors.iter().any(|error| error.kind == ConfigErrorKind::UnreadableFile),
    };
    (
        results.into_iter().map(|result| CHECK.finding(result)).collect(),
        failed,
    )
}

impl FailedPrerequisites {
    /// Why a check must be skipped, if it must.
    pub fn reason_to_skip(&self, check: &Check) -> Option<String> {
        if self.has_unreadable_file {
            return Some("the settings file cannot be read: see Settings".to_owned());
        }
        let name = check
            .settings
            .iter()
            .find(|name| self.settings.iter().any(|failed| failed == *name))?;
        Some(format!("needs {name}: see Settings"))
    }
}
