//! The path of an SQLite file: where its links lead, and the URI by which SQLite opens it.

use std::{
    io,
    path::{Path, PathBuf},
};

/// The longest chain of symbolic links that is followed; the operating system follows no more.
const MAX_LINKS: usize = 40;

/// The file that a path leads to through symbolic links, whether or not that file exists: SQLite creates the file there,
/// and its other files beside it.
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
