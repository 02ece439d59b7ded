//! Creates the file of a Unix socket, replaces one that a stopped process left behind, and removes it at the end.
//!
//! A process that is killed cannot remove its socket, and a socket that exists cannot be bound again. Only a socket that no
//! process listens on is replaced; any other file stays, whatever it is.

use std::{
    fs, io,
    os::unix::{
        fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _},
        net::UnixListener,
    },
    path::{Path, PathBuf},
};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen as start_listening, socket_with,
    },
};

use super::socket::BACKLOG;

/// Why the server cannot listen on a Unix socket.
#[derive(Debug, thiserror::Error)]
pub enum UnixSocketError {
    /// Another process accepts connections there.
    #[error("another process listens on the Unix socket {}", .0.display())]
    InUse(PathBuf),
    /// The path leads to something else: a file, a folder, or a symbolic link.
    #[error("{} is not a Unix socket, but {kind}, so it is not replaced", path.display())]
    NotASocket {
        /// The configured path.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// The folder of the socket does not exist.
    #[error("the folder of the Unix socket {} does not exist", .0.display())]
    NoFolder(PathBuf),
    /// The path is longer than the system accepts.
    #[error("the path of the Unix socket is too long for the system: {}", .0.display())]
    TooLong(PathBuf),
    /// Any other error.
    #[error("cannot listen on the Unix socket {}: {source}", path.display())]
    Other {
        /// The configured path.
        path: PathBuf,
        /// The system's error.
        source: io::Error,
    },
}

impl UnixSocketError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::InUse(_) => "stop that process, or choose another path (the setting socket_path)",
            Self::NotASocket { .. } => "choose another path (the setting socket_path), or remove it yourself",
            Self::NoFolder(_) => "create the folder, such as with RuntimeDirectory= in a systemd unit",
            Self::TooLong(_) => "choose a shorter path (the setting socket_path)",
            Self::Other { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                "let this account write to the folder of the socket"
            }
            Self::Other { .. } => return None,
        };
        Some(hint.to_owned())
    }
}

/// The file of a socket that this process has created. It is removed when dropped, unless it has been replaced.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|identity| identity == self.identity)
            && let Err(error) = fs::remove_file(&self.path)
        {
            log::warn!("cannot remove the Unix socket {}: {error}", self.path.display());
        }
    }
}

/// Creates the socket with this mode, and listens.
///
/// # Errors
/// See [`UnixSocketError`].
pub fn listen(path: &Path, mode: u32) -> Result<(UnixListener, SocketFile), UnixSocketError> {
    let other = |source: io::Error| UnixSocketError::Other {
        path: path.to_owned(),
        source,
    };
    // Absolute, because it is removed at the end, from whatever folder is the working directory then.
    let path = &std::path::absolute(path).map_err(other)?;
    let address = SocketAddrUnix::new(path).map_err(|error| match error {
        Errno::NAMETOOLONG => UnixSocketError::TooLong(path.clone()),
        error => other(error.into()),
    })?;
    remove_stale(path, &address)?;
    let flags = SocketFlags::CLOEXEC;
    let socket =
        socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).map_err(|error| other(error.into()))?;
    bind(&socket, &address).map_err(|error| match error {
        Errno::NOENT => UnixSocketError::NoFolder(path.clone()),
        Errno::ADDRINUSE => UnixSocketError::InUse(path.clone()),
        error => other(error.into()),
    })?;
    let file = SocketFile {
        path: path.clone(),
        identity: identity(path).map_err(other)?,
    };
    // The system refuses connections until the socket listens, so that none comes in before the mode is set.
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(other)?;
    start_listening(&socket, BACKLOG).map_err(|error| other(error.into()))?;
    Ok((socket.into(), file))
}

