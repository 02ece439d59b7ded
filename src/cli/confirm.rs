//! Asking before data is destroyed, or changed where people work with it.

use std::io::{self, IsTerminal, Write};

use super::{
    error_report::{WithHint as _, WrongUsage},
    logging,
};

/// Asks on a terminal whether to go on. Elsewhere nobody can answer: there it takes `--yes`, which `yes` says was given.
///
/// # Errors
/// When the answer is no, or there is no terminal and no `--yes`.
pub fn destruction(question: &str, yes: bool) -> anyhow::Result<()> {
    change(question, yes, "say it with --yes")
}

/// The same, with the `hint` for whoever has no terminal.
///
/// # Errors
/// When the answer is no, or there is no terminal and no `--yes`.
pub fn change(question: &str, yes: bool, hint: &str) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Err(WrongUsage(format!("{question} there is no terminal to answer on"))).hint(hint);
    }
    // What was logged stands above the question.
    logging::finish();
    let mut stderr = anstream::stderr().lock();
    write!(stderr, "{question} [y/N] ")?;
    stderr.flush()?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer)?;
    if !["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()) {
        anyhow::bail!("not confirmed, so nothing was changed");
    }
    Ok(())
}
