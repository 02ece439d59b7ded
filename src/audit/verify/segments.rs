//! The part of a chain that is in one file, and how the parts of all files fit together.

use std::{collections::BTreeSet, sync::Arc};

use super::{Chain, Finding, Report};
use crate::audit::{
    chain::{GENESIS, Head},
    line::Link,
};

/// A line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Position {
    pub file: Arc<str>,
    pub line: u64,
}

impl Position {
    pub fn finding(&self, problem: impl Into<String>) -> Finding {
        Finding {
            file: self.file.to_string(),
            line: self.line,
            problem: problem.into(),
        }
    }
}

/// The lines of a chain in one file, from the first to the last one.
#[derive(Debug)]
pub(super) struct Segment {
    first: Position,
    first_seq: u64,
    first_prev: String,
    last: Position,
    head: Head,
}

impl Segment {
    pub fn new(at: Position, link: Link) -> Self {
        Self {
            first: at.clone(),
            first_seq: link.head.seq,
            first_prev: link.prev,
            last: at,
            head: link.head,
        }
    }

    /// Why a line does not continue this segment. `damaged_lines` before it are reported already, and may be the missing ones.
    pub fn problem_with(&self, link: &Link, damaged_lines: u64) -> Option<String> {
        self.gap(link.head.seq, &link.prev, damaged_lines)
    }

    /// The next line. A line from before does not replace the last one.
    pub fn append(&mut self, at: Position, link: Link) {
        if link.head.seq > self.head.seq {
            (self.last, self.head) = (at, link.head);
        }
    }

    fn gap(&self, seq: u64, prev: &str, damaged_lines: u64) -> Option<String> {
        let expected = self.head.seq.saturating_add(1);
        if seq < expected {
            return Some(format!(
                "has the number {seq}, which is not after {}: lines were reordered or repeated",
                self.head.seq
            ));
        }
        let missing = seq - expected;
        if missing == 0 && prev != self.head.hash {
            return Some(format!(
                "does not continue line {} of {}: that line was replaced",
                self.last.line, self.last.file
            ));
        }
        // A changed line is reported as changed, not as missing.
        (missing > damaged_lines).then(|| {
            let numbers = if missing == 1 {
                format!("number {expected} is")
            } else {
                format!("numbers {expected} to {} are", seq - 1)
            };
            format!(
                "{numbers} missing before it, after line {} of {}",
                self.last.line, self.last.file
            )
        })
    }
}

/// Checks that the segments of each chain follow each other, and that its beginning is there.
pub(super) fn join(mut segments: Vec<Segment>, from: &BTreeSet<String>, report: &mut Report) {
    segments.sort_by_key(|segment| (segment.head.chain, segment.first_seq, segment.head.seq));
    let mut current: Option<Segment> = None;
    for segment in segments {
        match &mut current {
            Some(before) if before.head.chain == segment.head.chain => {
                if let Some(problem) = before.gap(segment.first_seq, &segment.first_prev, 0) {
                    report.find(&segment.first, problem);
                }
                if segment.head.seq > before.head.seq {
                    (before.last, before.head) = (segment.last, segment.head);
                }
            }
            current => {
                check_beginning(&segment, from, report);
                report.chains.extend(current.replace(segment).map(chain));
            }
        }
    }
    report.chains.extend(current.map(chain));
}

fn chain(segment: Segment) -> Chain {
    Chain {
        first: segment.first_seq,
        head: segment.head,
    }
}

fn check_beginning(segment: &Segment, from: &BTreeSet<String>, report: &mut Report) {
    if from.contains(&segment.first_prev) || (segment.first_seq == 1 && segment.first_prev == GENESIS) {
        return;
    }
    let problem = if segment.first_seq == 1 {
        "has number 1, but continues another line".to_owned()
    } else {
        format!(
            "is the first line of its chain here, but has the number {}: earlier lines were removed, or are in files that are not \
             given (--from {} accepts them as checked)",
            segment.first_seq, segment.first_prev
        )
    };
    report.find(&segment.first, problem);
}
