//! `blogctl cert`: thumbprints of certificates, a new key and certificate, a check and the renewal of the configured ones.
//! Entra ID is asked by the renewal alone, Azure only where a certificate is there.

mod check;
mod new;
mod passphrase;
mod renew;
mod thumbprint;
mod upload;

use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::config::Settings;

/// Show, make, check and renew the certificate that the web site proves itself with.
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

/// Runs one of them. `settings` is asked only where the configured certificate is meant.
///
/// # Errors
/// When a file cannot be read or written, or is not what it should be; the settings' own errors.
pub fn run(command: CertCommand, settings: impl FnOnce() -> anyhow::Result<Settings>) -> anyhow::Result<ExitCode> {
    match command.action {
        Action::Thumbprint(thumbprint) => thumbprint.run(settings),
        Action::New(new) => new.run(),
        Action::Check(check) => check.run(settings),
        Action::Renew(renew) => renew.run(settings),
    }
}
