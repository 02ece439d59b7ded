//! `blogctl cert check`: whether the web site could use its certificate, without asking Entra.

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

/// Of a value that does not fit beside its label.
const HANG: usize = 4;

/// Check key and certificate: everything that is wrong at once
///
/// That they can be read and belong together, strength, dates, thumbprint, signature, chain and file modes. ✗ cannot be used
/// (exit code 1), ! works and should be looked at.
///
/// Without a file, what the settings name is checked: client.cert_path (or client.cert_base64), or each entry of
/// client.credential, of which one that can be used is enough.
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

    /// What was found, and whether the site can use it: of a list, one entry at least.
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
        // A named file is checked whatever state the settings are in; only the passphrase is looked for there, since
        // one on the command line would be seen by every user of the machine.
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

/// By what an end is judged.
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
                None => Inspection::from_observation(Observation::good(format!("there are {}", credential.name()))),
            },
            Err(error) => Inspection::from_observation(Observation::bad(error.to_string(), error.hint())),
        }
    }

    /// All entries in one, each observation with the name of its entry; the certificate is that of the first that can be used.
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
