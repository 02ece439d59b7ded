//! What `database.url` may be: the path of a file, or the address of a server in any way that libpq and Python's libraries
//! write it. Nothing of a value that is not understood is ever shown: it may be a password, or hold one.

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::redact::HIDDEN;

/// Where the database is.
#[derive(Clone, PartialEq, Eq)]
pub enum DatabaseAddress {
    /// The path of an SQLite file, as it was given.
    Sqlite(String),
    /// A PostgreSQL server.
    Postgres {
        /// For libpq; holds the password.
        url: String,
        /// Hosts, ports and database.
        shown: String,
        /// The same with the user, and with stars for what is secret.
        redacted: String,
    },
}

const FORMS: &str =
    "write a path such as blog.db, sqlite:////var/lib/blog.db, or postgres://USER:PASSWORD@HOST:5432/DATABASE";

/// Keywords of libpq: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
const KEYWORDS: &[&str] = &[
    "host",
    "hostaddr",
    "port",
    "dbname",
    "user",
    "password",
    "passfile",
    "require_auth",
    "channel_binding",
    "connect_timeout",
    "client_encoding",
    "options",
    "application_name",
    "fallback_application_name",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
    "replication",
    "gssencmode",
    "sslmode",
    "requiressl",
    "sslnegotiation",
    "sslcompression",
    "sslcert",
    "sslkey",
    "sslkeylogfile",
    "sslpassword",
    "sslcertmode",
    "sslrootcert",
    "sslcrl",
    "sslcrldir",
    "sslsni",
    "requirepeer",
    "ssl_min_protocol_version",
    "ssl_max_protocol_version",
    "min_protocol_version",
    "max_protocol_version",
    "krbsrvname",
    "gsslib",
    "gssdelegation",
    "service",
    "servicefile",
    "target_session_attrs",
    "load_balance_hosts",
    "oauth_issuer",
    "oauth_client_id",
    "oauth_client_secret",
    "oauth_scope",
    "scram_client_key",
    "scram_server_key",
];

/// What a part of a URL may hold as it is.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

impl DatabaseAddress {
    /// Parses a path, `sqlite:…` with SQLAlchemy's slashes, `postgres://…` with one host or several, either with a Python
    /// driver's name behind a `+`, or libpq's `host=… dbname=…`. Blanks and quotes around it are not part of it.
    ///
    /// # Errors
    /// Says what it seems to be and how to write it, and nothing of what it holds.
    pub fn parse(text: &str) -> Result<Self, String> {
        let text = unquoted(text);
        if text.is_empty() {
            return Err(format!("it is empty; {FORMS}"));
        }
        if text.contains("-----BEGIN") || text.len() > 4096 || text.starts_with("eyJ") {
            return Err(format!("it looks like a key, a certificate or a token; {FORMS}"));
        }
        if text.contains(char::is_control) {
            return Err(format!("it holds a line break or another control character; {FORMS}"));
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
                "it is a URL that lacks a part, such as the colon before //; {FORMS}"
            ));
        }
        if is_conninfo(text) {
            return conninfo(text);
        }
        // A file of such a name is named with its folder: `./a;b.db`.
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
        let is_odd = text.contains([';', '@']) || text.get(1..2) == Some(":");
        if is_odd && !is_plainly_a_path {
            return Err(format!(
                "it is neither a path nor a URL (a file of this name is written with ./ before it); {FORMS}"
            ));
        }
        sqlite(text)
    }

    /// For people: everything but what is secret. A value that is not understood is hidden as a whole.
    pub fn redact(text: &str) -> String {
        match Self::parse(text) {
            Ok(Self::Sqlite(_)) => text.to_owned(),
            Ok(Self::Postgres { redacted, .. }) => redacted,
            Err(_) => HIDDEN.to_owned(),
        }
    }
}

/// Without blanks, invisible characters and one pair of quotes around it.
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

/// The scheme and what follows its colon. `C:\blog.db`, `./a:b` and `blog.db` have none.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = text.split_once(':')?;
    let is_scheme = scheme.len() > 1
        && scheme.starts_with(|first: char| first.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-._".contains(c));
    is_scheme.then_some((scheme, rest))
}

/// `postgres//…`, `postgres/…@…`, `postgres@…`
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
            Some(rest) => postgres(rest),
            None => Err(format!(
                "it is a PostgreSQL URL that lacks a slash after the colon; {FORMS}"
            )),
        },
        "jdbc" => Err(format!("it is a URL of Java (JDBC); {FORMS}")),
        "redis" | "rediss" => Err(format!(
            "it is the address of a Redis, which redis.url (BLOG_REDIS__URL) takes; {FORMS}"
        )),
        "mysql" | "mariadb" | "mssql" | "sqlserver" | "oracle" | "mongodb" | "cockroachdb" | "http" | "https"
        | "file" => Err(format!("{dialect} is not a database that blogctl knows; {FORMS}")),
        // Not even the scheme: it may be a user, and the rest a password.
        _ => Err(format!(
            "it begins like a URL of a kind that blogctl does not know; {FORMS}"
        )),
    }
}

