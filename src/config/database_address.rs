//! Parses `database.url`: the path of a file, or the address of a server in any form that libpq and Python's libraries accept.
//! No part of an invalid value is ever shown: it may be or contain a password.

mod conninfo;
mod parameters;
mod server;
mod url;

use super::{redact::HIDDEN, secret_text::secret_kind};
use server::{FORMS, Server};

/// The address of the database.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseAddress {
    /// The path of an SQLite file, as written in the setting.
    Sqlite(String),
    /// A PostgreSQL server.
    Postgres {
        /// For libpq; contains the password.
        url: String,
        /// Hosts, ports and database.
        shown: String,
        /// The same with the user, and with asterisks instead of secrets.
        redacted: String,
        /// Whether the URL contains a password.
        has_password: bool,
        /// Whether the URL names the user.
        has_user: bool,
        /// Whether only the named server can receive a password: its certificate is verified, or it is on this machine.
        is_verified: bool,
    },
}

impl DatabaseAddress {
    /// Parses a path, `sqlite:…` with SQLAlchemy's slashes, `postgres://…` with one host or several, or libpq's
    /// `host=… dbname=…`. The scheme may end with `+` and the name of a Python driver. Blanks and quotation marks around the value
    /// are ignored.
    ///
    /// # Errors
    /// Says what the value seems to be and what is accepted, without repeating any part of it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = unquoted(text);
        if text.is_empty() {
            return Err(format!("it is empty; {FORMS}"));
        }
        if text.contains("-----BEGIN") || text.len() > 4096 || text.starts_with("eyJ") {
            return Err(format!("it looks like a key, a certificate or a token; {FORMS}"));
        }
        if text.contains(char::is_control) {
            return Err(format!(
                "it contains a line break or another control character; {FORMS}"
            ));
        }
        if let Some((scheme, rest)) = split_scheme(text) {
            return with_scheme(&scheme.to_ascii_lowercase(), rest);
        }
        let lower = text.to_ascii_lowercase();
        if text.contains("://")
            || ["postgres", "postgresql", "sqlite"]
                .iter()
                .any(|name| has_lost_its_colon(&lower, name))
        {
            return Err(format!(
                "it is an incomplete URL, for example without the colon before //; {FORMS}"
            ));
        }
        if conninfo::is_conninfo(text) {
            return conninfo::parse(text).map(Self::from);
        }
        // A file with such a name needs its folder in front: `./a;b.db`.
        let is_on_a_drive =
            text.starts_with(|first: char| first.is_ascii_alphabetic()) && matches!(text.get(1..3), Some(":\\" | ":/"));
        let is_plainly_a_path = text.starts_with(['/', '.', '\\']) || (is_on_a_drive && !text.contains('@'));
        let has_assignment = text.contains('=') && text.contains([';', ',']);
        let has_secret = ["password", "pwd=", "accountkey"]
            .iter()
            .any(|word| lower.contains(word));
        if has_secret || (has_assignment && !is_plainly_a_path) {
            return Err(format!(
                "it is a connection string of another program (ADO.NET, ODBC or Redis); {FORMS}"
            ));
        }
        let has_extension = [".db", ".db3", ".sqlite", ".sqlite3"]
            .iter()
            .any(|extension| lower.ends_with(extension));
        let kind = secret_kind(text);
        if kind.is_some_and(|kind| kind.is_certain() || !(is_plainly_a_path || has_extension)) {
            return Err(format!(
                "it looks like a secret (write ./ before the name of such a file); {FORMS}"
            ));
        }
        // Placeholders of templates, and characters that only connection strings and commands contain.
        let is_odd =
            text.contains([';', '@', '=', '*', '<', '>', '|', '{', '}', '$', '"']) || text.get(1..2) == Some(":");
        if is_odd && !is_plainly_a_path {
            return Err(format!(
                "it is neither a path nor a URL (write ./ before the name of such a file); {FORMS}"
            ));
        }
        sqlite(text)
    }

    /// The address for messages, without secrets. An invalid value is hidden completely.
    pub fn redact(text: &str) -> String {
        match Self::parse(text) {
            Ok(Self::Sqlite(_)) => text.to_owned(),
            Ok(Self::Postgres { redacted, .. }) => redacted,
            Err(_) => HIDDEN.to_owned(),
        }
    }
}

