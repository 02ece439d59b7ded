//! `blogctl cert thumbprint`: the thumbprints of a certificate, in each notation that Entra ID uses.

use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
};

use anyhow::anyhow;
use chrono::{DateTime, SecondsFormat, Utc};
use clap::{Args, ValueEnum};
use serde::Serialize;

use crate::{
    certificate::{CertificateDetails, CertificateError, CertificateLocation, certificates_from_settings},
    cli::{error_report::WithHint as _, wrap},
    config::{CertificateSettings, Settings},
    entra::CredentialSource,
};

/// Indent of a value that does not fit next to its label.
const HANG: usize = 4;

/// Show the thumbprints of certificates: SHA-1 as in the portal, and the forms in client assertions
///
/// Files may be PEM (a chain, or together with the private key), DER, or PFX, which client.key_passphrase decrypts. Without a
/// file, shows the configured certificate: client.cert_path or client.cert_base64.
#[derive(Debug, Args)]
pub(super) struct Thumbprint {
    /// PEM, DER or PFX files
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print everything as a JSON array
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Print only this value, one line per certificate
    #[arg(long, value_enum)]
    format: Option<Format>,
}

/// A notation of a thumbprint.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// SHA-1 in hex, as the portal shows it
    Sha1Hex,
    /// SHA-256 in hex
    Sha256Hex,
    /// SHA-1 in base64url, as in the header of older assertions
    X5t,
    /// SHA-256 in base64url, as in the header of assertions
    #[value(name = "x5t-s256")]
    X5tS256,
}

/// A certificate in `--json`. Scripts depend on these names.
#[derive(Serialize)]
struct Report<'a> {
    file: String,
    subject: &'a str,
    issuer: &'a str,
    serial: &'a str,
    key_type: &'a str,
    key_bits: usize,
    not_before: String,
    not_after: String,
    days_left: i64,
    sha1_hex: String,
    sha256_hex: String,
    x5t: String,
    #[serde(rename = "x5t#S256")]
    x5t_s256: String,
    #[serde(rename = "customKeyIdentifier")]
    custom_key_identifier: String,
}

struct Found {
    location: String,
    details: CertificateDetails,
}

