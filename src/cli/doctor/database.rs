//! Check: the database and its migrations. Looks, and writes nothing.

use super::{
    DoctorContext,
    finding::{Check, CheckResult},
};
use crate::db::{DatabaseUrl, DbError, legacy::HOW_TO_IMPORT, migrate};

const EXPECTED: &str = "a database that can be read and written, with every migration of this blogctl";

pub fn check() -> Check {
    Check {
        name: "database",
        title: "Database",
        settings: &["database.url"],
        after: &[],
        run,
    }
}

fn run(context: &DoctorContext) -> Vec<CheckResult> {
    let settings = &context.settings.database;
    let found = match migrate::inspect(settings) {
        Ok(found) => found,
        Err(error) => {
            let remedy = remedy(&error, &settings.url);
            return vec![CheckResult::failed(error.to_string(), EXPECTED, remedy)];
        }
    };
    let url = &found.url;
    let pending: Vec<_> = found.migrations.iter().filter(|migration| !migration.applied).collect();
    let at_start = settings
        .migrate_at_start
        .unwrap_or(matches!(url, DatabaseUrl::Sqlite(_)));
    if let Some(obstacle) = &found.obstacle {
        return vec![CheckResult::failed(
            format!("{url} can be read and not written: {obstacle}"),
            EXPECTED,
            "let database.url (DATABASE_URL) name the primary server, and a user who may select, insert, update and delete in all \
             tables",
        )];
    }
    if found.is_python {
        return vec![CheckResult::failed(
            format!("{url} is a database of the Python system"),
            EXPECTED,
            HOW_TO_IMPORT,
        )];
    }
    vec![match (found.exists, pending.as_slice(), at_start) {
        (true, [], _) => CheckResult::ok(format!("{url} has every migration")),
        (false, _, true) => CheckResult::ok(format!("{url} does not exist yet: serve-api makes it when it starts")),
        (true, pending, true) => CheckResult::ok(format!(
            "{url} lacks {} of {} migrations: serve-api applies them when it starts",
            pending.len(),
            found.migrations.len()
        )),
        (_, pending, false) => CheckResult::failed(
            format!(
                "{url} lacks {} of {} migrations, and serve-api does not start without them",
                pending.len(),
                found.migrations.len()
            ),
            EXPECTED,
            "run blogctl migrate run, or set database.migrate_at_start = true",
        ),
    }]
}

fn remedy(error: &DbError, url: &str) -> &'static str {
    match error {
        DbError::NewerSchema { .. } => "use the blogctl that migrated it, or a newer one",
        DbError::Url(_) => "correct database.url (DATABASE_URL)",
        DbError::Pooler { .. } => {
            "set database.prepared_statements to auto, or name the server's own port in database.url (DATABASE_URL)"
        }
        DbError::NoFolder { .. } => {
            "make the folder, writable for the user that serve-api runs as, or correct database.url (DATABASE_URL)"
        }
        DbError::StatementPooling { .. } => {
            "set the pooler's pool_mode to transaction or session, or name the server's own port in database.url (DATABASE_URL)"
        }
        _ if matches!(DatabaseUrl::parse(url), Ok(DatabaseUrl::Sqlite(_))) => {
            "see that the user blogctl runs as may read and write the file and its folder, and that it is a database"
        }
        DbError::Open { reason, .. } => remedy_for_postgres(reason),
        error => remedy_for_postgres(&error.to_string()),
    }
}

/// By the words of the server and of its client library.
fn remedy_for_postgres(reason: &str) -> &'static str {
    let has = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    if has(&["startup parameter"]) {
        "take options out of database.url (DATABASE_URL), which the pooler rejects, and set them with ALTER ROLE … SET …"
    } else if has(&["too many clients", "remaining connection slots", "too many connections"]) {
        "lower database.pool_size on each replica, raise the server's max_connections, or put a connection pooler in between"
    } else if has(&["password authentication failed", "no password supplied", "role \""]) {
        "correct user and password in database.url (DATABASE_URL); what is not a letter or digit in them is percent-encoded"
    } else if has(&["does not exist"]) {
        "make the database, or correct its name in database.url (DATABASE_URL)"
    } else if has(&["pg_hba.conf", "SSL", "sslmode", "certificate"]) {
        "see the server's pg_hba.conf, and sslmode and sslrootcert in database.url (DATABASE_URL)"
    } else if has(&[
        "could not translate host name",
        "Connection refused",
        "timeout expired",
        "No route",
    ]) {
        "start the server, or correct host and port in database.url (DATABASE_URL); a firewall may be between"
    } else {
        "see that the database runs and that database.url (DATABASE_URL) names it, with a user who may write"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_postgres_says_has_its_remedy() {
        for (reason, said) in [
            (
                "FATAL: password authentication failed for user \"blog\"",
                "user and password",
            ),
            ("FATAL: role \"blog\" does not exist", "user and password"),
            ("FATAL: database \"blog\" does not exist", "make the database"),
            (
                "FATAL: no pg_hba.conf entry for host \"10.0.0.1\", user \"blog\", no encryption",
                "pg_hba.conf",
            ),
            (
                "connection to server at \"127.0.0.1\", port 9 failed: Connection refused",
                "start the server",
            ),
            ("could not translate host name \"db\" to address", "host and port"),
            ("invalid sslmode value: \"********\"", "sslmode"),
            ("could not translate host name \"role-db\" to address", "host and port"),
            ("FATAL: sorry, too many clients already", "database.pool_size"),
            ("FATAL: unsupported startup parameter: options", "ALTER ROLE"),
        ] {
            assert!(remedy_for_postgres(reason).contains(said), "{reason}");
        }
        let statement_pooling = DbError::StatementPooling {
            database: "postgres://h/b".to_owned(),
            reason: "transaction blocks not allowed".to_owned(),
        };
        assert!(remedy(&statement_pooling, "postgres://h/b").contains("pool_mode"));
    }
}
