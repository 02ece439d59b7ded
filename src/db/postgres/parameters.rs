//! The connection string for libpq: adds time limits, keep-alives, the program's name and session settings to
//! `database.url`. Parameters that the URL has already stay as they are.

use std::{
    fmt::{Display, Write as _},
    time::Duration,
};

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::config::{DatabaseSettings, HIDDEN};

/// The setting by which a connection recognises its own server process. PostgreSQL accepts any name with a dot in it.
pub(super) const MARK: &str = "blogctl.connection";

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::db) enum Purpose {
    /// Requests, with a time limit.
    Requests,
    /// Searches, with their own time limit.
    Searches,
    /// Migrations, sample data and imports, without a time limit.
    LongWork,
}

/// The URL with a password, which replaces none: libpq uses the last value of a parameter.
pub(super) fn with_password(url: &str, password: &str) -> String {
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}password={}", encoded(password))
}

/// The connection string for a direct connection, with session settings.
pub(super) fn direct(url: &str, settings: &DatabaseSettings, purpose: Purpose, mark: &str) -> String {
    let mut options = format!("-c {MARK}={mark}");
    if let Some(statement_timeout) = statement_timeout(settings, purpose) {
        let _ = write!(
            options,
            " -c statement_timeout={} -c lock_timeout={} -c idle_in_transaction_session_timeout={} \
             -c default_transaction_isolation=read\\ committed",
            statement_timeout.as_millis(),
            settings.lock_timeout.as_millis(),
            idle_in_transaction(settings).as_millis()
        );
    }
    let (address, mut query) = parts(url);
    // Of two values the later one wins: the URL's own.
    if let Some((_, own)) = query.iter().find(|(name, _)| name == "options") {
        options = format!("{options} {own}");
    }
    query.retain(|(name, _)| name != "options");
    query.push(("options".to_owned(), options));
    joined(address, &with_limits(query, address, settings))
}

/// The connection string for a connection through a pooler, which accepts no session settings.
pub(super) fn pooled(url: &str, settings: &DatabaseSettings) -> String {
    let (address, query) = parts(url);
    joined(address, &with_limits(query, address, settings))
}

/// The time after which the server cancels a statement; `None` for no limit.
pub(in crate::db) fn statement_timeout(settings: &DatabaseSettings, purpose: Purpose) -> Option<Duration> {
    match purpose {
        Purpose::Requests => Some(settings.statement_timeout.min(settings.deadline)),
        Purpose::Searches => Some(settings.search_deadline.min(settings.deadline)),
        Purpose::LongWork => None,
    }
}

/// The time after which the server ends a transaction whose client has gone silent, and so frees its locks.
pub(super) fn idle_in_transaction(settings: &DatabaseSettings) -> Duration {
    settings.deadline + Duration::from_secs(5)
}

/// Joins the lines of a message: libpq writes one for each address that it tried.
pub(super) fn one_line(reason: impl Display) -> String {
    reason.to_string().lines().map(str::trim).collect::<Vec<_>>().join("; ")
}

/// A connection error in one line. libpq quotes what it does not understand, which may be a password, so the password
/// and every part of the URL's query are redacted.
pub(super) fn connect_error(reason: impl Display, url: &str) -> String {
    let message = one_line(reason);
    let (address, query) = parts(url);
    let user_info = address
        .split_once("://")
        .and_then(|(_, rest)| rest.rsplit_once('@'))
        .map(|(user_info, _)| user_info);
    let password = user_info
        .and_then(|info| info.split_once(':'))
        .map(|(_, password)| password);
    let password = password
        .map(|as_written| [as_written.to_owned(), decode(as_written)])
        .into_iter()
        .flatten();
    let as_written = url.split_once('?').map_or("", |(_, query)| query);
    let pieces = as_written
        .split('&')
        .chain(as_written.split(['&', '=']))
        .map(str::to_owned);
    let quoted = pieces.chain(password).chain(query.into_iter().map(|(_, value)| value));
    quoted.filter(|part| !part.is_empty()).fold(message, |message, part| {
        message.replace(&format!("\"{part}\""), &format!("\"{HIDDEN}\""))
    })
}

/// Whether the server was not reached at all, so that connecting without options would fail too. libpq reports no code,
/// only a message.
pub(super) fn is_unreachable(reason: &str) -> bool {
    [
        "could not translate host name",
        "Connection refused",
        "timeout expired",
        "No such file or directory",
        "unreachable",
    ]
    .iter()
    .any(|text| reason.contains(text))
        && !reason.contains("FATAL")
}

/// Whether the server rejected or lost the connection for a temporary reason, which options cannot cause.
pub(super) fn is_temporary(reason: &str) -> bool {
    is_unreachable(reason)
        || [
            "too many clients",
            "too many connections for",
            "remaining connection slots",
            "the database system is",
            "server closed the connection",
            "Connection reset",
            "terminating connection",
        ]
        .iter()
        .any(|text| reason.contains(text))
}

