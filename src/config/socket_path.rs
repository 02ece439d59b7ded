//! The rule of `api.socket_path` and `client.socket_path`.

use std::{
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

use super::{loader::Loader, rules::optional};

/// Longest path of a Unix socket in bytes: Linux has room for 108 with the zero at its end, other systems for 104.
pub const MAX_SOCKET_PATH_BYTES: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

const A_SOCKET_PATH: &str = "the path of a Unix socket such as /run/blogctl/api.sock, at most 107 bytes long (elsewhere than \
                             on Linux 103), without unix: before it";

/// Reads the setting.
pub fn socket_path(loader: &mut Loader, name: &'static str, default: Option<PathBuf>) -> Option<PathBuf> {
    optional(A_SOCKET_PATH, is_socket_path)(loader, name, default)
}

fn is_socket_path(path: &Path) -> bool {
    let bytes = path.as_os_str().as_bytes();
    // `@name` is how systemd and socat write an abstract socket, which has no file permissions.
    let is_abstract = bytes.starts_with(b"@");
    let is_url = bytes.starts_with(b"unix:") || bytes.starts_with(b"http:") || bytes.starts_with(b"http+unix:");
    !is_abstract && !is_url && !bytes.ends_with(b"/") && !bytes.contains(&0) && bytes.len() <= MAX_SOCKET_PATH_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_that_the_system_takes_is_accepted_and_urls_and_abstract_names_are_not() {
        let longest = format!("/{}", "a".repeat(MAX_SOCKET_PATH_BYTES - 1));
        for good in ["/run/blogctl/api.sock", "api.sock", "./run/api.sock", &longest] {
            assert!(is_socket_path(Path::new(good)), "{good}");
        }
        let too_long = format!("{longest}a");
        for bad in [
            "@blogctl",
            "unix:/run/api.sock",
            "http+unix://run",
            "/run/",
            "/run/a\0b",
            &too_long,
        ] {
            assert!(!is_socket_path(Path::new(bad)), "{bad}");
        }
    }
}