fn sqlite_url(rest: &str) -> Result<DatabaseAddress, String> {
    if rest.contains('?') || rest.contains('#') {
        return Err("options after the path of an SQLite file are not supported".to_owned());
    }
    // Three slashes: an empty host, then the path behind the third.
    let path = match rest.strip_prefix("//") {
        Some(path) => path.strip_prefix('/').unwrap_or(path),
        None => rest,
    };
    sqlite(path)
}

fn sqlite(path: &str) -> Result<DatabaseAddress, String> {
    if path.is_empty() || path == ":memory:" {
        return Err(
            "SQLite in memory would be another database for each connection; give a path such as blog.db".to_owned(),
        );
    }
    Ok(DatabaseAddress::Sqlite(path.to_owned()))
}

/// What stands behind `postgres://`.
fn postgres(rest: &str) -> Result<DatabaseAddress, String> {
    let bad = |what: &str| {
        format!(
            "it is not a valid PostgreSQL URL: {what}; {FORMS}, with special characters of the password percent-encoded"
        )
    };
    if rest.contains('#') {
        return Err(bad("it holds a #"));
    }
    let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (authority, database) = before.split_once('/').unwrap_or((before, ""));
    // An unencoded / or ? in a password moves the @ behind the hosts.
    if database.contains('@') || query.contains('@') {
        return Err(bad("there is an @ behind the host"));
    }
    let (user_info, hosts) = match authority.rsplit_once('@') {
        Some((user_info, hosts)) => (Some(user_info), hosts),
        None => (None, authority),
    };
    let (mut names, mut ports) = (Vec::new(), Vec::new());
    for host in hosts.split(',').filter(|_| !hosts.is_empty()) {
        let (name, port) = split_port(host).ok_or_else(|| bad("a host or port is not one"))?;
        names.push(name);
        ports.push(port);
    }
    let mut parameters = Vec::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').ok_or_else(|| bad("a parameter has no value"))?;
        parameters.push((decoded(name), decoded(value)));
    }
    let parameters = known(parameters).ok_or_else(|| bad("a parameter is not one that PostgreSQL's library knows"))?;
    let has_nul = |text: &str| decoded(text).contains('\0');
    if has_nul(before) {
        return Err(bad("it holds a NUL character"));
    }
    let (user, password) = match user_info.map(|info| info.split_once(':').map_or((info, None), |(u, p)| (u, Some(p))))
    {
        Some((user, password)) => (Some(decoded(user)), password.map(decoded)),
        None => (None, None),
    };
    Ok(assembled(
        user.as_deref(),
        password,
        &names,
        &ports,
        &decoded(database),
        &parameters,
    ))
}

/// `name`, `name:5432`, `[::1]:5432`, or the folder of a socket, percent-encoded.
fn split_port(host: &str) -> Option<(String, Option<u16>)> {
    let (name, port) = if host.starts_with('[') {
        let (name, port) = host.split_at(host.find(']')? + 1);
        (name, (!port.is_empty()).then(|| port.strip_prefix(':').unwrap_or("x")))
    } else {
        host.split_once(':')
            .map_or((host, None), |(name, port)| (name, Some(port)))
    };
    let is_number = |port: &str| {
        port.parse::<u16>()
            .ok()
            .filter(|number| *number > 0 && !port.starts_with('+'))
    };
    let port = match port {
        Some(port) => Some(is_number(port)?),
        None => None,
    };
    let name = decoded(name);
    let is_folder = name.starts_with(['/', '@']);
    let is_name = name.chars().all(|c| c.is_alphanumeric() || "-._".contains(c));
    let is_address = name.starts_with('[')
        && name
            .trim_matches(['[', ']'])
            .chars()
            .all(|c| c.is_ascii_hexdigit() || ":.%".contains(c));
    (is_folder || is_name || is_address).then_some((name, port))
}

/// The parameters, where libpq knows each of them. `ssl=require` is how Python's asyncpg writes `sslmode=require`.
fn known(parameters: Vec<(String, String)>) -> Option<Vec<(String, String)>> {
    const MODES: &[&str] = &["disable", "allow", "prefer", "require", "verify-ca", "verify-full"];
    parameters
        .into_iter()
        .map(|(name, value)| match name.as_str() {
            "ssl" if value == "true" => Some(("sslmode".to_owned(), "require".to_owned())),
            "ssl" if MODES.contains(&value.as_str()) => Some(("sslmode".to_owned(), value)),
            known if KEYWORDS.contains(&known) && !value.contains('\0') => Some((name, value)),
            _ => None,
        })
        .collect()
}

/// Whether it begins as libpq's `keyword=value` does.
fn is_conninfo(text: &str) -> bool {
    text.split_once('=')
        .is_some_and(|(keyword, _)| KEYWORDS.contains(&keyword.trim_end()))
        && !text.contains(';')
}

