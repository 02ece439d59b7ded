//! Parses `database.url`. Never shows a password.

use std::{
    fmt,
    path::{self, PathBuf},
};

use percent_encoding::percent_decode_str;

use super::DbError;
use crate::config::DatabaseAddress;

/// A parsed `database.url`. `Display` has no password in it.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// The absolute path of a file.
    Sqlite(PathBuf),
    /// A PostgreSQL server.
    Postgres {
        /// The URL for libpq, with the password.
        url: String,
        /// Host, port and database, for messages.
        shown: String,
    },
}

impl DatabaseUrl {
    /// Parses the forms that [`DatabaseAddress::parse`] accepts, and makes a path absolute.
    ///
    /// # Errors
    /// When the text is neither a path nor a URL of the two databases, or names SQLite in memory, where each connection
    /// would open a separate database.
    pub fn parse(text: &str) -> Result<Self, DbError> {
        match DatabaseAddress::parse(text).map_err(DbError::Url)? {
            DatabaseAddress::Postgres { url, shown, .. } => Ok(Self::Postgres { url, shown }),
            // Absolute, so that SQLite takes no name for a `file:` URI.
            DatabaseAddress::Sqlite(path) => path::absolute(path)
                .map(Self::Sqlite)
                .map_err(|error| DbError::Url(error.to_string())),
        }
    }
}

impl DatabaseUrl {
    /// The URL of a server without passwords, for the command lines of PostgreSQL's programs; `None` for a file.
    pub fn without_password(&self) -> Option<String> {
        let Self::Postgres { url, .. } = self else { return None };
        let (address, query) = url.split_once('?').unwrap_or((url, ""));
        let (scheme, rest) = address.split_once("://").unwrap_or(("postgresql", address));
        let rest = match rest.rsplit_once('@') {
            Some((user_info, hosts)) => {
                let user = user_info.split_once(':').map_or(user_info, |(user, _)| user);
                format!("{user}@{hosts}")
            }
            None => rest.to_owned(),
        };
        let is_secret = |pair: &str| {
            let name = pair.split_once('=').map_or(pair, |(name, _)| name);
            let name = percent_decode_str(name).decode_utf8_lossy();
            ["password", "sslpassword", "oauth_client_secret"].contains(&&*name)
        };
        let query: Vec<_> = query
            .split('&')
            .filter(|pair| !pair.is_empty() && !is_secret(pair))
            .collect();
        let separator = if query.is_empty() { "" } else { "?" };
        Some(format!("{scheme}://{rest}{separator}{}", query.join("&")))
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
            assert!(message.starts_with("database.url is invalid: "), "{message}");
            assert!(!message.contains("s3cret"), "{message}");
        }
    }

    #[test]
    fn the_url_for_other_programs_has_user_and_parameters_but_no_password() {
        for (text, expected) in [
            (
                "postgres://blog:s3c%40ret@h1,h2:5433/blog?sslmode=require&password=s3cret&sslpassword=s3cret",
                Some("postgresql://blog@h1,h2:5433/blog?sslmode=require"),
            ),
            ("postgres://host/blog?p%61ssword=s3cret", Some("postgresql://host/blog")),
            ("blog.db", None),
        ] {
            let url = DatabaseUrl::parse(text).expect(text).without_password();
            assert_eq!(url.as_deref(), expected);
        }
    }

    #[test]
    fn nothing_that_is_shown_holds_a_password() {
        let url = DatabaseUrl::parse("postgres://blog:s3c@ret@host/blog?password=s3cret").expect("a URL");
        assert_eq!(
            format!("{url} {url:?}"),
            "postgres://host/blog DatabaseUrl(postgres://host/blog)"
        );
    }
}
