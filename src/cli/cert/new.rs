//! `blogctl cert new`: creates a private key with a self-signed certificate or a certificate signing request, and prints the next
//! steps.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::Args;

use super::{
    passphrase::Passphrase,
    upload::{CLIENT_ID, shell_word, write_step},
};
use crate::certificate::{
    CertificateDetails, CertificateError, certificates_from_file,
    issue::{
        AlternativeName, Destination, IssueError, IssuedFiles, NewCertificate, NewSigningRequest, RequestFiles,
        Subject, check_file_name,
    },
};

/// Create a private key and a self-signed certificate for an app registration
///
/// Writes NAME.pem (private key and certificate, readable only by you) and NAME-cert.pem (the certificate, to upload). With
/// --csr: NAME-key.pem and NAME.csr, for a certificate authority to sign.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  blogctl cert new
  blogctl cert new --cn 'Blog web site' --san blog.example.com --days 180 --bits 3072
  blogctl cert new --pfx --passphrase-file passphrase.txt
  blogctl cert new --csr --cn blog.example.com --san blog.example.com")]
#[expect(clippy::struct_excessive_bools, reason = "each one is a flag")]
pub(super) struct New {
    /// Common name of the subject, by which people recognise the certificate
    #[arg(long, value_name = "NAME", default_value = "blogctl", value_parser = common_name)]
    cn: String,
    /// Alternative name: a DNS name, IP address, URI or e-mail address, also as DNS:NAME; may be repeated
    #[arg(long, value_name = "NAME")]
    san: Vec<AlternativeName>,
    /// Validity in days, 1 to 3650
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=3650))]
    days: u32,
    /// Size of the RSA key: 2048, 3072 or 4096
    #[arg(long, default_value_t = 2048, value_parser = key_size)]
    bits: u32,
    /// Create a certificate signing request instead of a self-signed certificate
    #[arg(long, conflicts_with_all = ["days", "pfx"])]
    csr: bool,
    /// Also write NAME.pfx (PKCS#12)
    #[arg(long, requires = "passphrase_file")]
    pfx: bool,
    /// File whose first line is the passphrase of the private key; - asks for it, or reads it from standard input
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<Passphrase>,
    /// Folder to write to; created if it does not exist
    #[arg(long, value_name = "FOLDER", default_value = "cert")]
    out: PathBuf,
    /// Name of the files without extension
    #[arg(long, default_value = "client", value_parser = file_name)]
    name: String,
    /// Replace existing files, including the old private key
    #[arg(long)]
    force: bool,
    /// Change nothing and succeed if the key and its certificate exist, as for a job that runs at every start
    #[arg(long, conflicts_with_all = ["force", "csr", "pfx"])]
    keep: bool,
}

impl New {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        if self.keep && self.exists() {
            let file = self.out.join(format!("{}.pem", self.name));
            writeln!(io::stdout(), "kept  {}", file.display())?;
            return Ok(ExitCode::SUCCESS);
        }
        let passphrase = self.passphrase_file.as_ref().map(Passphrase::read).transpose()?;
        let subject = Subject::new(self.cn, self.san);
        let to = Destination {
            folder: self.out,
            name: self.name,
            overwrite: self.force,
            passphrase,
        };
        let mut out = io::stdout().lock();
        if self.csr {
            let files = NewSigningRequest {
                subject,
                bits: self.bits,
            }
            .write(&to)?;
            write_request_summary(&mut out, &files)?;
        } else {
            let new = NewCertificate {
                subject,
                days: self.days,
                bits: self.bits,
            };
            let files = if self.pfx {
                new.write_with_pfx(&to)?
            } else {
                new.write(&to)?
            };
            write_files(&mut out, &files)?;
            writeln!(out, "\nnext:")?;
            write_step(&mut out, 1, &files.certificate, CLIENT_ID)?;
            writeln!(
                out,
                "  2. set client.cert_path (CLIENT_CERT_PATH) to {}",
                files.combined.display()
            )?;
            writeln!(out, "  3. blogctl cert check")?;
        }
        out.flush()?;
        Ok(ExitCode::SUCCESS)
    }

    /// Whether both files exist that are written without further options.
    fn exists(&self) -> bool {
        [".pem", "-cert.pem"]
            .iter()
            .all(|ending| self.out.join(format!("{}{ending}", self.name)).is_file())
    }
}

fn common_name(text: &str) -> Result<String, IssueError> {
    Subject::with_common_name(text).check().map(|()| text.to_owned())
}

fn file_name(text: &str) -> Result<String, IssueError> {
    check_file_name(text).map(|()| text.to_owned())
}

fn key_size(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(bits @ (2048 | 3072 | 4096)) => Ok(bits),
        _ => Err("must be 2048, 3072 or 4096".to_owned()),
    }
}

/// Prints the files, and what identifies the new certificate.
pub(super) fn write_files(out: &mut impl Write, files: &IssuedFiles) -> anyhow::Result<()> {
    let details = details(&files.certificate)?;
    writeln!(
        out,
        "key and certificate  {} (keep it secret)",
        files.combined.display()
    )?;
    if let Some(pfx) = &files.pfx {
        writeln!(out, "PFX file             {} (keep it secret)", pfx.display())?;
    }
    writeln!(out, "certificate          {}", files.certificate.display())?;
    writeln!(out, "subject              {}", details.subject)?;
    writeln!(out, "valid until          {}", details.not_after.format("%Y-%m-%d"))?;
    writeln!(out, "SHA-1 (portal)       {}", details.thumbprints.sha1_hex())?;
    writeln!(out, "SHA-256              {}", details.thumbprints.sha256_hex())?;
    Ok(())
}

fn details(certificate: &Path) -> Result<CertificateDetails, CertificateError> {
    let written = certificates_from_file(certificate)?;
    let details = written.first().and_then(|der| CertificateDetails::from_der(der));
    details.ok_or_else(|| CertificateError::BadCertificate {
        location: certificate.into(),
    })
}

fn write_request_summary(out: &mut impl Write, files: &RequestFiles) -> io::Result<()> {
    /// Placeholder for the certificate that the authority returns.
    const SIGNED: &str = "THE-CERTIFICATE.pem";
    let (key, request) = (files.key.display(), files.request.display());
    writeln!(out, "key              {key} (keep it secret)")?;
    writeln!(out, "signing request  {request}")?;
    writeln!(out, "\nnext:")?;
    writeln!(
        out,
        "  1. have your certificate authority sign {request}; ask for PEM with the chain, leaf first"
    )?;
    writeln!(
        out,
        "  2. blogctl cert check {SIGNED} --key {}",
        shell_word(&key.to_string())
    )?;
    write_step(out, 3, SIGNED, CLIENT_ID)?;
    writeln!(
        out,
        "  4. set client.cert_path to {SIGNED} and client.key_path to {key}"
    )?;
    writeln!(out, "  5. blogctl cert check")
}
