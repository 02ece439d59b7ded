//! The key file, with mode 0600: private keys and their certificates, oldest first.

use std::{path::Path, sync::Arc};

use openssl::{pkey::PKey, x509::X509};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{KeyError, MAX_KEYS, SigningKey};
use crate::trusted_file::{self, Readers, TrustedFileError};

/// About 4 KB for each of [`MAX_KEYS`] keys.
const MAX_BYTES: u64 = 256 * 1024;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredKeys {
    keys: Vec<StoredKey>,
}

/// Both in PEM.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredKey {
    private_key: Zeroizing<String>,
    certificate: String,
}

/// Reads the keys; `None` if there is no file.
///
/// # Errors
/// When the file exists, but this program did not write it for this account.
pub(super) fn read(path: &Path) -> Result<Option<Vec<SigningKey>>, KeyError> {
    let unusable = |reason: String| KeyError::File {
        path: path.to_owned(),
        reason,
    };
    let text = match trusted_file::read(path, Readers::OwnerOnly, MAX_BYTES) {
        Ok(text) => Zeroizing::new(text),
        Err(TrustedFileError::NotFound) => return Ok(None),
        // The folder cannot be used: `write` reports that.
        Err(_) if path.symlink_metadata().is_err() => return Ok(None),
        Err(error) => return Err(unusable(error.to_string())),
    };
    // The parser's message may quote the file, which holds private keys.
    let stored: StoredKeys =
        serde_json::from_slice(&text).map_err(|_| unusable("it is not a key file that serve-idp wrote".to_owned()))?;
    if stored.keys.is_empty() || stored.keys.len() > MAX_KEYS {
        return Err(unusable(format!(
            "it holds {} keys instead of 1 to {MAX_KEYS}",
            stored.keys.len()
        )));
    }
    let keys = stored
        .keys
        .iter()
        .map(|key| signing_key(key).map_err(|reason| unusable(reason.to_owned())));
    keys.collect::<Result<_, _>>().map(Some)
}

fn signing_key(stored: &StoredKey) -> Result<SigningKey, &'static str> {
    let key =
        PKey::private_key_from_pem(stored.private_key.as_bytes()).map_err(|_| "a private key in it is not PEM")?;
    let certificate = X509::from_pem(stored.certificate.as_bytes()).map_err(|_| "a certificate in it is not PEM")?;
    if !certificate.public_key().is_ok_and(|public| public.public_eq(&key)) {
        return Err("a private key and its certificate do not belong together");
    }
    SigningKey::new(key, &certificate).map_err(|_| "a private key in it cannot sign RS256")
}

/// Writes the keys and replaces the file.
///
/// # Errors
/// The cause, without the path.
pub(super) fn write(path: &Path, keys: &[Arc<SigningKey>]) -> Result<(), String> {
    let stored = |key: &Arc<SigningKey>| {
        let pem = key
            .private_key
            .private_key_to_pem_pkcs8()
            .map_err(|error| error.to_string())?;
        let private_key = String::from_utf8(pem)
            .map(Zeroizing::new)
            .map_err(|error| error.to_string())?;
        Ok(StoredKey {
            private_key,
            certificate: key.certificate_pem()?,
        })
    };
    let stored = StoredKeys {
        keys: keys.iter().map(stored).collect::<Result<_, String>>()?,
    };
    let text = serde_json::to_vec_pretty(&stored)
        .map(Zeroizing::new)
        .map_err(|error| error.to_string())?;
    trusted_file::replace(path, &text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, Permissions},
        os::unix::fs::{PermissionsExt as _, symlink},
    };

    use super::{super::KeyRing, *};

    fn kids(ring: &KeyRing) -> Vec<String> {
        ring.all().iter().map(|key| key.kid.clone()).collect()
    }

    #[test]
    fn keys_outlive_a_restart_with_every_rotation_and_removal() {
        let folder = tempfile::tempdir().unwrap();
        let file = Some(folder.path().join("keys.json"));
        let first = KeyRing::load(file.clone()).unwrap();
        assert_eq!(kids(&KeyRing::load(file.clone()).unwrap()), kids(&first));
        let new = first.rotate().unwrap();
        let again = KeyRing::load(file.clone()).unwrap();
        assert_eq!(kids(&again), kids(&first));
        assert_eq!(again.current().unwrap().kid, new.kid, "the newest signs");
        assert!(again.remove(&kids(&first)[0]).unwrap());
        assert_eq!(kids(&KeyRing::load(file).unwrap()), std::slice::from_ref(&new.kid));
        assert_eq!(
            fs::metadata(folder.path().join("keys.json"))
                .unwrap()
                .permissions()
                .mode()
                & 0o777,
            0o600
        );
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.json");
        drop(KeyRing::load(Some(path.clone())).unwrap());
        let good = fs::read_to_string(&path).unwrap();
        let other = folder.path().join("other.json");
        drop(KeyRing::load(Some(other.clone())).unwrap());
        let certificate = |text: &str| {
            serde_json::from_str::<StoredKeys>(text)
                .unwrap()
                .keys
                .remove(0)
                .certificate
        };
        let (own, foreign) = (certificate(&good), certificate(&fs::read_to_string(&other).unwrap()));
        let quoted = |pem: &str| serde_json::to_string(pem).unwrap();
        for (content, mode, reason) in [
            (String::new(), 0o600, "it is not a key file that serve-idp wrote"),
            (
                good[..good.len() / 2].to_owned(),
                0o600,
                "it is not a key file that serve-idp wrote",
            ),
            (r#"{"keys":[]}"#.to_owned(), 0o600, "it holds 0 keys instead of 1 to 20"),
            (
                good.replace("BEGIN PRIVATE", "BEGIN PRIVATE PRIVATE"),
                0o600,
                "a private key in it is not PEM",
            ),
            (
                good.replace(&quoted(&own), "\"x\""),
                0o600,
                "a certificate in it is not PEM",
            ),
            (
                good.replace(&quoted(&own), &quoted(&foreign)),
                0o600,
                "a private key and its certificate do not belong together",
            ),
            (good.clone(), 0o640, "other users may read it (mode 0640): chmod 600"),
        ] {
            fs::write(&path, &content).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let error = KeyRing::load(Some(path.clone())).err().expect(reason).to_string();
            assert!(
                error.contains(&path.display().to_string()) && error.contains(reason),
                "{error}"
            );
            assert!(!error.contains("PRIVATE KEY-----"), "{error}");
            assert_eq!(fs::read_to_string(&path).unwrap(), content, "{reason}");
        }
        fs::remove_file(&path).unwrap();
        symlink(&other, &path).unwrap();
        assert!(
            KeyRing::load(Some(path))
                .err()
                .unwrap()
                .to_string()
                .contains("symbolic link")
        );
    }

    #[test]
    fn many_rotations_leave_the_newest_keys() {
        let folder = tempfile::tempdir().unwrap();
        let file = Some(folder.path().join("keys.json"));
        let ring = KeyRing::load(file.clone()).unwrap();
        for _ in 0..MAX_KEYS {
            ring.rotate().unwrap();
        }
        assert_eq!(ring.all().len(), MAX_KEYS);
        assert_eq!(kids(&KeyRing::load(file).unwrap()), kids(&ring));
    }

    #[test]
    fn without_a_folder_to_write_to_the_keys_are_in_memory_only() {
        let ring = KeyRing::load(Some("/proc/blogctl/keys.json".into())).unwrap();
        assert_eq!(ring.all().len(), 1);
    }
}
