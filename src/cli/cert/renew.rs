//! `blogctl cert renew`: creates the next certificate, and switches to it once Entra ID accepts it.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::anyhow;
use clap::Args;

use super::{
    new,
    upload::{CLIENT_ID, write_step},
};
use crate::{
    certificate::{
        self, CertificateDetails, CertificateError, CertificateLocation,
        issue::{IssueError, NewCertificate, Renewal},
    },
    cli::error_report::WithHint as _,
    config::{CertificateSettings, CredentialSettings, Settings},
    entra::{
        ConfidentialClient, Provider, ProviderError,
        aadsts::{APPLICATION_NOT_ASSIGNED, ErrorCategory},
        confidential_client::SignInError,
    },
    web::Addresses,
};

/// Time between two requests to Entra ID while waiting.
const POLL_INTERVAL: Duration = Duration::from_secs(5);
const UNCHANGED: &str = "run blogctl doctor for details; nothing has been changed";

/// Renew the configured certificate: create the next one, and switch when Entra ID accepts it
///
/// The first run creates the next key and certificate (client.next.pem next to client.pem), with the same names and key size,
/// and prints what to upload. A later run requests a token from Entra ID with the next certificate. If Entra ID accepts it, the
/// command switches to it, which a running site notices; otherwise nothing is changed, with exit code 1. The old certificate is
/// kept as client.previous.pem, which replaces an older one, and client-cert.pem becomes the new certificate.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  blogctl cert renew              create the next certificate, and print what to upload
  blogctl cert renew --wait 30    also wait until Entra ID accepts it, then switch")]
pub(super) struct Renew {
    /// Validity in days, 1 to 3650 [default: that of the certificate in use]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=3650))]
    days: Option<u32>,
    /// Wait up to this many minutes until Entra ID accepts the next certificate
    #[arg(long, value_name = "MINUTES", value_parser = clap::value_parser!(u64).range(1..=1440))]
    wait: Option<u64>,
}

/// The answer of Entra ID to the next certificate.
enum Outcome {
    Accepted,
    NotYet(String),
    Unreachable(ProviderError),
}

impl Renew {
    pub(super) fn run(self, settings: impl FnOnce() -> anyhow::Result<Settings>) -> anyhow::Result<ExitCode> {
        let settings = settings()?;
        let (file, path) = renewable(&settings)?;
        let renewal = hinted(Renewal::new(&path, certificate::load_passphrase(&file)?))?;
        let next = renewal.next();
        let client_id = match settings.client.client_id.as_str() {
            "" => CLIENT_ID,
            known => known,
        };
        let mut out = io::stdout().lock();
        if renewal.has_next() {
            hinted(renewal.restore_upload_file())?;
        } else {
            let files = hinted(renewal.create_next(&self.like(&file)?))?;
            new::write_files(&mut out, &files)?;
            writeln!(out, "\nnext:")?;
            write_step(&mut out, 1, &files.certificate, client_id)?;
            writeln!(
                out,
                "     in addition to the old one, which stays until the new one is in use"
            )?;
            if self.wait.is_none() {
                writeln!(
                    out,
                    "  2. run blogctl cert renew again: it switches when Entra ID accepts the new certificate"
                )?;
                out.flush()?;
                return Ok(ExitCode::SUCCESS);
            }
            out.flush()?;
        }
        let candidate = CertificateSettings {
            path: Some(next.combined.clone()),
            thumbprint: None,
            ..file
        };
        if let Some(reason) = self.rejection(&candidate_client(&settings, candidate)?)? {
            writeln!(
                out,
                "Entra ID does not accept {} yet: {reason}",
                next.combined.display()
            )?;
            write_step(&mut out, 1, &next.certificate, client_id)?;
            writeln!(out, "     It can take some minutes. Nothing has been changed.")?;
            out.flush()?;
            return Ok(ExitCode::FAILURE);
        }
        let previous = hinted(renewal.activate_next())?;
        writeln!(
            out,
            "Entra ID accepts the new certificate. It is now in {}, and a running",
            renewal.current().display()
        )?;
        writeln!(
            out,
            "site uses it within a minute. The old one is kept in {}.",
            previous.display()
        )?;
        writeln!(
            out,
            "After a user has signed in with the new certificate (the profile page shows its thumbprint),"
        )?;
        writeln!(
            out,
            "remove the old certificate from the app registration, and delete that file."
        )?;
        out.flush()?;
        Ok(ExitCode::SUCCESS)
    }

