//! `blogctl cert check`: whether the web site can use its certificate, without a request to Entra ID.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use chrono::{DateTime, Utc};
use clap::Args;
use serde_json::json;

use crate::{
    certificate::{Inspection, Observation, Severity},
    cli::wrap,
    config::{CertificateSettings, Settings},
    entra::CredentialSource,
};

/// Indent of a value that does not fit next to its label.
const HANG: usize = 4;

/// Check key and certificate, and report all problems at once
///
/// Checks that they can be read and belong together, strength, dates, thumbprint, signature, chain and file modes. ✗ means
/// that they cannot be used (exit code 1), ! that they work, but need attention.
///
/// Without a file, checks the configured certificate: client.cert_path (or client.cert_base64), or each entry of
/// client.credential. One usable entry is enough.
#[derive(Debug, Args)]
pub(super) struct Check {
    /// PFX file, or PEM file with the certificate, and with the private key unless --key names another file
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
    /// PEM file with the private key. The passphrase comes from client.key_passphrase or client.key_passphrase_file
    #[arg(long, value_name = "FILE", requires = "file")]
    key: Option<PathBuf>,
    /// Print a JSON object: usable, observations (severity, seen, hint), sha1_hex, not_after
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(super) fn run(self, settings: impl FnOnce() -> anyhow::Result<Settings>) -> anyhow::Result<ExitCode> {
        let json = self.json;
        let (examination, is_usable) = self.examine(settings)?;
        let mut out = io::stdout().lock();
        if json {
            write_json(&mut out, &examination, is_usable)?;
        } else {
            write_text(&mut out, &examination, wrap::stdout_width())?;
        }
        out.flush()?;
        Ok(if is_usable {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    /// The observations, and whether the site can use the certificate, or at least one entry of the list.
    fn examine(self, settings: impl FnOnce() -> anyhow::Result<Settings>) -> anyhow::Result<(Inspection, bool)> {
        let now = Utc::now();
        let alone = |examination: Inspection| {
            let is_usable = is_usable(&examination);
            (examination, is_usable)
        };
        let Some(file) = self.file else {
            let settings = settings()?;
            let sources = CredentialSource::from_settings(&settings)?;
            let examiner = Examiner {
                soon_days: settings.client.soon_days(),
                now,
            };
            return Ok(match &*sources {
                [] => alone(Inspection::new(&settings.client.certificate, examiner.soon_days, now)),
                [one] => alone(examiner.examine(one)),
                several => examiner.examine_all(several),
            });
        };
        // A named file is checked even if the settings are invalid. Only the passphrase comes from the settings: every user of the
        // machine could read one on the command line.
        let own = settings().map(|settings| settings.client).unwrap_or_default();
        let soon_days = own.soon_days();
        let file = CertificateSettings {
            path: Some(file),
            base64: None,
            key_path: self.key,
            key_base64: None,
            thumbprint: None,
            ..own.certificate
        };
        Ok(alone(Inspection::new(&file, soon_days, now)))
    }
}

fn is_usable(examination: &Inspection) -> bool {
    examination.severity() != Severity::Bad
}

/// Inspects credentials. The time decides whether a certificate expires soon.
struct Examiner {
    soon_days: i64,
    now: DateTime<Utc>,
}

impl Examiner {
    fn examine(&self, source: &CredentialSource) -> Inspection {
        if let Some(file) = source.file() {
            return Inspection::new(file, self.soon_days, self.now);
        }
        match source.load() {
            Ok(credential) => match credential.certificate() {
                Some(certificate) => Inspection::from_loaded(certificate, self.soon_days, self.now),
                None => Inspection::from_observation(Observation::good(format!("can use {}", credential.name()))),
            },
            Err(error) => Inspection::from_observation(Observation::bad(error.to_string(), error.hint())),
        }
    }

    /// The observations of all entries, each with the name of its entry, and the details of the first usable certificate.
    fn examine_all(&self, sources: &[CredentialSource]) -> (Inspection, bool) {
        let mut all = Inspection {
            observations: Vec::new(),
            details: None,
        };
        let mut is_any_usable = false;
        for source in sources {
            let Inspection { observations, details } = self.examine(source);
            let usable = observations.iter().all(|one| one.severity != Severity::Bad);
            if usable && !is_any_usable {
                all.details = details;
            }
            is_any_usable |= usable;
            let named = |one: Observation| Observation {
                seen: format!("{}: {}", source.name(), one.seen),
                ..one
            };
            all.observations.extend(observations.into_iter().map(named));
        }
        (all, is_any_usable)
    }
}

fn write_text(out: &mut impl Write, examination: &Inspection, width: Option<usize>) -> io::Result<()> {
    for Observation { severity, seen, hint } in &examination.observations {
        let mark = match severity {
            Severity::Good => '✓',
            Severity::Warning => '!',
            Severity::Bad => '✗',
        };
        writeln!(
            out,
            "{}",
            wrap::wrap(&format!("{mark} {seen}"), "✓ ".chars().count(), width)
        )?;
        if let Some(hint) = hint {
            writeln!(
                out,
                "{}",
                wrap::wrap(&format!("  hint: {hint}"), "  hint: ".len(), width)
            )?;
        }
    }
    match &examination.details {
        Some(details) => {
            let line = format!("  SHA-1 as the portal must show it: {}", details.thumbprints.sha1_hex());
            writeln!(out, "{}", wrap::wrap(&line, HANG, width))
        }
        None => Ok(()),
    }
}

fn write_json(out: &mut impl Write, examination: &Inspection, is_usable: bool) -> anyhow::Result<()> {
    let report = json!({
        "usable": is_usable,
        "observations": examination.observations,
        "sha1_hex": examination.details.as_ref().map(|details| details.thumbprints.sha1_hex()),
        "not_after": examination.details.as_ref().map(|details| details.not_after),
    });
    serde_json::to_writer_pretty(&mut *out, &report)?;
    writeln!(out)?;
    Ok(())
}
