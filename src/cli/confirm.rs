//! Asks for confirmation before data is destroyed, or changed in production.

use std::io::{self, IsTerminal, Write};

use super::{
    error_report::{WithHint as _, WrongUsage},
    logging,
};

/// Asks on the terminal before data is destroyed. Without a terminal, `--yes` is required; `yes` says whether it is set.
///
/// # Errors
/// If the answer is no, or there is neither a terminal nor `--yes`.
pub fn destruction(question: &str, yes: bool) -> anyhow::Result<()> {
    change(question, yes, "confirm it with --yes")
}

/// Asks on the terminal before data is changed. `hint` says what to do without a terminal.
///
/// # Errors
/// If the answer is no, or there is neither a terminal nor `--yes`.
pub fn change(question: &str, yes: bool, hint: &str) -> anyhow::Result<()> {
    if yes {
        return Ok(());
    }
    if !(io::stdin().is_terminal() && io::stderr().is_terminal()) {
        return Err(WrongUsage(format!("{question} there is no terminal to ask on"))).hint(hint);
    }
    // Log lines must appear above the question.
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
