//! The command line: one file per subcommand. Each builds what it needs and calls it.
//! The only place that prints to stdout.

pub mod cert;

use std::process::ExitCode;

/// Parses the process's arguments and runs the command they name.
///
/// Exit codes: 0 done, 1 failed, 2 wrong usage or settings.
pub fn main() -> ExitCode {
    unimplemented!()
}
