//! `blogctl cert new`: a key and a self-signed certificate, and what to do with them.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;

use crate::entra::{
    certificate::{CertificateDetails, CertificateError, certificates_in},
    issue_certificate::{IssuedFiles, NewCertificate},
};

/// Make a private key and a self-signed certificate for an app registration
///
/// Writes NAME.pem (key and certificate, readable by you alone) and NAME-cert.pem (the certificate, to upload).
#[derive(Debug, Args)]
pub(super) struct New {
    /// Common name of the subject, for people to recognise it by
    #[arg(long, value_name = "NAME", default_value = "blogctl")]
    cn: String,
    /// Valid for so many days, 1 to 3650
    #[arg(long, default_value_t = 365, value_parser = clap::value_parser!(u32).range(1..=3650))]
    days: u32,
    /// Size of the RSA key: 2048, 3072 or 4096
    #[arg(long, default_value_t = 2048, value_parser = key_size)]
    bits: u32,
    /// Folder to write into; made when it is missing
    #[arg(long, value_name = "FOLDER", default_value = "cert")]
    out: PathBuf,
    /// Name of the files, without extension
    #[arg(long, default_value = "client")]
    name: String,
    /// Replace files that exist. The old private key is gone then
    #[arg(long)]
    force: bool,
}

impl New {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let new = NewCertificate { common_name: self.cn, days: self.days, bits: self.bits };
        let files = new.write(&self.out, &self.name, self.force)?;
        let bad = || CertificateError::BadCertificate { path: files.certificate.clone() };
        let written = certificates_in(&files.certificate)?;
        let details = written.first().and_then(|der| CertificateDetails::from_der(der)).ok_or_else(bad)?;
        let mut out = io::stdout().lock();
        write_summary(&mut out, &files, &details)?;
        out.flush()?;
        Ok(ExitCode::SUCCESS)
    }
}

fn key_size(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(bits @ (2048 | 3072 | 4096)) => Ok(bits),
        _ => Err("2048, 3072 or 4096 is expected".to_owned()),
    }
}

fn write_summary(out: &mut impl Write, files: &IssuedFiles, details: &CertificateDetails) -> io::Result<()> {
    let (combined, certificate) = (files.combined.display(), files.certificate.display());
    writeln!(out, "key and certificate  {combined} (keep it secret)")?;
    writeln!(out, "certificate          {certificate}")?;
    writeln!(out, "subject              {}", details.subject)?;
    writeln!(out, "valid until          {}", details.not_after.format("%Y-%m-%d"))?;
    writeln!(out, "SHA-1 (portal)       {}", details.thumbprints.sha1_hex())?;
    writeln!(out, "SHA-256              {}", details.thumbprints.sha256_hex())?;
    writeln!(out)?;
    writeln!(out, "next:")?;
    writeln!(out, "  1. upload {certificate} in the Entra admin center: App registrations > your web site >")?;
    writeln!(out, "     Certificates & secrets > Certificates > Upload certificate; or")?;
    writeln!(out, "     az ad app credential reset --id CLIENT_ID --cert @{certificate} --append")?;
    writeln!(out, "  2. set client.cert_path (CLIENT_CERT_PATH) to {combined}")?;
    writeln!(out, "  3. blogctl cert check")
}
