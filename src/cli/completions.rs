//! `blogctl completions`

use std::io::{self, Write};

use clap::{Args, CommandFactory};
use clap_complete::Shell;

/// Print a completion script for a shell
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  blogctl completions bash > ~/.local/share/bash-completion/completions/blogctl
  blogctl completions zsh > ~/.zfunc/_blogctl
  blogctl completions fish > ~/.config/fish/completions/blogctl.fish")]
pub struct Arguments {
    /// Shell for which the script is
    shell: Shell,
}

/// Prints the completion script.
///
/// # Errors
/// If stdout cannot be written.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(
        arguments.shell,
        &mut super::Arguments::command(),
        "blogctl",
        &mut script,
    );
    io::stdout().lock().write_all(&script)?;
    Ok(())
}
