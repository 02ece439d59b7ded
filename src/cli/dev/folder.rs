//! The folder of `dev`: created, marked, and locked while `dev` runs.
//!
//! Never follows a symbolic link, never changes a folder that `dev` did not create, and never deletes a file that `dev` did not
//! create.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use crate::config::SIGNING_KEYS_FILE;

/// Private key and certificate in one file, mode 0600.
pub const KEY_AND_CERTIFICATE: &str = "client.pem";
/// The certificate that is registered in the emulator.
pub const CERTIFICATE: &str = "client-cert.pem";
/// Key that encrypts the site's cookies, mode 0600.
pub const COOKIE_KEY: &str = "cookie.key";
/// SQLite file with the posts.
pub const DATABASE: &str = "blog.db";

/// The files that `dev` creates and `--fresh` deletes. SQLite adds two files to the database.
const OWN_FILES: [&str; 7] = [
    KEY_AND_CERTIFICATE,
    CERTIFICATE,
    COOKIE_KEY,
    SIGNING_KEYS_FILE,
    DATABASE,
    "blog.db-wal",
    "blog.db-shm",
];

/// File that marks the folder, and is locked while `dev` uses it.
const MARKER: &str = "blogctl-dev.txt";
const MARKER_TEXT: &str = "\
`blogctl dev` created this folder for its key, certificate and posts. They are of no use to any other system:
you can delete the folder at any time, or start over with `blogctl dev --fresh`.
";
/// Keeps the private key out of version control.
const GITIGNORE: &str = ".gitignore";
/// Prefix of the certificates that `serve-idp --tls` stores in the same folder by default.
const IDP_FILES: &str = "idp-";

/// Whether a file is the database in a folder that `dev` created.
pub fn is_database(file: &Path) -> bool {
    file.file_name().is_some_and(|name| name == DATABASE) && file.with_file_name(MARKER).is_file()
}

/// Why the folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    /// Another `dev` uses the folder.
    #[error("another blogctl dev uses the folder {}", .0.display())]
    InUse(PathBuf),
    /// `dev` did not create it.
    #[error("blogctl dev did not create {}", .0.display())]
    Foreign(PathBuf),
    /// It is a symbolic link, or not a folder.
    #[error("{} is a symbolic link or not a folder", .0.display())]
    NotAFolder(PathBuf),
    /// The operating system reports an error.
    #[error("cannot use {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
}

/// The folder, locked until dropped.
pub struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Creates or opens the folder with mode 0700, and locks it.
    ///
    /// # Errors
    /// If `dev` did not create it, it is in use, or it cannot be created.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        let io_error = |source| FolderError::Io {
            path: path.to_owned(),
            source,
        };
        match fs::symlink_metadata(path) {
            Ok(found) if !found.is_dir() => return Err(FolderError::NotAFolder(path.to_owned())),
            Ok(_) if !is_own(path).map_err(io_error)? => return Err(FolderError::Foreign(path.to_owned())),
            Ok(_) => fs::set_permissions(path, Permissions::from_mode(0o700)).map_err(io_error)?,
            Err(_) => DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(path)
                .map_err(io_error)?,
        }
        let marker = path.join(MARKER);
        reject_link(&marker)?;
        let lock = OpenOptions::new()
            .append(true)
            .create(true)
            .open(&marker)
            .map_err(io_error)?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(FolderError::InUse(path.to_owned())),
            Err(TryLockError::Error(source)) => return Err(FolderError::Io { path: marker, source }),
        }
        let folder = Self {
            path: path.to_owned(),
            _lock: lock,
        };
        folder.write_once(MARKER, MARKER_TEXT)?;
        folder.write_once(GITIGNORE, "*\n")?;
        Ok(folder)
    }

    /// The path of the folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The files that `dev` created, and may delete.
    ///
    /// # Errors
    /// If something else has such a name.
    pub fn own_files(&self) -> Result<Vec<PathBuf>, FolderError> {
        let mut found = Vec::new();
        for path in OWN_FILES.map(|name| self.path.join(name)) {
            match fs::symlink_metadata(&path) {
                Ok(metadata) if metadata.is_dir() => return Err(FolderError::Foreign(path)),
                // If it is a symbolic link, the link itself is deleted.
                Ok(_) => found.push(path),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(source) => return Err(FolderError::Io { path, source }),
            }
        }
        Ok(found)
    }

    /// Deletes [`Self::own_files`].
    ///
    /// # Errors
    /// If a file cannot be deleted.
    pub fn delete_own_files(&self) -> Result<(), FolderError> {
        self.own_files()?
            .into_iter()
            .try_for_each(|path| fs::remove_file(&path).map_err(|source| FolderError::Io { path, source }))
    }

    /// Writes a file with mode 0600, unless it exists and is not empty.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn write_once(&self, name: &str, content: &str) -> Result<(), FolderError> {
        let path = self.path.join(name);
        reject_link(&path)?;
        if fs::metadata(&path).is_ok_and(|found| found.len() > 0) {
            return Ok(());
        }
        let written = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&path);
        written
            .and_then(|mut file| file.write_all(content.as_bytes()))
            .map_err(|source| FolderError::Io { path, source })
    }
}

