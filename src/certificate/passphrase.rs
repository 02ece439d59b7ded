//! The passphrase of an encrypted private key.

use secrecy::SecretString;

use super::{CertificateError, file};
use crate::config::{CertificateSettings, text_in};

/// Loads the passphrase when it is needed: its file may be unreadable, which matters only for an encrypted key.
pub(super) type Passphrase<'a> = &'a dyn Fn() -> Result<Option<SecretString>, CertificateError>;

/// The passphrase in the settings or in the file that they name, without the line end that editors add.
///
/// # Errors
/// When the file cannot be read or is not text.
pub fn load_passphrase(settings: &CertificateSettings) -> Result<Option<SecretString>, CertificateError> {
    let Some(path) = &settings.key_passphrase_file else {
        return Ok(settings.key_passphrase.clone());
    };
    let text = text_in(&file::read(path)?).ok_or_else(|| CertificateError::NotText {
        location: path.as_path().into(),
    })?;
    Ok(Some(SecretString::from(text.trim_end_matches(['\r', '\n']))))
}
