//! Where the database is: what `database.url` may be. Never shows a password.

use std::{
    fmt,
    path::{self, PathBuf},
};

use super::DbError;

/// A parsed `database.url`. `Display` has no password in it.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// A file, as an absolute path.
    Sqlite(PathBuf),
    /// A server.
    Postgres {
        /// For libpq; holds the password.
        url: String,
        /// Host, port and database.
        shown: String,
    },
}

const EXPECTED: &str = "expected a path such as blog.db, sqlite:///blog.db, sqlite:////var/lib/blog.db, or \
                        postgres://user:password@host/database";

impl DatabaseUrl {
    /// Parses a path, `sqlite:…` with SQLAlchemy's slashes (three and a relative path, four for an absolute one),
    /// `postgres://…`, `postgresql://…`, or either with a Python driver's name behind a `+`.
    ///
    /// # Errors
    /// When it is none of these, or SQLite in memory, where each connection would see a database of its own.
    pub fn parse(text: &str) -> Result<Self, DbError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(DbError::Url(format!("it is empty; {EXPECTED}")));
        }
        let Some((scheme, rest)) = split_scheme(text) else {
            return sqlite(text);
        };
        let dialect = scheme.split_once('+').map_or(scheme, |(dialect, _driver)| dialect);
        match dialect.to_ascii_lowercase().as_str() {
            "sqlite" => sqlite_url(rest),
            "postgres" | "postgresql" => postgres(rest),
            // Only the scheme: the rest may hold a password.
            _ => Err(DbError::Url(format!("`{scheme}` is not a database that blogctl knows; {EXPECTED}"))),
        }
    }
}

impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => path.display().fmt(f),
            Self::Postgres { shown, .. } => shown.fmt(f),
        }
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DatabaseUrl({self})")
    }
}

/// The scheme and what follows its colon. `C:\blog.db`, `./a:b` and `blog.db` have none.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let is_scheme = scheme.len() > 1
        && scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    is_scheme.then_some((scheme, rest))
}

fn sqlite_url(rest: &str) -> Result<DatabaseUrl, DbError> {
    if rest.contains('?') || rest.contains('#') {
        return Err(DbError::Url("options after the path of an SQLite file are not supported".to_owned()));
    }
    // Three slashes: an empty host, then the path behind the third.
    let path = match rest.strip_prefix("//") {
        Some(path) => path.strip_prefix('/').unwrap_or(path),
        None => rest,
    };
    sqlite(path)
}

fn sqlite(path: &str) -> Result<DatabaseUrl, DbError> {
    if path.is_empty() || path == ":memory:" {
        return Err(DbError::Url(
            "SQLite in memory would be another database for each connection; give a path such as blog.db".to_owned(),
        ));
    }
    if path.contains('\0') {
        return Err(DbError::Url("a path cannot hold a NUL character".to_owned()));
    }
    // Absolute, so that SQLite can take no name for one of its own `file:` URIs.
    let path = path::absolute(path).map_err(|error| DbError::Url(error.to_string()))?;
    Ok(DatabaseUrl::Sqlite(path))
}

fn postgres(rest: &str) -> Result<DatabaseUrl, DbError> {
    let badly_written = || {
        DbError::Url(
            "it is not a valid PostgreSQL URL; expected postgres://user:password@host:port/database, with special \
             characters of the password percent-encoded"
                .to_owned(),
        )
    };
    let url = match url::Url::parse(&format!("postgresql:{rest}")) {
        // libpq takes a user without a host, for a socket that `?host=/folder` names; `host=` outdoes the host here.
        Err(url::ParseError::EmptyHost) => {
            url::Url::parse(&format!("postgresql:{}", rest.replacen("@/", "@localhost/", 1)))
        }
        parsed => parsed,
    };
    // Not the parser's own message: it may quote part of a password.
    let url = url.map_err(|_| badly_written())?;
    // An unencoded `/`, `?` or `#` in a password moves the `@` behind the host.
    if url.cannot_be_a_base() || url.path().contains('@') || url.query().is_some_and(|query| query.contains('@')) {
        return Err(badly_written());
    }
    if url.fragment().is_some() {
        return Err(badly_written());
    }
    let host = url.host_str().filter(|host| !host.is_empty()).unwrap_or("localhost");
    let port = url.port().map_or(String::new(), |port| format!(":{port}"));
    let shown = format!("postgres://{host}{port}{}", url.path());
    Ok(DatabaseUrl::Postgres { url: url.into(), shown })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sqlite_path(text: &str) -> PathBuf {
        match DatabaseUrl::parse(text).expect(text) {
            DatabaseUrl::Sqlite(path) => path,
            DatabaseUrl::Postgres { .. } => panic!("{text} is a file"),
        }
    }

    #[test]
    fn a_file_is_taken_as_a_path_and_as_a_url() {
        let here = std::env::current_dir().expect("a folder");
        for (text, path) in [
            ("blog.db", here.join("blog.db")),
            ("./data/blog.db", here.join("data/blog.db")),
            ("/var/lib/blog.db", PathBuf::from("/var/lib/blog.db")),
            ("sqlite:///./blog.db", here.join("blog.db")),
            ("sqlite:///blog.db", here.join("blog.db")),
            ("sqlite:////var/lib/blog.db", PathBuf::from("/var/lib/blog.db")),
            ("sqlite://blog.db", here.join("blog.db")),
            ("sqlite:blog.db", here.join("blog.db")),
            ("sqlite+pysqlite:///blog.db", here.join("blog.db")),
            ("a folder/b?c#d.db", here.join("a folder/b?c#d.db")),
        ] {
            assert_eq!(sqlite_path(text), path, "{text}");
        }
    }

    #[test]
    fn a_server_is_taken_with_and_without_a_python_driver() {
        for text in [
            "postgres://blog:s3cret@db.example:5433/blog?sslmode=require",
            "postgresql://blog:s3cret@db.example:5433/blog?sslmode=require",
            "postgresql+psycopg2://blog:s3cret@db.example:5433/blog?sslmode=require",
        ] {
            let DatabaseUrl::Postgres { url, shown } = DatabaseUrl::parse(text).expect(text) else {
                panic!("{text} is a server");
            };
            assert_eq!(url, "postgresql://blog:s3cret@db.example:5433/blog?sslmode=require");
            assert_eq!(shown, "postgres://db.example:5433/blog");
        }
    }

    #[test]
    fn what_cannot_work_is_refused_without_showing_a_password() {
        for text in [
            "",
            "  ",
            ":memory:",
            "sqlite://",
            "sqlite:///",
            "sqlite:///:memory:",
            "sqlite:///blog.db?mode=memory",
            "mysql://blog:s3cret@host/blog",
            "file:blog.db",
            "postgres:blog",
            "postgres://blog:s3cret/more@host/blog",
            "postgres://blog:s3cret@/more@host/blog",
            "postgres://blog:s3cret#more@host/blog",
            "postgres://blog:s3cret?more@host/blog",
            "postgres://blog:123/s3cret@host/blog",
            "postgres://blog:s3cret@host:port/blog",
        ] {
            let message = DatabaseUrl::parse(text).expect_err(text).to_string();
            assert!(message.starts_with("database.url is not understood: "), "{message}");
            assert!(!message.contains("s3cret"), "{message}");
        }
    }

    #[test]
    fn nothing_that_is_shown_holds_a_password() {
        let url = DatabaseUrl::parse("postgres://blog:s3c@ret@host/blog?password=s3cret").expect("a URL");
        assert_eq!(format!("{url} {url:?}"), "postgres://host/blog DatabaseUrl(postgres://host/blog)");
    }
}
