//! Checks files of audit trails: whether each line has its content unchanged, and continues the line before it.
//!
//! Reads each file once, line by line, in bounded memory. Lines of several chains may alternate, as in the logs that a collector
//! gathers from several replicas. Within a file, each chain must be in order; the files may come in any order.

mod lines;
mod segments;

use std::{
    collections::{BTreeSet, HashMap},
    io::{self, BufRead},
};

use uuid::Uuid;

use self::{
    lines::{Lines, Piece},
    segments::{Position, Segment, join},
};
use super::{
    chain::{Head, is_hash},
    damaged_bytes::DamagedBytes,
    line::{self, Damaged, Link},
    trail_file,
};

/// Findings beyond this number are only counted.
const MAX_FINDINGS: usize = 100;
/// Most chains, in all files together. Each start of a server that writes to stdout begins one.
const MAX_CHAINS: usize = 100_000;

/// What an auditor knows from elsewhere, such as a note of an earlier check.
#[derive(Debug, Clone, Default)]
pub struct Expectations {
    /// Hashes of last lines of earlier files: the first line given here may continue one of them.
    pub from: BTreeSet<String>,
    /// Hashes of lines that must be there.
    pub expected: BTreeSet<String>,
}

/// Something that an intact trail does not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The file, as given.
    pub file: String,
    /// The line, counted from 1.
    pub line: u64,
    /// What is wrong.
    pub problem: String,
}

/// A chain that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// The number of its first line.
    pub first: u64,
    /// Its last line.
    pub head: Head,
}

/// The result.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// What is wrong, at most [`MAX_FINDINGS`].
    pub findings: Vec<Finding>,
    /// How many further findings there are.
    pub more_findings: u64,
    /// What is unusual but explained.
    pub notes: Vec<Finding>,
    /// The chains, by their id.
    pub chains: Vec<Chain>,
    /// Valid lines.
    pub lines: u64,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_intact(&self) -> bool {
        self.findings.is_empty()
    }

    fn find(&mut self, at: &Position, problem: impl Into<String>) {
        if self.findings.len() < MAX_FINDINGS {
            self.findings.push(at.finding(problem));
        } else {
            self.more_findings = self.more_findings.saturating_add(1);
        }
    }

    fn note(&mut self, at: &Position, text: impl Into<String>) {
        if self.notes.len() < MAX_FINDINGS {
            self.notes.push(at.finding(text));
        }
    }
}

/// Checks files one after the other.
#[derive(Debug, Default)]
pub struct Verifier {
    expectations: Expectations,
    missing: BTreeSet<String>,
    segments: Vec<Segment>,
    chains: BTreeSet<Uuid>,
    report: Report,
}

impl Verifier {
    /// A check against these expectations.
    pub fn new(expectations: Expectations) -> Self {
        Self {
            missing: expectations.expected.clone(),
            expectations,
            ..Self::default()
        }
    }

    /// Checks a file.
    ///
    /// # Errors
    /// When it cannot be read, or there are more than [`MAX_CHAINS`] chains.
    pub fn file(&mut self, name: &str, content: impl BufRead) -> io::Result<()> {
        let mut file = FileCheck {
            at: Position {
                file: name.into(),
                line: 0,
            },
            damaged: None,
            open: HashMap::new(),
        };
        let mut lines = Lines::new(content);
        while let Some(piece) = lines.next_piece()? {
            file.at.line += u64::from(piece.is_first);
            let link = match piece {
                // A line without its end may have lost only the line break.
                Piece { is_whole: true, .. } => line::parse(piece.content()).map_err(|error| error.to_string()),
                Piece { is_last: true, .. } if piece.is_first => Err(
                    "is incomplete: the process was killed while it wrote the line, or the end was cut off".to_owned(),
                ),
                _ => Err("is not a line of an audit trail".to_owned()),
            };
            match link {
                Ok(link) => self.valid_line(&mut file, link)?,
                Err(problem) => file.add_damaged(&piece, problem),
            }
        }
        if let Some(run) = file.damaged.take() {
            self.report_damaged(&run);
        }
        self.segments.extend(file.open.into_values());
        Ok(())
    }