/// Rejects a symbolic link, which may point outside the folder.
fn reject_link(path: &Path) -> Result<(), FolderError> {
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_symlink() => Err(FolderError::Foreign(path.to_owned())),
        _ => Ok(()),
    }
}

/// Whether the folder is empty, has the marker, or contains only files of `serve-idp`.
fn is_own(folder: &Path) -> io::Result<bool> {
    let mut others = 0;
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        if name == MARKER {
            return Ok(true);
        }
        if !name.to_string_lossy().starts_with(IDP_FILES) {
            others += 1;
        }
    }
    Ok(others == 0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("it is there").permissions().mode() & 0o777
    }

    #[test]
    fn the_folder_is_for_its_owner_only() {
        let outer = tempfile::tempdir().expect("a folder");
        let path = outer.path().join("new");
        let folder = Folder::open(&path).expect("made");
        folder.write_once(COOKIE_KEY, "secret").expect("written");
        assert_eq!(mode(&path), 0o700);
        assert_eq!(mode(&path.join(COOKIE_KEY)), 0o600);
        drop(folder);
        fs::set_permissions(&path, Permissions::from_mode(0o755)).expect("set");
        let _again = Folder::open(&path).expect("opened");
        assert_eq!(mode(&path), 0o700);
    }

    #[test]
    fn a_second_dev_in_the_same_folder_is_rejected_until_the_first_ends() {
        let outer = tempfile::tempdir().expect("a folder");
        let first = Folder::open(outer.path()).expect("made");
        assert!(matches!(Folder::open(outer.path()), Err(FolderError::InUse(_))));
        drop(first);
        assert!(Folder::open(outer.path()).is_ok());
    }

    #[test]
    fn a_folder_that_dev_did_not_create_is_not_changed() {
        let outer = tempfile::tempdir().expect("a folder");
        fs::write(outer.path().join("blog.db"), "precious").expect("written");
        fs::set_permissions(outer.path(), Permissions::from_mode(0o755)).expect("set");
        assert!(matches!(Folder::open(outer.path()), Err(FolderError::Foreign(_))));
        assert_eq!(mode(outer.path()), 0o755);
        assert_eq!(fs::read_dir(outer.path()).expect("read").count(), 1);
    }

    #[test]
    fn the_certificates_of_the_identity_provider_do_not_make_it_foreign() {
        let outer = tempfile::tempdir().expect("a folder");
        fs::write(outer.path().join("idp-ca.pem"), "a CA").expect("written");
        assert!(Folder::open(outer.path()).is_ok());
    }

    #[test]
    fn a_symbolic_link_is_not_followed() {
        let outer = tempfile::tempdir().expect("a folder");
        let (real, link) = (outer.path().join("real"), outer.path().join("link"));
        fs::create_dir(&real).expect("made");
        symlink(&real, &link).expect("linked");
        assert!(matches!(Folder::open(&link), Err(FolderError::NotAFolder(_))));
        assert_eq!(fs::read_dir(&real).expect("read").count(), 0);

        let folder = Folder::open(&real).expect("made");
        symlink(outer.path().join("elsewhere"), real.join(COOKIE_KEY)).expect("linked");
        assert!(matches!(
            folder.write_once(COOKIE_KEY, "key"),
            Err(FolderError::Foreign(_))
        ));
        assert!(!outer.path().join("elsewhere").exists());
    }

    #[test]
    fn only_own_files_are_deleted_and_a_link_not_what_it_points_to() {
        let outer = tempfile::tempdir().expect("a folder");
        let precious = outer.path().join("precious");
        fs::write(&precious, "precious").expect("written");
        let path = outer.path().join("dev");
        let folder = Folder::open(&path).expect("made");
        fs::write(path.join("notes.txt"), "mine").expect("written");
        fs::write(path.join(COOKIE_KEY), "key").expect("written");
        symlink(&precious, path.join(DATABASE)).expect("linked");

        folder.delete_own_files().expect("deleted");

        assert_eq!(fs::read_to_string(&precious).expect("still there"), "precious");
        assert!(path.join("notes.txt").exists());
        assert!(fs::symlink_metadata(path.join(DATABASE)).is_err());
        assert!(!path.join(COOKIE_KEY).exists());
    }
}
