//! `blogctl openapi`

use std::io::Write as _;

use clap::Args;

use super::settings::SettingsArguments;
use crate::{api::Description, config::Role};

/// Print the OpenAPI 3.1 description of the API as JSON
///
/// A running API serves the same description at /v1/openapi.json, with the sign-in URLs and limits of these settings. This
/// command needs no server, and requires no settings.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  blogctl openapi > blog-api.json
  blogctl openapi | jq '.paths | keys'")]
pub struct Arguments {}

/// Prints the description.
///
/// # Errors
/// If settings are invalid, or stdout cannot be written.
pub fn run(settings: &SettingsArguments) -> anyhow::Result<()> {
    let settings = settings.load(Role::Any, Vec::new())?;
    let description = Description::new(&settings.api)?;
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(description.json())?;
    stdout.write_all(b"\n")?;
    Ok(())
}