impl Thumbprint {
    pub(super) fn run(self, settings: impl FnOnce() -> anyhow::Result<Settings>) -> anyhow::Result<ExitCode> {
        // All files are read before anything is printed, so that a script gets all lines or none.
        let mut found = Vec::new();
        if self.files.is_empty() {
            found.extend(read_all(&settings()?)?);
        } else {
            // Only a PFX file needs the passphrase, so files are read even if the settings are invalid.
            let own = settings()
                .map(|settings| settings.client.certificate)
                .unwrap_or_default();
            for file in self.files {
                found.extend(read(&CertificateSettings {
                    path: Some(file),
                    base64: None,
                    key_path: None,
                    key_base64: None,
                    ..own.clone()
                })?);
            }
        }
        let mut out = io::stdout().lock();
        match (self.json, self.format) {
            (true, _) => write_json(&mut out, &found)?,
            (false, Some(format)) => write_values(&mut out, &found, format)?,
            (false, None) => write_text(&mut out, &found, wrap::stdout_width())?,
        }
        out.flush()?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Reads all certificates in `client.credential`. An entry that cannot be read is logged; it is an error only if there is no
/// other.
fn read_all(settings: &Settings) -> anyhow::Result<Vec<Found>> {
    let sources = CredentialSource::from_settings(settings)?;
    let mut found = Vec::new();
    let mut last = None;
    for source in &sources {
        let location = source.file().map_or_else(
            || CertificateLocation::Vault(source.name().to_owned()),
            CertificateLocation::from_settings,
        );
        match source
            .certificates()
            .and_then(|certificates| parse(&location, certificates))
        {
            Ok(read) => found.extend(read),
            Err(error) => {
                log::warn!("{} cannot be read: {error}; hint: {}", source.name(), error.hint());
                last = Some(error);
            }
        }
    }
    match last {
        _ if !found.is_empty() => Ok(found),
        Some(error) => Err(error.into()),
        None if sources.is_empty() => Err(CertificateError::NotConfigured.into()),
        None => Err(anyhow!("no entry of client.credential is a certificate"))
            .hint("a federated token has no thumbprint; pass the FILE of a certificate"),
    }
}

fn read(settings: &CertificateSettings) -> Result<Vec<Found>, CertificateError> {
    parse(
        &CertificateLocation::from_settings(settings),
        certificates_from_settings(settings)?,
    )
}

fn parse(location: &CertificateLocation, certificates: Vec<Vec<u8>>) -> Result<Vec<Found>, CertificateError> {
    let parse = |der: Vec<u8>| {
        let details = CertificateDetails::from_der(&der);
        let details = details.ok_or_else(|| CertificateError::BadCertificate {
            location: location.clone(),
        })?;
        Ok(Found {
            location: location.to_string(),
            details,
        })
    };
    certificates.into_iter().map(parse).collect()
}

fn write_json(out: &mut impl Write, found: &[Found]) -> anyhow::Result<()> {
    let now = Utc::now();
    let reports: Vec<_> = found.iter().map(|found| report(found, now)).collect();
    serde_json::to_writer_pretty(&mut *out, &reports)?;
    writeln!(out)?;
    Ok(())
}

fn report(found: &Found, now: DateTime<Utc>) -> Report<'_> {
    let details = &found.details;
    let thumbprints = &details.thumbprints;
    let time = |time: DateTime<Utc>| time.to_rfc3339_opts(SecondsFormat::Secs, true);
    Report {
        file: found.location.clone(),
        subject: &details.subject,
        issuer: &details.issuer,
        serial: &details.serial,
        key_type: details.key_type,
        key_bits: details.key_bits,
        not_before: time(details.not_before),
        not_after: time(details.not_after),
        days_left: details.days_left(now),
        sha1_hex: thumbprints.sha1_hex(),
        sha256_hex: thumbprints.sha256_hex(),
        x5t: thumbprints.x5t(),
        x5t_s256: thumbprints.x5t_s256(),
        custom_key_identifier: thumbprints.custom_key_identifier(),
    }
}

fn write_values(out: &mut impl Write, found: &[Found], format: Format) -> io::Result<()> {
    for Found { details, .. } in found {
        let thumbprints = &details.thumbprints;
        let value = match format {
            Format::Sha1Hex => thumbprints.sha1_hex(),
            Format::Sha256Hex => thumbprints.sha256_hex(),
            Format::X5t => thumbprints.x5t(),
            Format::X5tS256 => thumbprints.x5t_s256(),
        };
        writeln!(out, "{value}")?;
    }
    Ok(())
}

fn write_text(out: &mut impl Write, found: &[Found], width: Option<usize>) -> io::Result<()> {
    let now = Utc::now();
    for (n, Found { location, details }) in found.iter().enumerate() {
        if n > 0 {
            writeln!(out)?;
        }
        let thumbprints = &details.thumbprints;
        let expiry = if now > details.not_after { "expired" } else { "expires" };
        writeln!(out, "{location}")?;
        for (label, value) in [
            ("subject", details.subject.clone()),
            ("issuer", details.issuer.clone()),
            ("serial", details.serial.clone()),
            ("key", format!("{} {}", details.key_type, details.key_bits)),
            (
                "valid",
                format!(
                    "{} to {} ({expiry} {})",
                    details.not_before.format("%Y-%m-%d"),
                    details.not_after.format("%Y-%m-%d"),
                    details.relative_expiry(now)
                ),
            ),
            ("SHA-1 (portal)", thumbprints.sha1_hex()),
            ("SHA-256", thumbprints.sha256_hex()),
            ("x5t", thumbprints.x5t()),
            ("x5t#S256", thumbprints.x5t_s256()),
            ("customKeyIdentifier", thumbprints.custom_key_identifier()),
        ] {
            writeln!(out, "{}", wrap::wrap(&format!("  {label:<19}  {value}"), HANG, width))?;
        }
    }
    Ok(())
}