/// libpq's `host=… dbname=… password='…'`.
fn conninfo(text: &str) -> Result<DatabaseAddress, String> {
    let bad = || format!("it is not a valid connection string of PostgreSQL; {FORMS}");
    let mut parameters = known(keyword_values(text).ok_or_else(bad)?).ok_or_else(bad)?;
    let mut take = |name: &str| {
        let at = parameters.iter().rposition(|(given, _)| given == name)?;
        Some(parameters.remove(at).1)
    };
    let (user, password, database) = (take("user"), take("password"), take("dbname").unwrap_or_default());
    // A URL in dbname would be another connection string.
    if database.contains("://") || database.contains('=') {
        return Err(bad());
    }
    Ok(assembled(user.as_deref(), password, &[], &[], &database, &parameters))
}

fn keyword_values(text: &str) -> Option<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (keyword, after) = rest.split_once('=')?;
        let mut characters = after.trim_start().chars();
        let mut value = String::new();
        let is_quoted = characters.as_str().starts_with('\'');
        if is_quoted {
            characters.next();
        }
        let is_closed = loop {
            match characters.next() {
                Some('\\') => value.push(characters.next()?),
                Some('\'') if is_quoted => break true,
                Some(c) if !is_quoted && c.is_whitespace() => break true,
                Some(c) => value.push(c),
                None => break !is_quoted,
            }
        };
        if !is_closed {
            return None;
        }
        pairs.push((keyword.trim().to_owned(), value));
        rest = characters.as_str().trim_start();
    }
    Some(pairs)
}

fn assembled(
    user: Option<&str>,
    password: Option<String>,
    names: &[String],
    ports: &[Option<u16>],
    database: &str,
    parameters: &[(String, String)],
) -> DatabaseAddress {
    let mut hosts = String::new();
    for (name, port) in names.iter().zip(ports) {
        let comma = if hosts.is_empty() { "" } else { "," };
        let name = if name.starts_with('[') {
            name.clone()
        } else {
            encoded(name)
        };
        let _ = write!(hosts, "{comma}{name}");
        if let Some(port) = port {
            let _ = write!(hosts, ":{port}");
        }
    }
    let parameter = |name: &str| {
        parameters
            .iter()
            .rfind(|(given, _)| given == name)
            .map(|(_, value)| value.as_str())
    };
    // What the query names outdoes the rest of the URL, as in libpq.
    let shown_hosts = match (parameter("host").or_else(|| parameter("hostaddr")), parameter("port")) {
        (Some(host), Some(port)) => format!("{host}:{port}"),
        (Some(host), None) => host.to_owned(),
        (None, Some(port)) if hosts.is_empty() => format!("localhost:{port}"),
        (None, _) if hosts.is_empty() => "localhost".to_owned(),
        (None, _) => hosts.clone(),
    };
    let shown_database = encoded(parameter("dbname").unwrap_or(database));
    let slash = if shown_database.is_empty() { "" } else { "/" };
    let shown = format!("postgres://{shown_hosts}{slash}{shown_database}");
    let shown_user = match (user, &password) {
        (Some(user), Some(_)) => format!("{}:{HIDDEN}@", encoded(user)),
        (Some(user), None) => format!("{}@", encoded(user)),
        (None, _) => String::new(),
    };
    let has_more = !parameters.is_empty() || (user.is_none() && password.is_some());
    let more = if has_more { format!("?{HIDDEN}") } else { String::new() };
    let redacted = format!("postgres://{shown_user}{shown_hosts}{slash}{shown_database}{more}");

    let mut url = "postgresql://".to_owned();
    if let Some(user) = user {
        let _ = write!(url, "{}", encoded(user));
        if let Some(password) = &password {
            let _ = write!(url, ":{}", encoded(password));
        }
        url.push('@');
    }
    let _ = write!(url, "{hosts}/{}", encoded(database));
    let alone = password
        .filter(|_| user.is_none())
        .map(|password| ("password".to_owned(), password));
    for (number, (name, value)) in parameters.iter().chain(&alone).enumerate() {
        let _ = write!(url, "{}{name}={}", if number == 0 { '?' } else { '&' }, encoded(value));
    }
    DatabaseAddress::Postgres { url, shown, redacted }
}

/// A percent sign that encodes nothing stands for itself.
fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn server(text: &str) -> (String, String, String) {
        match DatabaseAddress::parse(text).expect(text) {
            DatabaseAddress::Postgres { url, shown, redacted } => (url, shown, redacted),
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

    /// Values of other programs and damaged ones, `{}` in place of the password.
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
    ];

    #[test]
    fn what_is_meant_for_another_program_is_no_file_and_never_shown() {
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
    fn a_server_is_shown_without_what_is_secret() {
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
                // A slash in the password makes a path of some that had no sign of anything else.
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
