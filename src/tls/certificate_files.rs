//! A server's certificate in files: loaded at start, and again when the files change.

use std::path::PathBuf;

use chrono::Utc;

use super::{
    error::{Purpose, TlsError},
    installation::Installation,
    report::report,
};
use crate::{
    certificate::{ExpiryNotifier, ExpirySubject, TlsIdentity},
    config::CertificateSettings,
    file_watch::{FileWatch, Occasion},
};

/// Reads and checks the files.
///
/// # Errors
/// When certificate or key cannot be used.
pub(super) fn load(files: &CertificateSettings, purpose: Purpose) -> Result<TlsIdentity, TlsError> {
    TlsIdentity::load(files, Utc::now()).map_err(|source| TlsError::Certificate { purpose, source })
}

/// Reloads the files when they change, and warns before the certificate expires.
///
/// # Errors
/// When the system starts no thread.
pub(super) fn watch(
    files: CertificateSettings,
    mut installation: Installation,
    warning_days: &[u32],
) -> Result<FileWatch, TlsError> {
    let watched: Vec<PathBuf> = files
        .files()
        .into_iter()
        .chain(installation.client_ca().cloned())
        .collect();
    let mut expiry = ExpiryNotifier::new(ExpirySubject::ServerCertificate, warning_days);
    let mut last_errors = (None, None);
    FileWatch::start("tls-certificate-watch", &watched, move |occasion| {
        if occasion == Occasion::Check {
            // On an error, such as half of a new pair, the current certificate stays in use.
            let loaded = load(&files, Purpose::Server).and_then(|identity| installation.install(identity));
            let reported = [
                report(loaded.err(), &mut last_errors.0),
                report(installation.reload_client_cas().err(), &mut last_errors.1),
            ];
            if reported.contains(&true) {
                installation.count_failure();
            }
        }
        if let Some(details) = installation.served().details()
            && let Some((level, text)) = expiry.next_warning(&details, Utc::now())
        {
            log::log!(level, "{text}");
        }
    })
    .map_err(TlsError::Threads)
}
