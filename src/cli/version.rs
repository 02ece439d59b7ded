//! What `blogctl --version` says: the program's version and commit, and the libraries that are linked in, whose versions
//! decide which security advisories concern a binary.

use std::sync::LazyLock;

/// For `--version`, one fact on each line. `-V` shows the first one only.
pub static LONG: LazyLock<String> = LazyLock::new(|| {
    format!(
        "{}\ncommit   {}\nOpenSSL  {}\nSQLite   {}\nlibpq    {}",
        env!("CARGO_PKG_VERSION"),
        env!("BLOGCTL_COMMIT"),
        openssl::version::version().trim_start_matches("OpenSSL "),
        libsqlite3_sys::SQLITE_VERSION.to_string_lossy(),
        env!("BLOGCTL_LIBPQ"),
    )
});
