//! The path of an SQLite file: where its links lead, and the URI by which SQLite opens it.

use std::{
    io,
    path::{Path, PathBuf},
};

/// The longest chain of symbolic links that is followed; the operating system follows no more.
const MAX_LINKS: usize = 40;

/// The file that a path leads to through symbolic links, whether or not that file exists: SQLite creates the file
/// there, and its other files next to it.
///
/// # Errors
/// When the links form a circle.
pub(in crate::db) fn follow_links(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MAX_LINKS {
        let Ok(target) = path.read_link() else { return Ok(path) };
        path = path.parent().unwrap_or(Path::new("/")).join(target);
    }
    Err(io::Error::other("the symbolic link leads back to itself"))
}

/// The [URI](https://www.sqlite.org/uri.html) of an absolute path, with parameters such as `mode=ro`.
///
/// # Errors
/// When the path is not UTF-8.
pub(in crate::db) fn uri(path: &Path, parameters: &str) -> Result<String, &'static str> {
    let name = path.to_str().ok_or("the path is not UTF-8")?;
    // In a URI these three mean something else.
    let escaped = name.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    Ok(format!("file://{escaped}?{parameters}"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn characters_with_a_meaning_in_a_uri_are_escaped() {
        let uri = uri(Path::new("/a folder/b?c#d%e.db"), "mode=ro");
        assert_eq!(uri.as_deref(), Ok("file:///a folder/b%3fc%23d%25e.db?mode=ro"));
    }

    #[test]
    fn links_are_followed_to_a_file_that_need_not_exist() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| folder.path().join(name);
        symlink("second", path("first")).expect("a link");
        symlink("missing.db", path("second")).expect("a link");
        symlink("circle", path("circle")).expect("a link");
        assert_eq!(follow_links(&path("first")).expect("a path"), path("missing.db"));
        assert_eq!(follow_links(&path("plain.db")).expect("a path"), path("plain.db"));
        assert!(follow_links(&path("circle")).is_err());
    }
}
