//! `blogctl entra diff`

use std::{
    fs,
    io::{self, Read as _, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, anyhow};
use chrono::Utc;
use clap::Args;
use uuid::Uuid;

use crate::{
    cli::{
        doctor::{Check, CheckResult, Finding, Status, lines},
        error_report::WithHint as _,
    },
    config::{Settings, quotable_path},
    registration::{Drift, ExpectedRegistrations, Severity, find_drift},
};

const SITE: Check = Check {
    name: "site",
    title: "Web site",
    settings: &[],
    after: &[],
    run: |_| Vec::new(),
};
const API: Check = Check {
    name: "api",
    title: "API",
    settings: &[],
    after: &[],
    run: |_| Vec::new(),
};

/// Compare exported app registrations with what these settings need
///
/// Accepts the output of az ad app show, az ad app list and Microsoft Graph. The exit code is 1 if a difference prevents
/// sign-ins; warnings, such as missing optional claims and unused client secrets, do not count.
#[derive(Debug, Args)]
pub(super) struct Diff {
    /// Exported registrations; - reads them from standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print JSON: an array of {check, status, seen, expected, remedy}
    #[arg(long)]
    json: bool,
}

impl Diff {
    pub(super) fn run(&self, settings: &Settings) -> anyhow::Result<ExitCode> {
        let name = quotable_path(&self.file).into_owned();
        let text = if self.file == Path::new("-") {
            let mut text = String::new();
            io::stdin().lock().read_to_string(&mut text).map(|_| text)
        } else {
            fs::read_to_string(&self.file)
        };
        let text = text.with_context(|| format!("cannot read {name}"))?;
        let export = serde_json::from_str(text.trim_start_matches('\u{feff}'))
            .with_context(|| format!("{name} is not JSON"))
            .hint("export it with az ad app show --id CLIENT_ID > FILE")?;
        let wanted = super::wanted(settings)?;
        let found = match find_drift(&export, &wanted, Utc::now()) {
            Ok(found) => found,
            Err(error) => return Err(anyhow!("{name} {error}")).hint(error.hint()),
        };
        let findings: Vec<Finding> = found.into_iter().map(finding).collect();
        let text = if self.json {
            serde_json::to_string_pretty(&findings)? + "\n"
        } else {
            heading(&wanted) + lines(&findings).as_str()
        };
        anstream::stdout().lock().write_all(text.as_bytes())?;
        let differs = findings.iter().any(|finding| finding.status == Status::Failed);
        Ok(if differs { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }
}

/// Names the registrations in the settings.
fn heading(wanted: &ExpectedRegistrations) -> String {
    let named = |name: Option<String>| name.unwrap_or_else(|| "not in the settings".to_owned());
    let text = |id: Option<Uuid>| id.map(|id| id.to_string());
    let site = named(text(wanted.site_client_id));
    let api = named(text(wanted.api_client_id).or_else(|| wanted.app_id_uri.clone()));
    format!("Comparing the app registrations of the web site ({site}) and the API ({api}) with these settings\n\n")
}

fn finding(drift: Drift) -> Finding {
    let check = if drift.registration == "site" { SITE } else { API };
    let Drift {
        severity,
        seen,
        expected,
        hint: remedy,
        ..
    } = drift;
    check.finding(match severity {
        Severity::Agrees => CheckResult::ok(seen),
        Severity::Warning => CheckResult::warning(seen, expected, remedy),
        Severity::Differs => CheckResult::failed(seen, expected, remedy),
    })
}
