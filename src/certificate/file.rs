//! Reads a file that may contain a private key.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    path::Path,
    sync::Arc,
};

use zeroize::Zeroizing;

use super::CertificateError;

/// Largest file that is read. A chain of ten certificates with its key has some 20 KiB.
const MAX_BYTES: u64 = 1024 * 1024;

/// The content is wiped when it is dropped. Pipes and devices are not opened, since that could block forever.
pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, CertificateError> {
    let unreadable = |reason: io::Error| CertificateError::Unreadable {
        location: path.into(),
        reason: Arc::new(reason),
    };
    if !fs::metadata(path).map_err(unreadable)?.is_file() {
        return Err(CertificateError::NotAFile { location: path.into() });
    }
    let file = File::open(path).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    if size > MAX_BYTES {
        return Err(CertificateError::TooLarge { location: path.into() });
    }
    // Allocated at full size: a growing buffer would leave copies of the key behind that are never wiped.
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(size).unwrap_or_default() + 1));
    file.take(MAX_BYTES).read_to_end(&mut bytes).map_err(unreadable)?;
    Ok(bytes)
}
