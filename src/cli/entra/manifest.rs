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
/// As JSON for Microsoft Graph, or as a script of az commands that creates them and prints the resulting settings. The script
/// contains certificates without their private keys, and no secrets.
#[derive(Debug, Args)]
pub(super) struct Manifest {
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Json)]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// An object {api, site} of Microsoft Graph applications
    Json,
    /// A shell script that creates both
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

/// Notes about what is not a member of an application in Graph, and what is not known yet. The script does these steps, or
/// describes them in comments.
fn notes(wanted: &ExpectedRegistrations) -> String {
    let unknown = if wanted.api_client_id.is_none() {
        format!("note: after you register the API, replace {UNKNOWN_API} with its client ID; --format az does so\n")
    } else {
        String::new()
    };
    let note = |proof: &ExpectedCredential| match proof {
        ExpectedCredential::Certificate { details, .. } if details.not_after < Utc::now() => {
            format!("note: the certificate {} has expired and is omitted\n", details.subject)
        }
        ExpectedCredential::Certificate { .. } => String::new(),
        ExpectedCredential::Federated { name, .. } => {
            format!(
                "note: {name} needs a federated credential, which is created separately: --format az has the command\n"
            )
        }
        ExpectedCredential::Unreadable { name, reason, hint } => {
            format!("note: {name} is omitted: {reason}\n  hint: {hint}\n")
        }
    };
    unknown + wanted.credentials.iter().map(note).collect::<String>().as_str()
}
