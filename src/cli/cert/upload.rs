//! The steps that add a certificate to an app registration: the same after each command that creates one.

use std::{
    borrow::Cow,
    io::{self, Write},
    path::Path,
};

/// Placeholder for an unknown client ID.
pub(super) const CLIENT_ID: &str = "CLIENT_ID";

/// Prints step `number` of a list: with the portal, or with the Azure CLI.
pub(super) fn write_step(
    out: &mut impl Write,
    number: u8,
    certificate: impl AsRef<Path>,
    client_id: &str,
) -> io::Result<()> {
    let certificate = certificate.as_ref();
    let argument = shell_word(&format!("@{}", certificate.display())).into_owned();
    let certificate = certificate.display();
    writeln!(
        out,
        "  {number}. upload {certificate} in the Entra admin center: App registrations > your web site >"
    )?;
    writeln!(
        out,
        "     Certificates & secrets > Certificates > Upload certificate; or"
    )?;
    writeln!(
        out,
        "     az ad app credential reset --id {client_id} --cert {argument} --append"
    )
}

/// Quotes text as one word for a POSIX shell.
pub(super) fn shell_word(text: &str) -> Cow<'_, str> {
    let is_plain = |c: char| c.is_alphanumeric() || "@%+=:,./_-".contains(c);
    if !text.is_empty() && text.chars().all(is_plain) {
        return Cow::from(text);
    }
    Cow::from(format!("'{}'", text.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_reads_any_path_as_one_word() {
        for (text, expected) in [
            ("@cert/client-cert.pem", "@cert/client-cert.pem"),
            ("@cert/sp ace.pem", "'@cert/sp ace.pem'"),
            ("it's", r"'it'\''s'"),
            ("$(id)", "'$(id)'"),
            ("", "''"),
        ] {
            assert_eq!(shell_word(text), expected);
        }
    }
}
