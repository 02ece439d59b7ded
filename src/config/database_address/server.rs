//! A PostgreSQL server: its URL for libpq, and the same without secrets for messages.

use std::fmt::Write as _;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::{config::redact::HIDDEN, loopback::is_loopback_host};

/// The accepted forms, for messages.
pub(super) const FORMS: &str =
    "write a path such as blog.db, sqlite:////var/lib/blog.db, or postgres://USER:PASSWORD@HOST:5432/DATABASE";

/// Characters that a part of a URL may contain unencoded.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The address of a server.
pub(super) struct Server {
    /// For libpq; contains the password.
    pub url: String,
    /// Hosts, ports and database.
    pub shown: String,
    /// The same with the user, and with asterisks instead of secrets.
    pub redacted: String,
    /// Whether the URL contains a password.
    pub has_password: bool,
    /// Whether the URL names the user.
    pub has_user: bool,
    /// Whether only the named server can receive a password: its certificate is verified, or it is on this machine.
    pub is_verified: bool,
}

/// What an address consists of, decoded.
pub(super) struct Parts<'a> {
    pub user: Option<&'a str>,
    pub password: Option<String>,
    /// Names and ports, in order.
    pub hosts: &'a [(String, Option<u16>)],
    pub database: &'a str,
    /// Parameters that libpq knows.
    pub parameters: &'a [(String, String)],
}

impl Server {
    pub(super) fn new(parts: Parts<'_>) -> Self {
        let Parts {
            user,
            password,
            hosts: named_hosts,
            database,
            parameters,
        } = parts;
        let mut hosts = String::new();
        for (name, port) in named_hosts {
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
        // Parameters take precedence over the rest of the URL, as in libpq.
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

        let has_password = password.is_some() || parameter("password").is_some();
        let has_user = user.is_some() || parameter("user").is_some();
        let is_verified = is_verified(named_hosts, parameters);
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
        Self {
            url,
            shown,
            redacted,
            has_password,
            has_user,
            is_verified,
        }
    }
}

/// Whether libpq verifies the certificate and the name of each server, or all of them are on this machine. Without a host, an
/// environment variable could name another one.
fn is_verified(hosts: &[(String, Option<u16>)], parameters: &[(String, String)]) -> bool {
    let values = |name: &'static str| {
        let given = parameters.iter().filter(move |(given, _)| given == name);
        given.map(|(_, value)| value.as_str())
    };
    let mut modes = values("sslmode").peekable();
    if modes.peek().is_some() {
        return modes.all(|mode| mode == "verify-full");
    }
    let listed = || {
        let lists = values("host").chain(values("hostaddr"));
        lists.flat_map(|list| list.split(','))
    };
    let mut all = hosts.iter().map(|(name, _)| name.as_str()).chain(listed()).peekable();
    all.peek().is_some() && all.all(is_this_machine)
}

/// Whether a host of libpq is this machine: a folder of Unix sockets, or a loopback name or address.
fn is_this_machine(host: &str) -> bool {
    host.starts_with(['/', '@']) || is_loopback_host(host) || is_loopback_host(&format!("[{host}]"))
}

/// Decodes a part of a URL. A percent sign without two hex digits is literal.
pub(super) fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}
