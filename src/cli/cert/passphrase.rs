//! A passphrase for a private key: from a file or typed, never from the command line, where every user of the machine
//! would see it.

use std::{
    convert::Infallible,
    fs::File,
    io::{self, BufRead, BufReader, IsTerminal as _},
    path::PathBuf,
    str::FromStr,
};

use anyhow::{Context as _, bail};
use secrecy::SecretString;
use zeroize::{Zeroize as _, Zeroizing};

use crate::cli::logging;

/// Where the passphrase comes from.
#[derive(Debug, Clone)]
pub(super) enum Passphrase {
    /// `-`
    StandardInput,
    File(PathBuf),
}

impl FromStr for Passphrase {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(if text == "-" { Self::StandardInput } else { Self::File(text.into()) })
    }
}

impl Passphrase {
    /// The first line, without its end.
    ///
    /// # Errors
    /// When it cannot be read, or is empty.
    pub fn read(&self) -> anyhow::Result<SecretString> {
        match self {
            Self::StandardInput if io::stdin().is_terminal() => typed(),
            Self::StandardInput => first_line(io::stdin().lock(), "standard input"),
            Self::File(path) => {
                let name = path.display().to_string();
                let file = File::open(path).with_context(|| format!("{name} cannot be read"))?;
                first_line(BufReader::new(file), &name)
            }
        }
    }
}

/// Twice, unseen: nobody can check what they typed.
fn typed() -> anyhow::Result<SecretString> {
    // What was logged stands above the question.
    logging::finish();
    let first = Zeroizing::new(rpassword::prompt_password("Passphrase: ")?);
    let again = Zeroizing::new(rpassword::prompt_password("Once more: ")?);
    match first == again {
        _ if first.is_empty() => bail!("the passphrase is empty"),
        true => Ok(SecretString::from(first.as_str())),
        false => bail!("the two passphrases differ"),
    }
}

fn first_line(mut input: impl BufRead, name: &str) -> anyhow::Result<SecretString> {
    let mut line = String::new();
    input.read_line(&mut line).with_context(|| format!("{name} cannot be read"))?;
    let passphrase = SecretString::from(line.trim_end_matches(['\r', '\n']));
    let is_empty = line.trim_end_matches(['\r', '\n']).is_empty();
    line.zeroize();
    if is_empty {
        bail!("the first line of {name} is empty: it must hold the passphrase");
    }
    Ok(passphrase)
}
