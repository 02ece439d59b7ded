//! Check: the database and its migrations. Looks, and writes nothing.

use super::{
    Patient,
    finding::{Check, Said},
};
use crate::db::{DatabaseUrl, DbError, migrate};

const EXPECTED: &str = "a database that can be read and written, with every migration of this blogctl";

pub fn check() -> Check {
    Check { name: "database", title: "Database", settings: &["database.url"], after: &[], run }
}

fn run(patient: &Patient) -> Vec<Said> {
    let settings = &patient.settings.database;
    let found = match migrate::look(settings) {
        Ok(found) => found,
        Err(error) => {
            let remedy = match &error {
                DbError::NewerSchema { .. } => "use the blogctl that migrated it, or a newer one",
                DbError::Url(_) => "correct database.url (DATABASE_URL)",
                DbError::Open { reason, .. } if reason.contains("there is no folder") => {
                    "make the folder, writable for the user that serve-api runs as, or correct database.url (DATABASE_URL)"
                }
                _ if matches!(DatabaseUrl::parse(&settings.url), Ok(DatabaseUrl::Sqlite(_))) => {
                    "see that the user blogctl runs as may read and write the file and its folder, and that it is a database"
                }
                _ => {
                    "see that the database runs and that database.url (DATABASE_URL) names it, with a user who may write"
                }
            };
            return vec![Said::failed(error.to_string(), EXPECTED, remedy)];
        }
    };
    let url = &found.url;
    let pending: Vec<_> = found.migrations.iter().filter(|migration| !migration.applied).collect();
    let at_start = settings.migrate_at_start.unwrap_or(matches!(url, DatabaseUrl::Sqlite(_)));
    vec![match (found.exists, pending.as_slice(), at_start) {
        (true, [], _) => Said::ok(format!("{url} has every migration")),
        (false, _, true) => Said::ok(format!("{url} does not exist yet: serve-api makes it when it starts")),
        (true, pending, true) => Said::ok(format!(
            "{url} lacks {} of {} migrations: serve-api applies them when it starts",
            pending.len(),
            found.migrations.len()
        )),
        (_, pending, false) => Said::failed(
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
