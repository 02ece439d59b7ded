//! `blogctl entra`: describes the app registrations that the settings need, and compares existing ones. It sends no requests to
//! Entra ID: an administrator runs the commands.

mod diff;
mod manifest;
mod script;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::settings::SettingsArguments;
use crate::{
    config::{Role, Settings},
    registration::ExpectedRegistrations,
    web::Addresses,
};

/// Describe the app registrations in Entra ID that these settings need, and compare existing ones with them
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  blogctl entra manifest --format az > register.sh
  blogctl entra manifest | jq .site.web
  az ad app show --id CLIENT_ID | blogctl entra diff -
  az ad app list --show-mine | blogctl entra diff -")]
pub struct EntraCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Manifest(manifest::Manifest),
    Diff(diff::Diff),
}

/// Runs a subcommand.
///
/// # Errors
/// If settings are invalid, a file cannot be read, or stdout cannot be written.
pub fn run(command: &EntraCommand, settings: &SettingsArguments) -> anyhow::Result<ExitCode> {
    let settings = settings.load(Role::Any, Vec::new())?;
    match &command.action {
        Action::Manifest(manifest) => manifest.run(&settings),
        Action::Diff(diff) => diff.run(&settings),
    }
}

/// The registrations that the settings need. A credential that cannot be read is reported there, and does not prevent the rest.
fn wanted(settings: &Settings) -> anyhow::Result<ExpectedRegistrations> {
    let Addresses {
        public_url,
        redirect_uri,
    } = Addresses::from_settings(settings, settings.client.port)?;
    Ok(ExpectedRegistrations::from_settings(
        settings,
        &public_url,
        &redirect_uri,
    )?)
}
