//! `blogctl entra diff`

use std::{
    fs,
    io::{self, Read as _, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::Context;
use chrono::Utc;
use clap::Args;

use crate::{
    cli::{
        doctor::{Check, Finding, Said, Status, lines},
        failure::Hint,
    },
    config::Settings,
    entra::registration::{Drift, Severity, drift},
};

const SITE: Check = Check { name: "site", title: "Web site", settings: &[], after: &[], run: |_| Vec::new() };
const API: Check = Check { name: "api", title: "API", settings: &[], after: &[], run: |_| Vec::new() };

/// Compare exported app registrations with what these settings need
///
/// Takes what az ad app show, az ad app list and Microsoft Graph print. Exit code 1 when they differ; warnings, such as
/// client secrets that nobody needs, do not count.
#[derive(Debug, Args)]
pub(super) struct Diff {
    /// The export; - reads it from standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print JSON: an array of {check, status, seen, expected, remedy}
    #[arg(long)]
    json: bool,
}

impl Diff {
    pub(super) fn run(&self, settings: &Settings) -> anyhow::Result<ExitCode> {
        let name = self.file.display().to_string();
        let text = if name == "-" {
            let mut text = String::new();
            io::stdin().lock().read_to_string(&mut text).map(|_| text)
        } else {
            fs::read_to_string(&self.file)
        };
        let text = text.with_context(|| format!("cannot read {name}"))?;
        let export = serde_json::from_str(text.trim_start_matches('\u{feff}'))
            .with_context(|| format!("{name} is not JSON"))
            .hint("export it with az ad app show --id CLIENT_ID > FILE")?;
        let found = drift(&export, &super::wanted(settings)?, Utc::now())
            .with_context(|| format!("{name} holds none of the registrations that the settings name"))
            .hint("compare its appId with client.client_id and api.client_id (or the GUID in api.app_id_uri)")?;
        let findings: Vec<Finding> = found.into_iter().map(finding).collect();
        let text = if self.json { serde_json::to_string_pretty(&findings)? + "\n" } else { lines(&findings) };
        anstream::stdout().lock().write_all(text.as_bytes())?;
        let differs = findings.iter().any(|finding| finding.status == Status::Failed);
        Ok(if differs { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

fn finding(drift: Drift) -> Finding {
    let check = if drift.registration == "site" { SITE } else { API };
    let Drift { severity, seen, expected, remedy, .. } = drift;
    check.finding(match severity {
        Severity::Agrees => Said::ok(seen),
        Severity::Warning => Said::warning(seen, expected, remedy),
        Severity::Differs => Said::failed(seen, expected, remedy),
    })
}
