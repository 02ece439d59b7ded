//! `blogctl cert check`: whether the web site could use its certificate, without asking Entra.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use chrono::Utc;
use clap::Args;
use serde_json::json;

use crate::{
    config::{CertificateSettings, Settings},
    entra::certificate::{Examination, Observation, Severity},
};

/// Check key and certificate: everything that is wrong at once
///
/// That they can be read and belong together, strength, dates, thumbprint, signature, chain and file modes. ✗ cannot be used
/// (exit code 1), ! works and should be looked at.
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
    /// Print a JSON object: usable, observations (severity, seen, hint), sha1_hex, not_after
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(super) fn run(self, settings: impl FnOnce() -> anyhow::Result<Settings>) -> anyhow::Result<ExitCode> {
        let json = self.json;
        let settings = self.certificate_settings(settings)?;
        let examination = Examination::of(&settings, Utc::now());
        let mut out = io::stdout().lock();
        if json {
            write_json(&mut out, &examination)?;
        } else {
            write_text(&mut out, &examination)?;
        }
        out.flush()?;
        Ok(if examination.severity() == Severity::Bad { ExitCode::FAILURE } else { ExitCode::SUCCESS })
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

fn write_text(out: &mut impl Write, examination: &Examination) -> io::Result<()> {
    for Observation { severity, seen, hint } in &examination.observations {
        let mark = match severity {
            Severity::Good => '✓',
            Severity::Warning => '!',
            Severity::Bad => '✗',
        };
        writeln!(out, "{mark} {seen}")?;
        if let Some(hint) = hint {
            writeln!(out, "  hint: {hint}")?;
        }
    }
    match &examination.details {
        Some(details) => writeln!(out, "  SHA-1 as the portal must show it: {}", details.thumbprints.sha1_hex()),
        None => Ok(()),
    }
}

fn write_json(out: &mut impl Write, examination: &Examination) -> anyhow::Result<()> {
    let report = json!({
        "usable": examination.severity() != Severity::Bad,
        "observations": examination.observations,
        "sha1_hex": examination.details.as_ref().map(|details| details.thumbprints.sha1_hex()),
        "not_after": examination.details.as_ref().map(|details| details.not_after),
    });
    serde_json::to_writer_pretty(&mut *out, &report)?;
    writeln!(out)?;
    Ok(())
}
