//! Check: the settings. What is wrong with them is told first, and keeps checks that need it from misleading.

use super::finding::{Check, Finding, Said};
use crate::config::Mistake;

const CHECK: Check = Check {
    name: "settings",
    title: "Settings",
    settings: &[],
    after: &[],
    run: |_| Vec::new(),
};

/// Settings that cannot be used.
pub struct Broken {
    settings: Vec<String>,
    has_broken_file: bool,
}

/// A finding for each mistake and each warning, and what cannot be used.
pub fn findings(mistakes: &[Mistake], warnings: &[String], given: usize) -> (Vec<Finding>, Broken) {
    // A file that cannot be read has no section.
    let is_file = |mistake: &Mistake| mistake.origin.is_none() && mistake.problem != "is not set";
    let mut said: Vec<Said> = mistakes
        .iter()
        .map(|mistake| {
            let hint = &mistake.hint;
            if let Some(expected) = hint.strip_prefix("must be ") {
                Said::failed(mistake.to_string(), expected, format!("correct {}", mistake.setting))
            } else if let Some((expected, remedy)) = hint.rsplit_once("; set ") {
                Said::failed(mistake.to_string(), expected, format!("set {remedy}"))
            } else {
                Said::wrong(mistake.to_string(), hint.clone())
            }
        })
        .collect();
    said.extend(warnings.iter().map(|warning| {
        Said::warning(
            warning.clone(),
            "each setting under one name",
            "blogctl config shows what is in force",
        )
    }));
    if said.is_empty() {
        said.push(match given {
            0 => Said::ok("all are at their defaults"),
            1 => Said::ok("1 is given, and can be used"),
            given => Said::ok(format!("{given} are given, and can be used")),
        });
    }
    let broken = Broken {
        settings: mistakes.iter().map(|mistake| mistake.setting.clone()).collect(),
        has_broken_file: mistakes.iter().any(is_file),
    };
    (said.into_iter().map(|said| CHECK.finding(said)).collect(), broken)
}

impl Broken {
    /// Why a check would say nothing about this system.
    pub fn reason_to_skip(&self, check: &Check) -> Option<String> {
        if self.has_broken_file {
            return Some("the settings file cannot be read".to_owned());
        }
        let name = check
            .settings
            .iter()
            .find(|name| self.settings.iter().any(|broken| broken == *name))?;
        Some(format!("needs {name}: see Settings"))
    }
}
