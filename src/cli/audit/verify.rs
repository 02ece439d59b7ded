//! `blogctl audit verify`

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    fs::File,
    io::{self, BufReader, Write as _},
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;
use serde_json::json;

use crate::{
    audit::{Chain, Expectations, Finding, Report, Verifier, is_line_hash},
    cli::{doctor::safe, error_report::WrongUsage},
};

/// Bytes that are read at once.
const BUFFER: usize = 256 * 1024;
/// Most chains that the text form lists.
const MAX_LISTED: usize = 20;

/// Find changed, missing, inserted and reordered lines
///
/// Reads all files of a trail, in any order: the current one, and those that were renamed when they were full. Each line
/// contains its own hash and that of the line before. An attacker who can write to the files can compute all hashes anew, so
/// compare with a hash that is noted elsewhere (--expect), or send the lines to another machine: docs/audit.md.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Exit codes: 0 the trail is intact, 1 it is not, 2 it cannot be checked.

Examples:
  blogctl audit verify audit.jsonl*
  blogctl audit verify --expect 5f1c… audit.jsonl*    a hash that \"blogctl audit head\" printed earlier
  blogctl audit verify --from 09ab… audit.jsonl       earlier files were checked and archived
  zcat trail-*.gz | blogctl audit verify -")]
pub struct Verify {
    /// Files of the trail; - reads standard input
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// A line with this hash must be there; may be repeated
    #[arg(long, value_name = "HASH", value_parser = hash)]
    expect: Vec<String>,
    /// Accept a trail that begins after the line with this hash; may be repeated
    #[arg(long, value_name = "HASH", value_parser = hash)]
    from: Vec<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Verify {
    /// Checks the files, and prints the result.
    ///
    /// # Errors
    /// If a file cannot be read, or stdout cannot be written.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let mut verifier = Verifier::new(Expectations {
            from: self.from.iter().cloned().collect(),
            expected: self.expect.iter().cloned().collect(),
        });
        let mut read = BTreeSet::new();
        for path in &self.files {
            let shown = path.display().to_string();
            check(&mut verifier, path, &mut read)
                .map_err(|error| WrongUsage(format!("{shown} cannot be read: {error}")))?;
        }
        let report = verifier.finish();
        let text = if self.json { as_json(&report)? } else { as_text(&report) };
        anstream::stdout().lock().write_all(text.as_bytes())?;
        Ok(if report.is_intact() {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

/// Adds a file to the check, unless it was read under another name.
fn check(verifier: &mut Verifier, path: &Path, read: &mut BTreeSet<(u64, u64)>) -> io::Result<()> {
    if path == Path::new("-") {
        return verifier.file("standard input", BufReader::with_capacity(BUFFER, io::stdin().lock()));
    }
    let file = File::open(path)?;
    let metadata = file.metadata()?;
    if metadata.is_file() && !read.insert((metadata.dev(), metadata.ino())) {
        return Ok(());
    }
    verifier.file(&path.display().to_string(), BufReader::with_capacity(BUFFER, file))
}

fn as_json(report: &Report) -> serde_json::Result<String> {
    let finding = |finding: &Finding| json!({ "file": finding.file, "line": finding.line, "problem": finding.problem });
    let chain = |Chain { first, head }: &Chain| json!({ "chain": head.chain, "first_seq": first, "last_seq": head.seq, "last_hash": head.hash });
    let value = json!({
        "intact": report.is_intact(),
        "lines": report.lines,
        "findings": report.findings.iter().map(finding).collect::<Vec<_>>(),
        "more_findings": report.more_findings,
        "notes": report.notes.iter().map(finding).collect::<Vec<_>>(),
        "chains": report.chains.iter().map(chain).collect::<Vec<_>>(),
    });
    serde_json::to_string_pretty(&value).map(|text| text + "\n")
}

fn as_text(report: &Report) -> String {
    let mut text = String::new();
    for Finding { file, line, problem } in &report.findings {
        let _ = writeln!(text, "{}: {problem}", place(file, *line));
    }
    if report.more_findings > 0 {
        let _ = writeln!(text, "… and {} more findings", report.more_findings);
    }
    for Finding { file, line, problem } in &report.notes {
        let _ = writeln!(text, "note: {}: {problem}", place(file, *line));
    }
    for Chain { first, head } in report.chains.iter().take(MAX_LISTED) {
        let _ = writeln!(
            text,
            "chain {}: lines {first} to {}, last hash {}",
            head.chain, head.seq, head.hash
        );
    }
    if let Some(more) = report.chains.len().checked_sub(MAX_LISTED).filter(|more| *more > 0) {
        let _ = writeln!(text, "… and {more} more chains");
    }
    let result = if report.is_intact() { "intact" } else { "NOT intact" };
    let _ = writeln!(text, "{} valid lines: the trail is {result}", report.lines);
    text
}

fn place(file: &str, line: u64) -> String {
    if line == 0 {
        safe(file)
    } else {
        format!("{}, line {line}", safe(file))
    }
}

fn hash(text: &str) -> Result<String, String> {
    let text = text.trim().to_ascii_lowercase();
    if is_line_hash(&text) {
        Ok(text)
    } else {
        Err("expected the hash of a line: 64 hex digits, as \"blogctl audit head\" prints them".to_owned())
    }
}
