//! `blogctl cert renew`: the next certificate beside the one in use, and the switch to it when Entra ID accepts it.

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

/// How often Entra ID is asked while waiting.
const ASK_EVERY: Duration = Duration::from_secs(5);
const UNCHANGED: &str = "blogctl doctor says more; nothing has been changed";

/// Renew the configured certificate: make the next one, and switch when Entra ID accepts it
///
/// The first run makes the next key and certificate beside the ones in use (client.next.pem beside client.pem), with the same
/// names and size, and says what to upload. A later run asks Entra ID for a token with the next one. If Entra ID accepts it, it
/// is put in place, which a running site sees by itself; else nothing is changed, with exit code 1. The old one is kept as
/// client.previous.pem, in place of one from before, and client-cert.pem is the new certificate then.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  blogctl cert renew              make the next one, and say what to upload
  blogctl cert renew --wait 30    and wait until Entra ID accepts it, then switch")]
pub(super) struct Renew {
    /// Valid for so many days, 1 to 3650 [default: as long as the one in use]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=3650))]
    days: Option<u32>,
    /// Wait for so many minutes until Entra ID accepts the next one
    #[arg(long, value_name = "MINUTES", value_parser = clap::value_parser!(u64).range(1..=1440))]
    wait: Option<u64>,
}

/// What Entra ID thinks of the next one.
enum Verdict {
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
            writeln!(out, "     beside the old one, which stays until the new one is in use")?;
            if self.wait.is_none() {
                writeln!(
                    out,
                    "  2. blogctl cert renew, again: it switches when Entra ID accepts the new one"
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
        if let Some(reason) = self.refusal(&candidate_client(&settings, candidate)?)? {
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
            "Entra ID accepts the new certificate. It is in {} now, and a running",
            renewal.current().display()
        )?;
        writeln!(
            out,
            "site uses it within a minute. The old one is kept in {}.",
            previous.display()
        )?;
        writeln!(
            out,
            "When the site has signed somebody in with the new one (its profile page shows the thumbprint),"
        )?;
        writeln!(
            out,
            "remove the old one from the app registration, and delete that file."
        )?;
        out.flush()?;
        Ok(ExitCode::SUCCESS)
    }

    /// Asks Entra ID until it accepts or the time is over; the last reason then.
    fn refusal(&self, client: &ConfidentialClient) -> anyhow::Result<Option<String>> {
        let deadline = Instant::now() + Duration::from_mins(self.wait.unwrap_or(0));
        loop {
            let reason = match (ask(client)?, self.wait) {
                (Verdict::Accepted, _) => return Ok(None),
                (Verdict::NotYet(reason), _) => reason,
                // Whoever waits waits for the network, too.
                (Verdict::Unreachable(error), Some(_)) => error.to_string(),
                (Verdict::Unreachable(error), None) => return Err(error).hint(UNCHANGED),
            };
            if Instant::now() + ASK_EVERY > deadline {
                return Ok(Some(reason));
            }
            thread::sleep(ASK_EVERY);
        }
    }

    fn like(&self, file: &CertificateSettings) -> anyhow::Result<NewCertificate> {
        let der = certificate::leaf_from_settings(file)?;
        let like = NewCertificate::from_certificate(&der).ok_or_else(|| {
            let issuer = CertificateDetails::from_der(&der).map_or_else(String::new, |details| details.issuer);
            anyhow!(
                "{} was issued by {issuer}, and is not self-signed",
                CertificateLocation::from_settings(file)
            )
        });
        let like = like.hint("have its authority issue the next one: blogctl cert new --csr makes the request")?;
        Ok(NewCertificate {
            days: self.days.unwrap_or(like.days),
            ..like
        })
    }
}

/// Where there is no option to choose another place, the advice is another than that of `cert new`.
fn hinted<T>(outcome: Result<T, IssueError>) -> anyhow::Result<T> {
    outcome.or_else(|error| {
        let hint = match &error {
            IssueError::Write { reason, .. } if reason.kind() == io::ErrorKind::PermissionDenied => {
                "run it as the owner of the file in use, who may write to its folder, or as root"
            }
            _ => "mend that, and run it again: it goes on where it stopped",
        };
        Err(error).hint(hint)
    })
}

/// The file that can be renewed: PEM, with the key in it.
fn renewable(settings: &Settings) -> anyhow::Result<(CertificateSettings, PathBuf)> {
    let entries = settings.client.credentials();
    if entries.is_empty() {
        return Err(CertificateError::NotConfigured.into());
    }
    let files = entries.iter().filter_map(|entry| match entry {
        CredentialSettings::File(file) => Some(file),
        _ => None,
    });
    let hint = "make it with blogctl cert new --name, and follow docs/rotate-a-certificate.md";
    let Some(file) = files
        .clone()
        .find(|file| file.path.is_some())
        .or_else(|| files.clone().next())
    else {
        return Err(anyhow!("no entry of client.credential is a file"))
            .hint("Key Vault renews its certificates itself, and a federated token needs no renewal");
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
            "key and certificate are two files, which cannot change in one step"
        ))
        .hint(hint);
    }
    if file.thumbprint.is_some() {
        return Err(anyhow!(
            "client.cert_thumbprint names the certificate in use, and would keep the next one out"
        ))
        .hint("leave it unset: nothing needs it");
    }
    if !certificate::is_pem_file(path)? {
        return Err(anyhow!("{} is not a PEM file", path.display())).hint(hint);
    }
    Ok((file.clone(), path.clone()))
}

/// The site, as it will be with the next certificate.
fn candidate_client(settings: &Settings, candidate: CertificateSettings) -> anyhow::Result<ConfidentialClient> {
    let mut settings = settings.clone();
    settings.client.credential.clear();
    settings.client.certificate = candidate;
    let addresses = Addresses::from_settings(&settings.client, settings.client.port)?;
    let provider = Arc::new(Provider::new(&settings.entra)?);
    match ConfidentialClient::new(provider, &settings, addresses.redirect_uri) {
        Ok(client) => Ok(client),
        Err(SignInError::Credential(error)) => Err(error.into()),
        Err(error) => Err(error).hint(UNCHANGED),
    }
}

/// Asks Entra ID for a token of the application itself.
fn ask(client: &ConfidentialClient) -> anyhow::Result<Verdict> {
    match client.verify_credential() {
        Ok(()) => Ok(Verdict::Accepted),
        Err(SignInError::Entra(error)) if error.code == Some(APPLICATION_NOT_ASSIGNED) => Ok(Verdict::Accepted),
        Err(SignInError::Entra(error)) if error.category() == ErrorCategory::Certificate => {
            Ok(Verdict::NotYet(format!("{} ({})", error.cause(), error.label())))
        }
        Err(SignInError::Provider(error @ ProviderError::Unreachable { .. })) => Ok(Verdict::Unreachable(error)),
        Err(SignInError::Credential(error)) => Err(error.into()),
        Err(error) => Err(error).hint(UNCHANGED),
    }
}