impl From<Server> for DatabaseAddress {
    fn from(server: Server) -> Self {
        let Server {
            url,
            shown,
            redacted,
            has_password,
            has_user,
            is_verified,
        } = server;
        Self::Postgres {
            url,
            shown,
            redacted,
            has_password,
            has_user,
            is_verified,
        }
    }
}

/// Removes blanks, invisible characters and one pair of quotation marks around the text.
fn unquoted(text: &str) -> &str {
    let blank = |c: char| c.is_whitespace() || matches!(c, '\u{feff}' | '\u{200b}'..='\u{200d}' | '\u{2060}');
    let text = text.trim_matches(blank);
    let without = |quote| text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
    without('"')
        .or_else(|| without('\''))
        .or_else(|| without('`'))
        .unwrap_or(text)
        .trim_matches(blank)
}

/// Splits off the scheme. `C:\blog.db`, `./a:b` and `blog.db` have none.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let is_scheme = scheme.len() > 1
        && scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-._".contains(c));
    is_scheme.then_some((scheme, rest))
}

/// Whether the text is a URL without its colon: `postgres//…`, `postgres/…@…`, `postgres@…`.
fn has_lost_its_colon(text: &str, scheme: &str) -> bool {
    let rest = text
        .strip_prefix(scheme)
        .map(|rest| rest.trim_start_matches(|c: char| c == '+' || c.is_ascii_alphanumeric()));
    rest.is_some_and(|rest| {
        rest.starts_with("//") || rest.starts_with("\\\\") || (rest.starts_with(['/', '@']) && rest.contains('@'))
    })
}

fn with_scheme(scheme: &str, rest: &str) -> Result<DatabaseAddress, String> {
    let dialect = scheme.split_once('+').map_or(scheme, |(dialect, _driver)| dialect);
    match dialect {
        "sqlite" | "sqlite3" => sqlite_url(rest),
        "postgres" | "postgresql" => match rest.strip_prefix("//") {
            Some(rest) => url::parse(rest).map(DatabaseAddress::from),
            None => Err(format!(
                "it is a PostgreSQL URL with a missing slash after the colon; {FORMS}"
            )),
        },
        "jdbc" => Err(format!("it is a Java URL (JDBC); {FORMS}")),
        "redis" | "rediss" => Err(format!(
            "it is the address of a Redis, which belongs in redis.url (BLOG_REDIS__URL); {FORMS}"
        )),
        "mysql" | "mariadb" | "mssql" | "sqlserver" | "oracle" | "mongodb" | "cockroachdb" | "http" | "https"
        | "file" => Err(format!("{dialect} is not a supported database; {FORMS}")),
        // The scheme is not shown, either: it may be a user name, and the rest a password.
        _ => Err(format!("it begins like a URL with an unsupported scheme; {FORMS}")),
    }
}

fn sqlite_url(rest: &str) -> Result<DatabaseAddress, String> {
    if rest.contains('?') || rest.contains('#') {
        return Err("options after the path of an SQLite file are not supported".to_owned());
    }
    // Three slashes: an empty host, then the path after the third slash.
    let path = match rest.strip_prefix("//") {
        Some(path) => path.strip_prefix('/').unwrap_or(path),
        None => rest,
    };
    sqlite(path)
}