/// Removes a socket that no process listens on.
fn remove_stale(path: &Path, address: &SocketAddrUnix) -> Result<(), UnixSocketError> {
    let other = |source: io::Error| UnixSocketError::Other {
        path: path.to_owned(),
        source,
    };
    let file_type = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata.file_type(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(other(error)),
    };
    if !file_type.is_socket() {
        let kind = match file_type {
            kind if kind.is_symlink() => "a symbolic link",
            kind if kind.is_dir() => "a folder",
            kind if kind.is_file() => "a file",
            _ => "a device or a pipe",
        };
        return Err(UnixSocketError::NotASocket {
            path: path.to_owned(),
            kind,
        });
    }
    // Without waiting: a process whose queue is full is alive.
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket =
        socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None).map_err(|error| other(error.into()))?;
    match connect(&socket, address) {
        Ok(()) | Err(Errno::AGAIN | Errno::INPROGRESS | Errno::PROTOTYPE) => {
            Err(UnixSocketError::InUse(path.to_owned()))
        }
        Err(Errno::CONNREFUSED) => {
            log::info!(
                "replacing the Unix socket {}, which a stopped process left behind",
                path.display()
            );
            fs::remove_file(path).map_err(other)
        }
        // Removed since.
        Err(Errno::NOENT) => Ok(()),
        Err(error) => Err(other(error.into())),
    }
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixDatagram, UnixStream};

    use super::*;

    fn folder() -> tempfile::TempDir {
        tempfile::tempdir().expect("a folder")
    }

    #[test]
    fn a_socket_has_its_mode_and_is_removed_when_dropped() {
        let folder = folder();
        let path = folder.path().join("a.sock");
        for mode in [0o600, 0o660, 0o666] {
            let (socket, file) = listen(&path, mode).expect("a socket");
            let permissions = fs::metadata(&path).expect("it exists").permissions();
            assert_eq!(permissions.mode() & 0o777, mode);
            UnixStream::connect(&path).expect("it listens");
            drop((socket, file));
            assert!(!path.exists());
        }
    }

    #[test]
    fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
        let folder = folder();
        let path = folder.path().join("a.sock");
        let live = UnixListener::bind(&path).expect("a socket");
        let error = listen(&path, 0o660).expect_err("in use");
        assert!(matches!(error, UnixSocketError::InUse(_)), "{error}");
        UnixStream::connect(&path).expect("the other one still listens");
        drop(live);
        assert!(path.exists(), "as after kill -9");
        let (_socket, _file) = listen(&path, 0o660).expect("it replaces the stale one");
        UnixStream::connect(&path).expect("it listens");
    }

    #[test]
    fn a_live_socket_with_a_full_queue_is_not_replaced() {
        let folder = folder();
        let path = folder.path().join("a.sock");
        let socket =
            socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None).expect("a socket");
        let address = SocketAddrUnix::new(&path).expect("an address");
        bind(&socket, &address).expect("bound");
        start_listening(&socket, 0).expect("listens");
        let _waiting = UnixStream::connect(&path).expect("the queue has room for one");
        let error = listen(&path, 0o660).expect_err("in use");
        assert!(matches!(error, UnixSocketError::InUse(_)), "{error}");
    }

    #[test]
    fn what_is_not_a_socket_of_a_server_stays_as_it_is() {
        let folder = folder();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("file"), "content").expect("a file");
        fs::create_dir(path("folder")).expect("a folder");
        let target = UnixListener::bind(path("target")).expect("a socket");
        drop(target);
        std::os::unix::fs::symlink(path("target"), path("link")).expect("a link");
        let datagrams = UnixDatagram::bind(path("datagrams")).expect("a socket");
        for (name, expected) in [
            ("file", "is not a Unix socket, but a file"),
            ("folder", "is not a Unix socket, but a folder"),
            ("link", "is not a Unix socket, but a symbolic link"),
            ("datagrams", "another process listens"),
            ("missing/a.sock", "the folder of the Unix socket"),
        ] {
            let error = listen(&path(name), 0o660).expect_err(name).to_string();
            assert!(error.contains(expected), "{name}: {error}");
        }
        assert_eq!(fs::read_to_string(path("file")).expect("the file"), "content");
        assert!(path("target").exists() && path("link").is_symlink() && path("folder").is_dir());
        drop(datagrams);
    }

    #[test]
    fn a_path_that_is_too_long_is_reported() {
        let folder = folder();
        let error = listen(&folder.path().join("a".repeat(100)), 0o660).expect_err("too long");
        assert!(matches!(error, UnixSocketError::TooLong(_)), "{error}");
    }

    #[test]
    fn a_socket_that_another_process_has_put_in_its_place_is_not_removed() {
        let folder = folder();
        let path = folder.path().join("a.sock");
        let (socket, file) = listen(&path, 0o660).expect("a socket");
        fs::rename(&path, folder.path().join("old.sock")).expect("renamed");
        let _other = UnixListener::bind(&path).expect("another one");
        drop((socket, file));
        UnixStream::connect(&path).expect("the other one is still there");
    }
}
