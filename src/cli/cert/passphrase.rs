//! The passphrase of a private key: from a file or typed, never from the command line, which every user of the machine can
//! read.

use std::{
    convert::Infallible,
    fs::File,
    io::{self, BufRead, BufReader, IsTerminal as _},
    path::PathBuf,
    str::FromStr,
};

use anyhow::{Context as _, bail};
use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::{
    cli::logging,
    config::{quotable_secret_path, text_in},
};

/// Longest first line, in bytes.
const MAX_BYTES: u64 = 64 * 1024;

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
        Ok(if text == "-" {
            Self::StandardInput
        } else {
            Self::File(text.into())
        })
    }
}

impl Passphrase {
    /// Reads the first line, without its line end.
    ///
    /// # Errors
    /// If it cannot be read, or is empty.
    pub fn read(&self) -> anyhow::Result<SecretString> {
        match self {
            Self::StandardInput if io::stdin().is_terminal() => typed(),
            Self::StandardInput => first_line(io::stdin().lock(), "standard input"),
            Self::File(path) => {
                let name = quotable_secret_path(path).into_owned();
                let file = File::open(path).with_context(|| format!("{name} cannot be read"))?;
                first_line(BufReader::new(file), &name)
            }
        }
    }
}

/// Asks twice, because the user cannot see the input.
fn typed() -> anyhow::Result<SecretString> {
    // Log lines must appear above the question.
    logging::finish();
    let first = Zeroizing::new(rpassword::prompt_password("Passphrase: ")?);
    let again = Zeroizing::new(rpassword::prompt_password("Repeat passphrase: ")?);
    match first == again {
        _ if first.is_empty() => bail!("the passphrase is empty"),
        true => Ok(SecretString::from(first.as_str())),
        false => bail!("the two passphrases differ"),
    }
}

/// Reads a line in any encoding that editors and PowerShell write.
fn first_line(input: impl BufRead, name: &str) -> anyhow::Result<SecretString> {
    let mut bytes = Zeroizing::new(Vec::new());
    // Only one line: a pipe may stay open.
    input
        .take(MAX_BYTES)
        .read_until(b'\n', &mut bytes)
        .with_context(|| format!("{name} cannot be read"))?;
    // In UTF-16, the line end was cut in half.
    let line = bytes.strip_suffix(b"\n").unwrap_or(&bytes);
    let line = if line.len().is_multiple_of(2) {
        line
    } else {
        line.strip_suffix(b"\0").unwrap_or(line)
    };
    let Some(text) = text_in(line) else {
        bail!("{name} is neither UTF-8 nor UTF-16 text: save it as UTF-8")
    };
    let passphrase = text.trim_end_matches(['\r', '\n']);
    if passphrase.is_empty() {
        bail!("the first line of {name} is empty: it must contain the passphrase");
    }
    Ok(SecretString::from(passphrase))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    #[test]
    fn the_first_line_is_read_in_every_encoding() {
        let utf16 = |text: &str, of: fn(u16) -> [u8; 2]| text.encode_utf16().flat_map(of).collect::<Vec<u8>>();
        for bytes in [
            b"open sesame\nmore".to_vec(),
            b"open sesame\r\n".to_vec(),
            b"\xEF\xBB\xBFopen sesame".to_vec(),
            utf16("open sesame\r\nmore", u16::to_le_bytes),
            utf16("open sesame\nmore", u16::to_be_bytes),
            utf16("\u{feff}open sesame\r\n", u16::to_le_bytes),
            utf16("\u{feff}open sesame", u16::to_be_bytes),
        ] {
            let read = first_line(&*bytes, "it").expect("a passphrase");
            assert_eq!(read.expose_secret(), "open sesame", "{bytes:02x?}");
        }
        for bytes in [&b"a\0b"[..], b"caf\xe9", b"", b"\r\n"] {
            assert!(first_line(bytes, "it").is_err(), "{bytes:02x?}");
        }
    }
}