    /// Compares the files with each other and with the expectations.
    pub fn finish(mut self) -> Report {
        join(self.segments, &self.expectations.from, &mut self.report);
        let end = Position {
            file: "all files".into(),
            line: 0,
        };
        for hash in &self.missing {
            let problem = format!(
                "the line with the hash {hash} is missing: lines were cut off at the end, or not all files are given"
            );
            self.report.find(&end, problem);
        }
        if self.report.lines == 0 && self.report.is_intact() {
            self.report.find(&end, "no line of an audit trail was found");
        }
        self.report
    }

    fn valid_line(&mut self, file: &mut FileCheck, link: Link) -> io::Result<()> {
        self.report.lines += 1;
        self.missing.remove(&link.head.hash);
        let damaged = file.damaged.take();
        let mut damaged_lines = 0;
        if let Some(run) = damaged {
            match &link.damaged {
                Some(declared) if run.is_declared_by(declared) && declared.is_interrupted && run.lines == 1 => {
                    let text = "was interrupted: the process was killed, or the disk was full, while it wrote; the next line \
                                declares it";
                    self.report.note(&run.first, text);
                }
                declared => {
                    damaged_lines = run.lines;
                    self.report_damaged(&run);
                    if declared.as_ref().is_some_and(|declared| run.is_declared_by(declared)) {
                        self.report
                            .note(&file.at, "declares the damage before it: it is older than this line");
                    }
                }
            }
        } else if link.damaged.is_some() {
            self.report
                .find(&file.at, "declares damaged bytes before it, but they are not there");
        }
        let chain = link.head.chain;
        let Some(segment) = file.open.get_mut(&chain) else {
            self.chains.insert(chain);
            if self.chains.len() > MAX_CHAINS {
                return Err(io::Error::other(format!(
                    "there are more than {MAX_CHAINS} chains; check fewer files at once"
                )));
            }
            file.open.insert(chain, Segment::new(file.at.clone(), link));
            return Ok(());
        };
        if let Some(problem) = segment.problem_with(&link, damaged_lines) {
            self.report.find(&file.at, problem);
        }
        segment.append(file.at.clone(), link);
        Ok(())
    }

    fn report_damaged(&mut self, run: &DamagedRun) {
        for (at, problem) in &run.problems {
            self.report.find(at, problem.clone());
        }
        let unlisted = run
            .lines
            .saturating_sub(u64::try_from(run.problems.len()).unwrap_or(u64::MAX));
        self.report.more_findings = self.report.more_findings.saturating_add(unlisted);
    }
}

/// The state while one file is read.
struct FileCheck {
    at: Position,
    /// The invalid lines since the last valid one.
    damaged: Option<DamagedRun>,
    open: HashMap<Uuid, Segment>,
}

/// Invalid lines without a valid one between them.
struct DamagedRun {
    first: Position,
    lines: u64,
    bytes: DamagedBytes,
    problems: Vec<(Position, String)>,
}

impl FileCheck {
    fn add_damaged(&mut self, piece: &Piece<'_>, problem: String) {
        match &mut self.damaged {
            Some(run) => run.bytes.add(piece.bytes),
            none => {
                *none = Some(DamagedRun {
                    first: self.at.clone(),
                    lines: 0,
                    bytes: DamagedBytes::new(piece.bytes),
                    problems: Vec::new(),
                });
            }
        }
        if let Some(run) = self.damaged.as_mut().filter(|_| piece.is_first) {
            run.lines += 1;
            if run.problems.len() < MAX_FINDINGS {
                run.problems.push((self.at.clone(), problem));
            }
        }
    }
}

impl DamagedRun {
    fn is_declared_by(&self, declared: &Damaged) -> bool {
        let own = self.bytes.declaration();
        own.bytes == declared.bytes && own.sha256 == declared.sha256
    }
}

/// The last valid line of a file.
///
/// # Errors
/// When the file cannot be read.
pub fn last_line(file: &mut std::fs::File) -> io::Result<Option<Head>> {
    trail_file::last_line(file)
}

/// Whether a text can be the hash of a line.
pub fn is_line_hash(text: &str) -> bool {
    is_hash(text)
}
