//! `blogctl audit`: checks audit trails. It reads only the given files, and needs no settings.

mod head;
mod verify;

use std::process::ExitCode;

use clap::{Args, Subcommand};

/// Check audit trails
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  blogctl audit verify /var/log/blogctl/audit-api.jsonl*
  blogctl audit head /var/log/blogctl/audit-api.jsonl
  zcat trail-*.gz | blogctl audit verify -")]
pub struct AuditCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Verify(verify::Verify),
    Head(head::PrintHead),
}

/// Runs a subcommand.
///
/// # Errors
/// If a file cannot be read, or stdout cannot be written.
pub fn run(command: &AuditCommand) -> anyhow::Result<ExitCode> {
    match &command.action {
        Action::Verify(verify) => verify.run(),
        Action::Head(head) => head.run(),
    }
}
