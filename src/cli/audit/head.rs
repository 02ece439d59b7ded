//! `blogctl audit head`

use std::{fs::File, io::Write as _, path::PathBuf, process::ExitCode};

use clap::Args;
use serde_json::json;

use crate::{
    audit,
    cli::error_report::{WithHint as _, WrongUsage},
};

/// Print the hash of the last line
///
/// Note it outside of this machine, for instance in a ticket or another system's log: \"blogctl audit verify --expect HASH\"
/// then finds out whether lines up to this one were removed or replaced. Does not check the other lines.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  blogctl audit head audit.jsonl
  blogctl audit head --json audit.jsonl | jq -r .hash")]
pub struct PrintHead {
    /// The file that the server appends to
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print JSON: {chain, seq, hash}
    #[arg(long)]
    json: bool,
}

impl PrintHead {
    /// Prints the hash.
    ///
    /// # Errors
    /// If the file cannot be read or has no line of an audit trail at its end.
    pub fn run(&self) -> anyhow::Result<ExitCode> {
        let shown = self.file.display();
        let read = File::open(&self.file).and_then(|mut file| audit::last_line(&mut file));
        let head = read.map_err(|error| WrongUsage(format!("{shown} cannot be read: {error}")))?;
        let Some(head) = head else {
            return Err(WrongUsage(format!("{shown} does not end in lines of an audit trail")))
                .hint("name the file of audit.path");
        };
        let text = if self.json {
            serde_json::to_string_pretty(&json!(head))? + "\n"
        } else {
            format!("{}\n", head.hash)
        };
        anstream::stdout().lock().write_all(text.as_bytes())?;
        Ok(ExitCode::SUCCESS)
    }
}
