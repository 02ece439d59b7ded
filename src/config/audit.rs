//! `[audit]`: the audit trail.

use std::path::{Path, PathBuf};

use super::{
    rules::{mebibytes, optional},
    section::section,
};

/// Largest size of a file, in MiB.
const MAX_MIB: u64 = 1_048_576;

/// What `audit.path` accepts.
const A_TARGET: &str = "the path of a file, or stdout";

section! {
    /// The audit trail: who signed in, who changed which post, what was rejected. See docs/audit.md.
    #[derive(Debug, Clone)]
    pub struct AuditSettings = "audit" {
        /// The file to which the audit trail is appended, one JSON object per line, or `stdout`. Off by default. `{role}` in
        /// the path becomes `api` or `client`: each role needs its own file, which only one process at a time can use.
        pub path: Option<PathBuf> = None, optional(A_TARGET, is_target);

        /// When the file would become larger than this, it gets the number of its last line as a suffix, and a new file
        /// begins. 0 means never. No file is ever deleted.
        pub max_mib: u64 = 100, mebibytes(0..=MAX_MIB);
    }
}

/// Rejects what an operator may type for standard output or for the system log, and paths that cannot be a file.
fn is_target(path: &Path) -> bool {
    let text = path.to_string_lossy();
    let is_other_word = ["-", "stderr", "syslog", "journal", "true", "false", "on", "off"]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word));
    // A shell would have replaced `~`. A different case of `stdout` is most likely not a file.
    let is_stdout = text.eq_ignore_ascii_case("stdout") && text != "stdout";
    let is_file = path.file_name().is_some() && !text.ends_with('/') && !text.starts_with('~');
    is_file && !is_other_word && !is_stdout && !text.contains('\0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_that_is_most_likely_not_a_file_is_rejected() {
        for good in [
            "stdout",
            "audit.jsonl",
            "./stderr",
            "/var/log/blogctl/audit-{role}.jsonl",
        ] {
            assert!(is_target(Path::new(good)), "{good}");
        }
        for bad in [
            "-",
            "STDOUT",
            "stderr",
            "syslog",
            "true",
            "off",
            "/",
            "/var/log/",
            "..",
            "~/audit.jsonl",
            "a\0b",
        ] {
            assert!(!is_target(Path::new(bad)), "{bad}");
        }
    }
}