    /// Sends requests to Entra ID until it accepts the certificate or the time is over. Returns the last reason.
    fn rejection(&self, client: &ConfidentialClient) -> anyhow::Result<Option<String>> {
        let deadline = Instant::now() + Duration::from_mins(self.wait.unwrap_or(0));
        loop {
            let reason = match (ask(client)?, self.wait) {
                (Outcome::Accepted, _) => return Ok(None),
                (Outcome::NotYet(reason), _) => reason,
                // With --wait, an outage of the network is retried, too.
                (Outcome::Unreachable(error), Some(_)) => error.to_string(),
                (Outcome::Unreachable(error), None) => return Err(error).hint(UNCHANGED),
            };
            if Instant::now() + POLL_INTERVAL > deadline {
                return Ok(Some(reason));
            }
            thread::sleep(POLL_INTERVAL);
        }
    }

    fn like(&self, file: &CertificateSettings) -> anyhow::Result<NewCertificate> {
        let der = certificate::leaf_from_settings(file)?;
        let like = NewCertificate::from_certificate(&der).ok_or_else(|| {
            let issuer = CertificateDetails::from_der(&der).map_or_else(String::new, |details| details.issuer);
            anyhow!(
                "{} is not self-signed: {issuer} issued it",
                CertificateLocation::from_settings(file)
            )
        });
        let like = like.hint("let that authority issue the next one: blogctl cert new --csr creates the request")?;
        Ok(NewCertificate {
            days: self.days.unwrap_or(like.days),
            ..like
        })
    }
}

/// Replaces the hints of `cert new`, which name options that this command does not have.
fn hinted<T>(outcome: Result<T, IssueError>) -> anyhow::Result<T> {
    outcome.or_else(|error| {
        let hint = match &error {
            IssueError::Write { reason, .. } if reason.kind() == io::ErrorKind::PermissionDenied => {
                "run it as the owner of the file, who may write to its folder, or as root"
            }
            _ => "fix that and run the command again: it continues where it stopped",
        };
        Err(error).hint(hint)
    })
}

/// The PEM file with certificate and private key. No other form can be renewed.
fn renewable(settings: &Settings) -> anyhow::Result<(CertificateSettings, PathBuf)> {
    let entries = settings.client.credentials();
    if entries.is_empty() {
        return Err(CertificateError::NotConfigured.into());
    }
    let files = entries.iter().filter_map(|entry| match entry {
        CredentialSettings::File(file) => Some(file),
        _ => None,
    });
    let hint = "create it with blogctl cert new --name, and follow docs/rotate-a-certificate.md";
    let Some(file) = files
        .clone()
        .find(|file| file.path.is_some())
        .or_else(|| files.clone().next())
    else {
        return Err(anyhow!("no entry of client.credential is a file"))
            .hint("Key Vault renews its own certificates, and a federated token needs no renewal");
    };
    let Some(path) = &file.path else {
        return Err(anyhow!(
            "the certificate is in the setting {}, which no command can change",
            CertificateLocation::from_settings(file)
        ))
        .hint(hint);
    };
    if file.key_path.is_some() {
        return Err(anyhow!(
            "key and certificate are in two files, which cannot be replaced in one step"
        ))
        .hint(hint);
    }
    if file.thumbprint.is_some() {
        return Err(anyhow!(
            "client.cert_thumbprint names the certificate in use, so the site would reject the next one"
        ))
        .hint("remove that setting: nothing needs it");
    }
    if !certificate::is_pem_file(path)? {
        return Err(anyhow!("{} is not a PEM file", path.display())).hint(hint);
    }
    Ok((file.clone(), path.clone()))
}

/// The client of Entra ID with the next certificate.
fn candidate_client(settings: &Settings, candidate: CertificateSettings) -> anyhow::Result<ConfidentialClient> {
    let mut settings = settings.clone();
    settings.client.credential.clear();
    settings.client.certificate = candidate;
    let addresses = Addresses::from_settings(&settings, settings.client.port)?;
    let provider = Arc::new(Provider::new(&settings.entra)?);
    match ConfidentialClient::new(provider, &settings, addresses.redirect_uri) {
        Ok(client) => Ok(client),
        Err(SignInError::Credential(error)) => Err(error.into()),
        Err(error) => Err(error).hint(UNCHANGED),
    }
}

/// Requests a token for the application itself from Entra ID.
fn ask(client: &ConfidentialClient) -> anyhow::Result<Outcome> {
    match client.verify_credential() {
        Ok(()) => Ok(Outcome::Accepted),
        Err(SignInError::Entra(error)) if error.code == Some(APPLICATION_NOT_ASSIGNED) => Ok(Outcome::Accepted),
        Err(SignInError::Entra(error)) if error.category() == ErrorCategory::Certificate => {
            Ok(Outcome::NotYet(format!("{} ({})", error.cause(), error.label())))
        }
        Err(SignInError::Provider(error @ ProviderError::Unreachable { .. })) => Ok(Outcome::Unreachable(error)),
        Err(SignInError::Credential(error)) => Err(error.into()),
        Err(error) => Err(error).hint(UNCHANGED),
    }
}
