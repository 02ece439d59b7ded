//! `blogctl entra manifest`

use std::{io::Write as _, process::ExitCode};

use chrono::Utc;
use clap::{Args, ValueEnum};
use serde_json::json;

use super::script::script;
use crate::{
    config::Settings,
    registration::{ExpectedCredential, ExpectedRegistrations, UNKNOWN_API, describe},
};

/// Print the two app registrations that these settings need
///
/// As Microsoft Graph JSON, or as a script of az commands that makes them and prints the settings that follow. The
/// script holds certificates without their keys; nothing in it is secret.
#[derive(Debug, Args)]
pub(super) struct Manifest {
    /// What to print
    #[arg(long, value_enum, default_value_t = Format::Json)]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// An object {api, site} of Microsoft Graph applications
    Json,
    /// A shell script that makes both
    Az,
}

impl Manifest {
    pub(super) fn run(&self, settings: &Settings) -> anyhow::Result<ExitCode> {
        let wanted = super::wanted(settings)?;
        let (api, site) = describe(&wanted);
        let text = match self.format {
            Format::Json => {
                anstream::stderr().lock().write_all(notes(&wanted).as_bytes())?;
                serde_json::to_string_pretty(&json!({ "api": api, "site": site }))? + "\n"
            }
            Format::Az => script(&wanted, api, site)?,
        };
        anstream::stdout().lock().write_all(text.as_bytes())?;
        Ok(ExitCode::SUCCESS)
    }
}

/// What Graph takes in other ways than as members of an application, and what cannot be known yet; the script sees to it, or has
/// it as comments.
fn notes(wanted: &ExpectedRegistrations) -> String {
    let unknown = if wanted.api_client_id.is_none() {
        format!(
            "note: put the API's client id in the place of {UNKNOWN_API} when the API is registered; --format az does so\n"
        )
    } else {
        String::new()
    };
    let note = |credential: &ExpectedCredential| match credential {
        ExpectedCredential::Certificate { details, .. } if details.not_after < Utc::now() => {
            format!(
                "note: the certificate {} has expired, and is left out\n",
                details.subject
            )
        }
        ExpectedCredential::Certificate { .. } => String::new(),
        ExpectedCredential::Federated { name, .. } => {
            format!("note: {name} needs a federated credential, which is made apart: --format az has the command\n")
        }
        ExpectedCredential::Unreadable { name, reason, hint } => {
            format!("note: {name} is left out: {reason}\n  hint: {hint}\n")
        }
    };
    unknown + wanted.credentials.iter().map(note).collect::<String>().as_str()
}
