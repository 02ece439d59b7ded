//! Check: the database and its migrations, without writing anything.

use super::{
    DoctorContext,
    finding::{Check, CheckResult},
};
use crate::{
    db::{DatabaseUrl, DbError, legacy::HOW_TO_IMPORT, migrate},
    hint::Hint as _,
};

const EXPECTED: &str = "a database that can be read and written, with every migration of this blogctl";

pub fn check() -> Check {
    Check {
        name: "database",
        title: "Database",
        settings: &[
            "database.url",
            "database.password_file",
            "database.password_command",
            "database.azure",
        ],
        after: &[],
        run,
    }
}

fn run(context: &DoctorContext) -> Vec<CheckResult> {
    let settings = &context.settings.database;
    let found = match migrate::inspect(settings) {
        Ok(found) => found,
        Err(DbError::Password(error)) => {
            let remedy = error.hint().unwrap_or_default().into_owned();
            return vec![CheckResult::failed(
                error.to_string(),
                "a password for the database",
                remedy,
            )];
        }
        Err(error) => {
            let remedy = match &error {
                DbError::Open { reason, .. } if settings.azure && is_rejected(reason) => TOKEN_REJECTED,
                error => remedy(error, &settings.url),
            };
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
            format!("{url} can be read but not written: {obstacle}"),
            EXPECTED,
            "set database.url (DATABASE_URL) to the primary server, with a user that may select, insert, update and delete in all \
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
        (true, [], _) => CheckResult::ok(match &found.newer {
            Some(version) => {
                format!("{url} has every migration, and {version} of a newer release, which this one works with")
            }
            None => format!("{url} has every migration"),
        }),
        (false, _, true) => CheckResult::ok(format!("{url} does not exist yet: serve-api creates it when it starts")),
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
        DbError::EditedMigration { .. } => {
            "use the release that applied it; docs/migrations.md says how to accept an edited comment"
        }
        DbError::NewerSchema { .. } => "use the version of blogctl that migrated it, or a newer one",
        DbError::Url(_) => "correct database.url (DATABASE_URL)",
        DbError::Pooler { .. } => {
            "set database.prepared_statements to auto, or name the server's own port in database.url (DATABASE_URL)"
        }
        DbError::NoFolder { .. } => {
            "create the folder, writable for the account that runs serve-api, or correct database.url (DATABASE_URL)"
        }
        DbError::StatementPooling { .. } => {
            "set the pooler's pool_mode to transaction or session, or name the server's own port in database.url (DATABASE_URL)"
        }
        _ if matches!(DatabaseUrl::parse(url), Ok(DatabaseUrl::Sqlite(_))) => {
            "check that the account that runs blogctl can read and write the file and its folder, and that it is a database"
        }
        DbError::Open { reason, .. } => remedy_for_postgres(reason),
        error => remedy_for_postgres(&error.to_string()),
    }
}

const TOKEN_REJECTED: &str = "name the identity's role as the user in database.url (DATABASE_URL): the Entra administrator of the server \
                              creates it with pgaadauth_create_principal. Check azure.client_id, entra.cloud and the clock";

/// Whether Azure Database for PostgreSQL did not accept the token, or knows no such role.
fn is_rejected(reason: &str) -> bool {
    [
        "password authentication failed",
        "access token",
        "audience claim",
        "validate token",
        "role \"",
    ]
    .iter()
    .any(|text| reason.contains(text))
}

/// Decides by the text of the server and of libpq.
fn remedy_for_postgres(reason: &str) -> &'static str {
    let has = |words: &[&str]| words.iter().any(|word| reason.contains(word));
    if has(&["startup parameter"]) {
        "remove options from database.url (DATABASE_URL), which the pooler rejects, and set them with ALTER ROLE … SET …"
    } else if has(&["too many clients", "remaining connection slots", "too many connections"]) {
        "lower database.pool_size on each replica, raise the server's max_connections, or use a connection pooler"
    } else if has(&["password authentication failed", "no password supplied", "role \""]) {
        "correct user and password in database.url (DATABASE_URL); percent-encode their special characters"
    } else if has(&["does not exist"]) {
        "create the database, or correct its name in database.url (DATABASE_URL)"
    } else if has(&["pg_hba.conf", "SSL", "sslmode", "certificate"]) {
        "check the server's pg_hba.conf, and sslmode and sslrootcert in database.url (DATABASE_URL)"
    } else if has(&[
        "could not translate host name",
        "Connection refused",
        "timeout expired",
        "No route",
    ]) {
        "start the server, or correct host and port in database.url (DATABASE_URL); check for a firewall"
    } else {
        "check that the database is running and that database.url (DATABASE_URL) names it, with a user that may write"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rejected_token_is_known_by_the_texts_of_azure() {
        for reason in [
            "FATAL: password authentication failed for user \"blog-api\"",
            "FATAL: The access token has expired. Acquire a new token and retry.",
            "FATAL: The access token does not have a valid audience claim.",
            "FATAL: role \"blog-api\" does not exist",
        ] {
            assert!(is_rejected(reason), "{reason}");
        }
        assert!(!is_rejected(
            "connection to server at \"h\", port 5432 failed: Connection refused"
        ));
    }

    #[test]
    fn each_error_of_postgres_has_its_remedy() {
        for (reason, expected) in [
            (
                "FATAL: password authentication failed for user \"blog\"",
                "user and password",
            ),
            ("FATAL: role \"blog\" does not exist", "user and password"),
            ("FATAL: database \"blog\" does not exist", "create the database"),
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
            assert!(remedy_for_postgres(reason).contains(expected), "{reason}");
        }
        let statement_pooling = DbError::StatementPooling {
            database: "postgres://h/b".to_owned(),
            reason: "transaction blocks not allowed".to_owned(),
        };
        assert!(remedy(&statement_pooling, "postgres://h/b").contains("pool_mode"));
    }
}
