//! Parses the arguments, runs the command, turns an error into an exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    blogctl::cli::main()
}