fn with_limits(mut query: Vec<(String, String)>, address: &str, settings: &DatabaseSettings) -> Vec<(String, String)> {
    let seconds = |time: Duration| time.as_secs().to_string();
    let mut defaults = vec![
        ("connect_timeout", seconds(settings.connect_timeout)),
        ("tcp_user_timeout", settings.tcp_user_timeout.as_millis().to_string()),
        ("keepalives_idle", seconds(settings.keepalives_idle)),
        ("keepalives_interval", seconds(settings.keepalives_interval)),
        ("keepalives_count", settings.keepalives_count.to_string()),
        ("application_name", "blogctl".to_owned()),
    ];
    // Of several servers, the one that accepts writes.
    let hosts = query
        .iter()
        .find(|(name, _)| name == "host")
        .map_or(address, |(_, host)| host);
    if hosts.contains(',') {
        defaults.push(("target_session_attrs", "read-write".to_owned()));
    }
    for (name, value) in defaults {
        if !query.iter().any(|(given, _)| given == name) {
            query.push((name.to_owned(), value));
        }
    }
    query
}

/// The address, and the query's parameters as libpq decodes them: a plus sign stays a plus sign.
fn parts(url: &str) -> (&str, Vec<(String, String)>) {
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    let pair = |pair: &str| pair.split_once('=').map(|(name, value)| (decode(name), decode(value)));
    (address, query.split('&').filter_map(pair).collect())
}

fn decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn joined(address: &str, query: &[(String, String)]) -> String {
    let pairs: Vec<_> = query
        .iter()
        .map(|(name, value)| format!("{}={}", encoded(name), encoded(value)))
        .collect();
    format!("{address}?{}", pairs.join("&"))
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_the_url_stay_as_they_are() {
        let settings = DatabaseSettings::default();
        let url = pooled(
            "postgresql://u:p%20w@h:5433/b?sslmode=require&connect_timeout=2&application_name=a+b%20c",
            &settings,
        );
        let (address, query) = parts(&url);
        let value = |name| {
            query
                .iter()
                .find(|(given, _)| given == name)
                .map(|(_, value)| value.as_str())
        };
        assert_eq!(address, "postgresql://u:p%20w@h:5433/b");
        for (name, expected) in [
            ("sslmode", Some("require")),
            ("connect_timeout", Some("2")),
            ("application_name", Some("a+b c")),
            ("tcp_user_timeout", Some("8000")),
            ("keepalives_idle", Some("10")),
            ("options", None),
            ("target_session_attrs", None),
        ] {
            assert_eq!(value(name), expected, "{name}");
        }
    }

    #[test]
    fn any_password_arrives_as_it_is() {
        let settings = DatabaseSettings::default();
        let long = "x".repeat(60_000);
        for password in ["p/w@:#%41 x", "'\\\"&=+?", "ключ", &long] {
            for url in ["postgresql://u@h/b", "postgresql://u@h/b?sslmode=verify-full"] {
                let url = pooled(&with_password(url, password), &settings);
                let (_, query) = parts(&url);
                let found = query.iter().find(|(name, _)| name == "password");
                assert_eq!(found.map(|(_, value)| value.as_str()), Some(password));
            }
        }
    }

    #[test]
    fn options_of_the_url_come_after_ours() {
        let settings = DatabaseSettings::default();
        let url = direct(
            "postgresql://h/b?options=-c%20search_path%3Dx",
            &settings,
            Purpose::Requests,
            "m",
        );
        let (_, query) = parts(&url);
        let options: Vec<_> = query
            .iter()
            .filter(|(name, _)| name == "options")
            .map(|(_, value)| value)
            .collect();
        assert_eq!(options.len(), 1);
        let options = options.first().expect("one");
        assert!(
            options.starts_with("-c blogctl.connection=m -c statement_timeout=8000 "),
            "{options}"
        );
        assert!(options.ends_with(" -c search_path=x"), "{options}");
        assert!(!direct("postgresql://h/b", &settings, Purpose::LongWork, "m").contains("timeout%3D"));
    }

    #[test]
    fn of_several_servers_the_one_that_takes_writes_is_used() {
        let settings = DatabaseSettings::default();
        for several in ["postgresql://h1,h2:5433/b", "postgresql:///b?host=h1,h2"] {
            assert!(
                pooled(several, &settings).contains("target%5Fsession%5Fattrs=read%2Dwrite"),
                "{several}"
            );
        }
        let own = pooled("postgresql://h1,h2/b?target_session_attrs=any", &settings);
        assert!(
            own.contains("target%5Fsession%5Fattrs=any") && !own.contains("read%2Dwrite"),
            "{own}"
        );
    }
}
