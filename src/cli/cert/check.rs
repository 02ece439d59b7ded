//! `blogctl cert check`: whether the web site could use its certificate, without asking Entra.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use chrono::Utc;
use clap::Args;

use super::relative_days;
use crate::{
    config::{CertificateSettings, Settings},
    entra::{ClientCertificate, certificate::CertificateError},
};

/// Check that key and certificate can be read, belong together, are strong enough and in date
///
/// Without a file, what client.cert_path (or client.cert_base64) and the settings beside it name is checked.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// PFX file, or PEM file with the certificate, and with the private key unless --key names another
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// PEM file with the private key. A passphrase is taken from client.key_passphrase or its file
    #[arg(long, value_name = "FILE", requires = "file")]
    key: Option<PathBuf>,
}

impl Check {
    pub(super) fn run(self, settings: impl FnOnce() -> anyhow::Result<Settings>) -> anyhow::Result<ExitCode> {
        let settings = self.certificate_settings(settings)?;
        let mut out = io::stdout().lock();
        let code = match ClientCertificate::load(&settings) {
            Ok(certificate) => {
                write_findings(&mut out, &certificate, &settings)?;
                ExitCode::SUCCESS
            }
            Err(error) => {
                write_failure(&mut out, &error)?;
                ExitCode::FAILURE
            }
        };
        out.flush()?;
        Ok(code)
    }

    fn certificate_settings(
        self,
        settings: impl FnOnce() -> anyhow::Result<Settings>,
    ) -> anyhow::Result<CertificateSettings> {
        let Some(file) = self.file else { return Ok(settings()?.client.certificate) };
        // A named file is checked whatever state the settings are in; only the passphrase is looked for there, since
        // one on the command line would be seen by every user of the machine.
        let own = settings().map(|settings| settings.client.certificate).unwrap_or_default();
        Ok(CertificateSettings { path: Some(file), base64: None, key_path: self.key, thumbprint: None, ..own })
    }
}

fn write_findings(
    out: &mut impl Write,
    certificate: &ClientCertificate,
    settings: &CertificateSettings,
) -> io::Result<()> {
    let details = certificate.details();
    let days = relative_days(details.days_left(Utc::now()));
    writeln!(out, "✓ {} is the certificate of its private key", details.subject)?;
    writeln!(out, "✓ the key is {} with {} bits", details.key_type, details.key_bits)?;
    writeln!(out, "✓ in date; expires {days} ({})", details.not_after.format("%Y-%m-%d"))?;
    if settings.thumbprint.is_some() {
        writeln!(out, "✓ client.cert_thumbprint is its thumbprint")?;
    }
    writeln!(out, "  SHA-1 as the portal must show it: {}", details.thumbprints.sha1_hex())
}

fn write_failure(out: &mut impl Write, error: &CertificateError) -> io::Result<()> {
    writeln!(out, "✗ {error}")?;
    writeln!(out, "  hint: {}", error.hint())
}
