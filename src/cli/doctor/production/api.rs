//! Lines about the API: CORS, documentation, rate limits, callers, database.

use url::form_urlencoded;

use super::{Check, CheckResult, DoctorContext, check};
use crate::{
    config::{DEV_API_ID, DatabaseAddress, RequiredClientAuth, parse_origin},
    loopback::is_loopback_host,
};

pub fn checks() -> Vec<Check> {
    vec![
        check("production_cors", "CORS", &["api.cors_origins"], cors),
        check("production_docs", "API page", &["api.docs"], docs),
        check(
            "production_rate_limits",
            "Rate limits",
            &["api.rate_limits"],
            rate_limits,
        ),
        check(
            "production_callers",
            "Callers",
            &["api.required_client_auth", "api.client_id", "api.app_id_uri"],
            callers,
        ),
        check(
            "production_database",
            "Database setup",
            &["database.url", "database.migrate_at_start"],
            database,
        ),
    ]
}

fn cors(context: &DoctorContext) -> Vec<CheckResult> {
    let origins = &context.settings.api.cors_origins;
    if origins.iter().any(|origin| origin == "*") {
        return vec![CheckResult::failed(
            "api.cors_origins is *: scripts of every web site may call the API with a token that they have",
            "the origins of your applications, or none",
            "list the origins in api.cors_origins (CORS_ORIGINS)",
        )];
    }
    let is_unsafe = |origin: &&String| {
        parse_origin(origin).is_ok_and(|origin| {
            origin.starts_with("http://")
                || url::Url::parse(&origin).is_ok_and(|url| url.host_str().is_some_and(is_loopback_host))
        })
    };
    vec![match origins.iter().find(is_unsafe) {
        Some(origin) => CheckResult::warning(
            format!("api.cors_origins has {origin}, which an attacker on the network path or on a laptop can control"),
            "https origins",
            "remove it from api.cors_origins",
        ),
        None if origins.is_empty() => CheckResult::ok("no other origin may call the API from a browser"),
        None => CheckResult::ok(format!("{} https origins", origins.len())),
    }]
}

fn docs(context: &DoctorContext) -> Vec<CheckResult> {
    vec![if context.settings.api.docs {
        CheckResult::warning(
            "api.docs is on: the page /v1/docs explains the API to every visitor",
            "off, unless it is meant for the public",
            "set api.docs = false",
        )
    } else {
        CheckResult::ok("off")
    }]
}

fn rate_limits(context: &DoctorContext) -> Vec<CheckResult> {
    vec![if context.settings.api.rate_limits {
        CheckResult::ok("on")
    } else {
        CheckResult::failed(
            "api.rate_limits is off: one client can use up the API",
            "on",
            "set api.rate_limits = true",
        )
    }]
}

fn callers(context: &DoctorContext) -> Vec<CheckResult> {
    let api = &context.settings.api;
    if api.client_id.as_deref() == Some(DEV_API_ID) || api.app_id_uri.ends_with(DEV_API_ID) {
        return vec![CheckResult::failed(
            "the application is that of the development emulator",
            "the application of your tenant",
            "set api.app_id_uri and api.client_id to the values that the portal shows",
        )];
    }
    vec![
        if api.required_client_auth == RequiredClientAuth::Certificate || !api.allowed_client_apps.is_empty() {
            CheckResult::ok("only the listed applications, or those with a certificate")
        } else {
            CheckResult::warning(
                "every application of the tenant with the scope may call the API, also one with a shared secret",
                "the client IDs of your applications",
                "list them in api.allowed_client_apps, or set api.required_client_auth = \"certificate\"",
            )
        },
    ]
}

fn database(context: &DoctorContext) -> Vec<CheckResult> {
    let settings = &context.settings.database;
    let (url, shown) = match DatabaseAddress::parse(&settings.url) {
        Ok(DatabaseAddress::Postgres { url, shown, .. }) => (url, shown),
        Ok(DatabaseAddress::Sqlite(path)) => {
            return vec![CheckResult::warning(
                format!("SQLite in {path}: only one replica, and backups are up to you"),
                "PostgreSQL, or a volume that is backed up",
                "back the file up with sqlite3 FILE \".backup COPY\", or set database.url to a PostgreSQL server",
            )];
        }
        Err(problem) => return vec![CheckResult::skipped(problem)],
    };
    let mut results = Vec::new();
    let mode = parameter(&url, "sslmode");
    if !is_local(&shown) {
        match mode.as_deref() {
            Some("verify-full") => {}
            Some("verify-ca" | "require") => results.push(CheckResult::warning(
                format!("the connection to {shown} is encrypted, but does not check the name of the server"),
                "sslmode=verify-full",
                "add ?sslmode=verify-full&sslrootcert=FILE to database.url (sslrootcert=system for public authorities)",
            )),
            _ => results.push(CheckResult::failed(
                format!("the connection to {shown} may be unencrypted"),
                "sslmode=verify-full",
                "add ?sslmode=verify-full&sslrootcert=FILE to database.url (sslrootcert=system for public authorities)",
            )),
        }
    }
    if settings.migrate_at_start == Some(true) {
        results.push(CheckResult::warning(
            "database.migrate_at_start is on: the first new replica changes the schema under the old ones",
            "a separate step before the replicas start",
            "remove database.migrate_at_start, and run blogctl migrate run before each upgrade",
        ));
    }
    if results.is_empty() {
        results.push(CheckResult::ok(format!("{shown}, backed up by its own means")));
    }
    results
}

/// A parameter of a libpq URL.
fn parameter(url: &str, name: &str) -> Option<String> {
    let (_, query) = url.split_once('?')?;
    form_urlencoded::parse(query.as_bytes())
        .find(|(given, _)| given == name)
        .map(|(_, value)| value.into_owned())
}

/// Whether all servers are on this machine, or are Unix sockets.
fn is_local(shown: &str) -> bool {
    let hosts = shown.strip_prefix("postgres://").unwrap_or(shown);
    let hosts = match hosts.strip_prefix('/') {
        Some(_) => return true,
        None => hosts.split('/').next().unwrap_or_default(),
    };
    hosts.split(',').all(|host| {
        // The brackets of an IPv6 address belong to the host, the port does not.
        let name = match host.find(']') {
            Some(end) => host.get(..=end).unwrap_or_default(),
            None => host.split(':').next().unwrap_or_default(),
        };
        name.starts_with("%2F") || is_loopback_host(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_on_this_machine_needs_no_tls() {
        for (shown, expected) in [
            ("postgres://localhost/blog", true),
            ("postgres://127.0.0.1:5433/blog", true),
            ("postgres://[::1]:5433/blog", true),
            ("postgres:///run/postgresql/blog", true),
            ("postgres://%2Frun%2Fpostgresql/blog", true),
            ("postgres://db.example/blog", false),
            ("postgres://localhost,db.example/blog", false),
            ("postgres://localhost.example/blog", false),
        ] {
            assert_eq!(is_local(shown), expected, "{shown}");
        }
    }
}
