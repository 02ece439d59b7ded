//! Loads a renewed client certificate without a restart, and warns before it expires.

use std::{io, path::PathBuf, sync::Arc};

use crate::{
    certificate::{ExpiryNotifier, ExpirySubject},
    config::{ClientSettings, CredentialSettings},
    entra::ConfidentialClient,
    file_watch::{FileWatch, Occasion},
    metrics::{self, Observation},
};

/// The watch. Dropping it ends the watch.
pub struct CertificateWatch {
    _files: FileWatch,
    _observation: Observation,
}

impl CertificateWatch {
    /// Starts watching on a new thread.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(client: Arc<ConfidentialClient>, settings: &ClientSettings) -> io::Result<Self> {
        let observed = Arc::downgrade(&client);
        let certificates = move || {
            observed
                .upgrade()
                .map(|client| client.certificates())
                .unwrap_or_default()
        };
        let observation = metrics::certificates::observe_client(certificates);
        let mut watch = Watch {
            client,
            expiry: ExpiryNotifier::new(ExpirySubject::ClientCertificate, &settings.expiry_warning_days),
            last_error: None,
        };
        let files = FileWatch::start("certificate-watch", &files(settings), move |occasion| {
            if occasion == Occasion::Check {
                watch.reload();
            }
            watch.warn_of_expiry();
        })?;
        Ok(Self {
            _files: files,
            _observation: observation,
        })
    }
}

struct Watch {
    client: Arc<ConfidentialClient>,
    expiry: ExpiryNotifier,
    /// The error that was logged last, so that it is not logged again each minute.
    last_error: Option<String>,
}

impl Watch {
    fn reload(&mut self) {
        let Err(error) = self.client.reload_credential() else {
            self.last_error = None;
            return;
        };
        let text = error.to_string();
        if self.last_error.as_ref() != Some(&text) {
            log::error!(
                "the certificate cannot be reloaded, the current one stays in use: {text}; hint: {}",
                error.hint()
            );
            self.client.record_unusable(&error);
        }
        self.last_error = Some(text);
    }

    fn warn_of_expiry(&mut self) {
        let credential = self.client.credential();
        let Some(certificate) = credential.certificate() else {
            return;
        };
        if let Some((level, text)) = self.expiry.next_warning(certificate.details(), self.client.now()) {
            log::log!(level, "{text}");
        }
    }
}

/// All files that a certificate in a file consists of.
fn files(settings: &ClientSettings) -> Vec<PathBuf> {
    let of_entry = |entry| match entry {
        CredentialSettings::File(certificate) => certificate.files(),
        _ => Vec::new(),
    };
    settings.credentials().into_iter().flat_map(of_entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::CertificateSettings;

    #[test]
    fn certificate_key_and_passphrase_are_watched() {
        let certificate = CertificateSettings {
            path: Some("client.pem".into()),
            key_path: Some("keys/client.key".into()),
            key_passphrase_file: Some("secrets/passphrase".into()),
            ..CertificateSettings::default()
        };
        let settings = ClientSettings {
            certificate,
            ..ClientSettings::default()
        };
        assert_eq!(
            files(&settings),
            ["client.pem", "keys/client.key", "secrets/passphrase"].map(PathBuf::from)
        );
    }
}
