//! `blogctl openapi`

use std::io::Write as _;

use clap::Args;

use super::settings::SettingsArguments;
use crate::{api::Description, config::Role};

/// Print the description of the API (OpenAPI 3.1, JSON)
///
/// The same that a running API gives at /v1/openapi.json, with the sign-in addresses and limits of these settings. Needs
/// no server, and no setting has to be there.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  blogctl openapi > blog-api.json
  blogctl openapi | jq '.paths | keys'")]
pub struct Arguments {}

/// Prints it.
///
/// # Errors
/// When settings are wrong, or stdout cannot be written.
pub fn run(settings: &SettingsArguments) -> anyhow::Result<()> {
    let settings = settings.load(Role::Any, Vec::new())?;
    let description = Description::new(&settings.api)?;
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(description.json())?;
    stdout.write_all(b"\n")?;
    Ok(())
}