fn sqlite(path: &str) -> Result<DatabaseAddress, String> {
    if path.is_empty() || path == ":memory:" {
        return Err(
            "SQLite in memory would be a separate database for each connection; use a path such as blog.db".to_owned(),
        );
    }
    Ok(DatabaseAddress::Sqlite(path.to_owned()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn server(text: &str) -> (String, String, String) {
        match DatabaseAddress::parse(text).expect(text) {
            DatabaseAddress::Postgres {
                url, shown, redacted, ..
            } => (url, shown, redacted),
            DatabaseAddress::Sqlite(path) => panic!("{text} is the file {path}"),
        }
    }

    #[test]
    fn a_server_is_understood_as_libpq_and_pythons_libraries_do() {
        for (text, url, shown) in [
            ("postgres://u:p@h/b", "postgresql://u:p@h/b", "postgres://h/b"),
            (
                "POSTGRESQL://u:p@h:5433/b",
                "postgresql://u:p@h:5433/b",
                "postgres://h:5433/b",
            ),
            ("  \"postgres://u:p@h/b\" \n", "postgresql://u:p@h/b", "postgres://h/b"),
            (
                "'postgresql+asyncpg://u:p@h/b?ssl=require'",
                "postgresql://u:p@h/b?sslmode=require",
                "postgres://h/b",
            ),
            (
                "postgres://u:p@h1,h2:5433/b",
                "postgresql://u:p@h1,h2:5433/b",
                "postgres://h1,h2:5433/b",
            ),
            (
                "postgres://u:p@[::1]:5433,h/b",
                "postgresql://u:p@[::1]:5433,h/b",
                "postgres://[::1]:5433,h/b",
            ),
            (
                "postgres://u:p%40%2F%@h/b",
                "postgresql://u:p%40%2F%25@h/b",
                "postgres://h/b",
            ),
            ("postgres://u:a@b@h/b", "postgresql://u:a%40b@h/b", "postgres://h/b"),
            (
                "postgres://u@/b?host=/run",
                "postgresql://u@/b?host=%2Frun",
                "postgres:///run/b",
            ),
            (
                "postgres://%2Frun%2Fpg/b",
                "postgresql://%2Frun%2Fpg/b",
                "postgres://%2Frun%2Fpg/b",
            ),
            ("postgres:///b", "postgresql:///b", "postgres://localhost/b"),
            ("postgres://h", "postgresql://h/", "postgres://h"),
            (
                "postgres://h1,h2/b?target_session_attrs=read-write",
                "postgresql://h1,h2/b?target_session_attrs=read-write",
                "postgres://h1,h2/b",
            ),
            (
                "host=h port=5433 user=u password=p dbname=b",
                "postgresql://u:p@/b?host=h&port=5433",
                "postgres://h:5433/b",
            ),
            (
                "host = h user='u' password='a b\\'c\\\\'",
                "postgresql://u:a%20b%27c%5C@/?host=h",
                "postgres://h",
            ),
            ("dbname=b", "postgresql:///b", "postgres://localhost/b"),
            ("password=p host=h", "postgresql:///?host=h&password=p", "postgres://h"),
        ] {
            let (found, found_shown, _) = server(text);
            assert_eq!((found.as_str(), found_shown.as_str()), (url, shown), "{text}");
        }
    }

    #[test]
    fn a_path_stays_a_path() {
        for (text, path) in [
            ("blog.db", "blog.db"),
            ("MyBlog2026.db", "MyBlog2026.db"),
            ("data/BlogV2Db3.sqlite", "data/BlogV2Db3.sqlite"),
            ("Team+Blog.db", "Team+Blog.db"),
            (" './data/blog.db' ", "./data/blog.db"),
            ("/var/lib/a=b;c@d.db", "/var/lib/a=b;c@d.db"),
            ("SQLITE:///blog.db", "blog.db"),
            ("sqlite:////var/lib/blog.db", "/var/lib/blog.db"),
            ("sqlite+aiosqlite:///./blog.db", "./blog.db"),
            ("C:\\blog.db", "C:\\blog.db"),
            ("postgres.db", "postgres.db"),
            ("postgres/blog.db", "postgres/blog.db"),
        ] {
            assert!(
                matches!(DatabaseAddress::parse(text), Ok(DatabaseAddress::Sqlite(found)) if found == path),
                "{text}"
            );
        }
    }

    /// Values for other programs, and damaged ones; `{}` stands for the password.
    const FOREIGN: &[&str] = &[
        "Server=h;Database=b;User Id=u;Password={};",
        "Server=tcp:h.postgres.database.azure.com,5432;Database=b;User ID=u;Password={};Ssl Mode=Require",
        "Host=h;Username=u;Password={};Database=b",
        "host=h;user=u;password={}",
        "Driver={PostgreSQL Unicode};Server=h;Uid=u;Pwd={};",
        "DSN=blog;UID=u;PWD={}",
        "Data Source=blog.db;Password={}",
        "jdbc:postgresql://h/b?user=u&password={}",
        "jdbc:sqlserver://h;user=u;password={}",
        "mysql://u:{}@h/b",
        "mysql+pymysql://u:{}@h/b",
        "mssql+pyodbc://u:{}@h/b",
        "mongodb+srv://u:{}@h/b",
        "redis://:{}@h:6379/0",
        "rediss://default:{}@h:6380",
        "h.redis.cache.windows.net:6380,password={},ssl=True,abortConnect=False",
        "h.redis.cache.windows.net,password={},ssl=True",
        "postgres//u:{}@h/b",
        "postgresql//u:{}@h/b",
        "postgresql+asyncpg//u:{}@h/b",
        "postgres:/u:{}@h/b",
        "postgres:u:{}@h/b",
        "postgres/u:{}@h/b",
        "postgres@h:{}",
        "sqlite//u:{}@h/b",
        "://u:{}@h/b",
        "u:{}@h/b",
        "u:{}@h:5432/b",
        "x{}@h/b",
        "postgres://u:{}",
        "postgres://u:{}@h:port/b",
        "postgres://u:1/{}@h/b",
        "postgres://u:1?{}@h/b",
        "postgres://u:1#{}@h/b",
        "postgres://u:{}@[h/b",
        "postgres://u:{}@h/b?nonsense=1",
        "postgres://u:p@h/b?{}=1",
        "postgres://u:p@h/b?{}",
        "host=h password='{}",
        "host=h {}",
        "host=h password={} nonsense=1",
        "dbname=postgres://u:{}@h/b",
        "export DATABASE_URL=postgres://u:{}@h/b",
        "DATABASE_URL=postgres://u:{}@h/b",
        "psql 'postgres://u:{}@h/b'",
        "-----BEGIN PRIVATE KEY-----\n{}",
        "eyJhbGciOiJSUzI1NiJ9.{}.x",
        "blog.db\n{}",
        "AccountEndpoint=https://h/;AccountKey={};",
        "passphrase={}",
        "Password {}",
        "Password: {}",
        "Ｐassword：{}",
        "redis-cli -h h -a {}",
        "SharedAccessSignature sr=h&sig={}&se=1",
        "[\"{}\"]",
        "Data Source={}.db",
        "<{}>",
        "${DATABASE_URL:-{}",
    ];

    #[test]
    fn a_value_for_another_program_is_not_a_file_and_never_shown() {
        for form in FOREIGN {
            let text = form.replace("{}", "hunter2");
            let reason = match DatabaseAddress::parse(&text) {
                Err(reason) => reason,
                Ok(DatabaseAddress::Sqlite(path)) => panic!("{text} is taken for the file {path}"),
                Ok(DatabaseAddress::Postgres { shown, .. }) => panic!("{text} is taken for {shown}"),
            };
            assert!(!reason.contains("hunter2"), "{reason}");
            assert!(
                reason.contains("postgres://USER:PASSWORD@HOST:5432/DATABASE"),
                "{text}: {reason}"
            );
            assert_eq!(DatabaseAddress::redact(&text), HIDDEN, "{text}");
        }
    }

    #[test]
    fn a_server_is_shown_without_secrets() {
        for (text, redacted) in [
            ("postgres://u:hunter2@h:5433/b", "postgres://u:********@h:5433/b"),
            ("postgres://u@h/b", "postgres://u@h/b"),
            ("postgres://h/b?user=u&password=hunter2", "postgres://h/b?********"),
            (
                "host=h user=u password=hunter2 sslpassword=hunter2",
                "postgres://u:********@h?********",
            ),
            ("password=hunter2 dbname=b", "postgres://localhost/b?********"),
        ] {
            assert_eq!(DatabaseAddress::redact(text), redacted);
        }
    }

    proptest! {
        #[test]
        fn no_password_is_shown_whatever_is_wrong_with_the_value(
            password in "[!-~]{0,6}s3cretpw[!-~]{0,6}",
            form in 0..FOREIGN.len() + 4,
        ) {
            let good = ["postgres://u:{}@h/b", "host=h user=u password={}", "postgres://h/b?password={}", "postgres://u:{}@h1,h2/b"];
            let form = FOREIGN.iter().chain(&good).nth(form).expect("one of them");
            let text = form.replace("{}", &password);
            let shown = match DatabaseAddress::parse(&text) {
                Ok(DatabaseAddress::Postgres { shown, redacted, .. }) => format!("{shown} {redacted}"),
                Ok(DatabaseAddress::Sqlite(_)) => panic!("{text} is taken for a file"),
                Err(reason) => reason,
            };
            prop_assert!(!shown.contains("s3cretpw"), "{} {}", text, shown);
            let redacted = DatabaseAddress::redact(&text);
            prop_assert!(!redacted.contains("s3cretpw"), "{} {}", text, redacted);
        }

        #[test]
        fn nothing_makes_it_panic(text in "\\PC{0,80}") {
            drop(DatabaseAddress::parse(&text));
            drop(DatabaseAddress::parse(&format!("postgres://{text}")));
            drop(DatabaseAddress::parse(&format!("host={text}")));
        }
    }
}
