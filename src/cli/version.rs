//! The output of `blogctl --version`: version and commit of the program, and the versions of linked libraries, which decide
//! which security advisories affect a binary.

use std::sync::LazyLock;

/// For `--version`, one fact per line. `-V` prints only the first.
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
