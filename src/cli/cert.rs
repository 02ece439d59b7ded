//! `blogctl cert`: shows thumbprints, creates a key and a certificate, and checks and renews the configured certificate. Only
//! the renewal sends requests to Entra ID, and only a certificate in Key Vault needs requests to Azure.

mod check;
mod new;
mod passphrase;
mod renew;
mod thumbprint;
mod upload;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::config::Settings;

/// Show, create, check and renew the client certificate of the web site.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  blogctl cert new --out cert --name client
  blogctl cert check cert/client.pem
  blogctl cert renew --wait 30
  blogctl cert thumbprint cert/client-cert.pem
  blogctl cert thumbprint --format x5t-s256 cert/client-cert.pem")]
pub struct CertCommand {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    Thumbprint(thumbprint::Thumbprint),
    New(new::New),
    Check(check::Check),
    Renew(renew::Renew),
}

/// Runs a subcommand. `settings` is called only if the subcommand needs the configured certificate.
///
/// # Errors
/// If a file cannot be read or written, or has the wrong content; errors in the settings.
pub fn run(command: CertCommand, settings: impl FnOnce() -> anyhow::Result<Settings>) -> anyhow::Result<ExitCode> {
    match command.action {
        Action::Thumbprint(thumbprint) => thumbprint.run(settings),
        Action::New(new) => new.run(),
        Action::Check(check) => check.run(settings),
        Action::Renew(renew) => renew.run(settings),
    }
}
