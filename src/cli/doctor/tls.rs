//! Check: HTTPS of the servers, and the certificate that the site shows to the API.

use chrono::Utc;

use super::{
    DoctorContext,
    finding::{Check, CheckResult},
};
use crate::{
    certificate::{CertificateDetails, Observation, Severity},
    config::CertificateSettings,
    hint::Hint as _,
    tls::{self, LoadedCertificate, Purpose},
    web::Addresses,
};

const EXPECTED: &str = "a valid certificate with its own key";

/// The check, if there is anything to check.
pub fn check(context: &DoctorContext) -> Option<Check> {
    let settings = &context.settings;
    let is_used = settings.server.tls.is_on() || (context.client && settings.client.api_tls_cert_path.is_some());
    is_used.then_some(Check {
        name: "tls",
        title: "TLS",
        settings: &[
            "server.tls.cert_path",
            "server.tls.key_path",
            "server.tls.client_ca",
            "server.tls.acme.directory",
            "client.api_tls_cert_path",
        ],
        after: &[],
        run,
    })
}

fn run(context: &DoctorContext) -> Vec<CheckResult> {
    let settings = &context.settings;
    let (server, mut results) = (&settings.server.tls, Vec::new());
    if server.cert_path.is_some() {
        results.extend(check_files(context, Purpose::Server, &server.certificate()));
    }
    if let Some(directory) = &server.acme.directory {
        results.push(CheckResult::ok(format!(
            "a certificate for {} is obtained from {directory}",
            server.acme.domains.join(", ")
        )));
        results.extend(
            public_host(context)
                .filter(|host| !server.acme.domains.contains(host))
                .map(|host| {
                    CheckResult::failed(
                        format!("server.tls.acme.domains does not contain {host}, the host of client.public_url"),
                        "a certificate for the public URL",
                        "add it to server.tls.acme.domains",
                    )
                }),
        );
    }
    if let Some(files) = settings.client.api_tls_certificate().filter(|_| context.client) {
        results.extend(check_files(context, Purpose::ApiClient, &files));
    }
    results
}

fn check_files(context: &DoctorContext, purpose: Purpose, files: &CertificateSettings) -> Vec<CheckResult> {
    let LoadedCertificate { details, leaf } = match tls::load(&context.settings, purpose, files) {
        Ok(loaded) => loaded,
        Err(error) => {
            let hint = error.hint().unwrap_or_default().into_owned();
            return vec![CheckResult::failed(error.to_string(), EXPECTED, hint)];
        }
    };
    let mut results = vec![describe(&details, purpose, context.settings.client.soon_days())];
    results.extend(
        Observation::for_key_file(files)
            .filter(|mode| mode.severity != Severity::Good)
            .map(|mode| {
                CheckResult::warning(
                    mode.seen,
                    "a key that only the server's account can read or replace",
                    mode.hint.unwrap_or_default(),
                )
            }),
    );
    let is_servers = purpose == Purpose::Server;
    results.extend(
        public_host(context)
            .filter(|host| is_servers && !tls::is_for(&leaf, host))
            .map(|host| {
                CheckResult::warning(
                    format!("the certificate of server.tls.cert_path is not for {host}, the host of client.public_url"),
                    "a certificate for the public URL, unless a proxy connects by another name",
                    format!("have one issued with the alternative name {host}"),
                )
            }),
    );
    results
}

fn describe(details: &CertificateDetails, purpose: Purpose, soon_days: i64) -> CheckResult {
    let now = Utc::now();
    let seen = format!(
        "{}: {}, {} {} bits, expires {} ({})",
        purpose.setting(),
        details.subject,
        details.key_type,
        details.key_bits,
        details.relative_expiry(now),
        details.not_after.format("%Y-%m-%d")
    );
    if details.days_left(now) <= soon_days {
        return CheckResult::warning(
            seen,
            format!("more than {soon_days} days until it expires"),
            "put the renewed certificate and its key into place; the server loads them without a restart",
        );
    }
    CheckResult::ok(seen)
}

/// The host of the site's public URL, if the site is checked.
fn public_host(context: &DoctorContext) -> Option<String> {
    let port = context.settings.client.port;
    let addresses = Addresses::from_settings(&context.settings, port)
        .ok()
        .filter(|_| context.client)?;
    let host = addresses.public_url.host_str()?;
    Some(host.trim_start_matches('[').trim_end_matches(']').to_owned())
}
