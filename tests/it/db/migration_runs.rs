//! Runs of the migrations: plans, versions, checksums, locks.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use blogctl::{
    config::DatabaseSettings,
    db::{
        Database, DbError,
        migrate::{self, Direction, Target},
    },
};
use diesel::connection::SimpleConnection as _;
use openssl::sha::sha256;

use crate::support::{
    binary::CommandOutput,
    database::{PostgresDatabase, each_database, execute},
};

fn command(settings: &DatabaseSettings, arguments: &[&str]) -> CommandOutput {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let url = format!("database.url={}", settings.url);
    CommandOutput::run(folder.path(), &[&["migrate", "--set", &url], arguments].concat())
}

fn applied(database: &Database) -> Vec<String> {
    let known = migrate::status(database).expect("known");
    known
        .into_iter()
        .filter(|one| one.applied)
        .map(|one| one.version)
        .collect()
}

fn to(version: &str) -> Target {
    Target {
        to: Some(version.to_owned()),
        ..Target::default()
    }
}

#[test]
fn a_plan_names_files_checksums_and_costs_and_changes_nothing() {
    each_database(|settings| {
        let output = command(settings, &["plan", "--json"]);
        assert_eq!(output.code, Some(0), "{output:?}");
        let plan: serde_json::Value = serde_json::from_str(&output.stdout).expect("JSON");
        let steps = plan["steps"].as_array().expect("steps");
        assert_eq!(steps.len(), 6, "{plan}");
        for step in steps {
            let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
            let sql = std::fs::read(root.join(step["file"].as_str().expect("a file"))).expect("the migration");
            assert_eq!(step["sha256"], hex::encode(sha256(&sql)), "{step}");
            assert_eq!(step["direction"], "up", "{step}");
            assert!(!step["cost"].as_str().expect("a cost").is_empty(), "{step}");
        }
        if !settings.url.starts_with("postgres") {
            assert!(
                !std::path::Path::new(&settings.url).exists(),
                "the file was not created"
            );
        }
        let text = command(settings, &["plan", "--to", "0001"]);
        assert!(
            text.stdout.contains("  apply 0001_users_and_posts\n") && !text.stdout.contains("0002"),
            "{text:?}"
        );
    });
}

#[test]
fn a_run_stops_at_a_version_and_asks_before_it_goes_back() {
    each_database(|settings| {
        let run = command(settings, &["run", "--to", "0004"]);
        assert_eq!(run.code, Some(0), "{run:?}");
        assert!(run.stdout.ends_with("has schema version 0004\n"), "{run:?}");
        let database = Database::open(settings).expect("opens");
        assert_eq!(applied(&database), ["0001", "0002", "0003", "0004"]);

        let plan = command(settings, &["plan", "--to", "0002"]);
        let lines: Vec<_> = plan.stdout.lines().filter(|line| line.contains("revert")).collect();
        assert_eq!(lines, ["  revert 0004_search", "  revert 0003_idempotency_keys"]);
        let asked = command(settings, &["run", "--to", "0002"]);
        assert_eq!(asked.code, Some(2), "{asked:?}");
        assert!(
            asked.stderr.contains("revert 0004_search, 0003_idempotency_keys of"),
            "{asked:?}"
        );
        assert_eq!(applied(&database).len(), 4);
        let reverted = command(settings, &["run", "--to", "0002", "--yes"]);
        assert_eq!(reverted.code, Some(0), "{reverted:?}");
        assert_eq!(applied(&database), ["0001", "0002"]);

        let unknown = command(settings, &["run", "--to", "9999"]);
        assert_eq!(unknown.code, Some(1), "{unknown:?}");
        assert!(unknown.stderr.contains("there is no migration 9999"), "{unknown:?}");
        let run = command(settings, &["run"]);
        assert_eq!(run.code, Some(0), "{run:?}");
        assert_eq!(applied(&database).len(), 6);
    });
}

#[test]
fn a_failure_on_the_way_back_leaves_the_schema_as_it_was() {
    each_database(|settings| {
        let database = Database::open(settings).expect("opens");
        database.migrate().expect("migrates");
        // The second step fails: the table that it drops is missing.
        execute(&database, "DROP TABLE idempotency_keys");
        let outcome = migrate::run_to(&database, &to("0002"), |_| ());
        assert!(matches!(&outcome, Err(DbError::Migration(_))), "{outcome:?}");
        assert_eq!(applied(&database).len(), 6);
        execute(&database, "DELETE FROM name_tokens");
    });
}

#[test]
fn an_edited_migration_is_rejected_and_changes_nothing() {
    each_database(|settings| {
        let database = Database::open(settings).expect("opens");
        migrate::run_to(&database, &to("0004"), |_| ()).expect("migrates");
        execute(
            &database,
            "UPDATE __blogctl_migrations SET sha256 = '00' WHERE version = '0003'",
        );
        for outcome in [
            database.migrate(),
            database.has_pending_migrations().map(drop),
            migrate::revert(&database).map(drop),
            migrate::plan(settings, None).map(drop),
        ] {
            assert!(
                matches!(
                    &outcome,
                    Err(DbError::EditedMigration {
                        name: "0003_idempotency_keys"
                    })
                ),
                "{outcome:?}"
            );
        }
        let output = command(settings, &["run"]);
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(
            output.stderr.contains("0003_idempotency_keys was edited") && output.stderr.contains("hint:"),
            "{output:?}"
        );
        // Accepted by hand, as the hint says.
        execute(&database, "DELETE FROM __blogctl_migrations WHERE version = '0003'");
        assert_eq!(applied(&database).len(), 4);
        database.migrate().expect("migrates");
        execute(
            &database,
            "UPDATE __blogctl_migrations SET sha256 = '00' WHERE version = '0003'",
        );
        assert!(database.migrate().is_err(), "it was recorded again");
    });
}

#[test]
fn a_database_of_a_release_without_checksums_gets_them_with_the_next_run() {
    each_database(|settings| {
        let database = Database::open(settings).expect("opens");
        database.migrate().expect("migrates");
        execute(&database, "DROP TABLE __blogctl_migrations");
        assert!(!database.has_pending_migrations().expect("known"));
        assert_eq!(migrate::run(&database).expect("nothing to do"), []);
        execute(
            &database,
            "UPDATE __blogctl_migrations SET sha256 = '00' WHERE version = '0001'",
        );
        assert!(database.migrate().is_err(), "0001 was recorded");
    });
}

#[test]
fn a_run_lets_requests_pass_while_it_waits_for_a_lock() {
    let Some(postgres) = PostgresDatabase::new() else {
        return;
    };
    let database = Database::open(&postgres.settings).expect("opens");
    migrate::run_to(&database, &to("0003"), |_| ()).expect("migrates");
    let mut report = postgres.connection();
    let begin = "BEGIN; SELECT count(*) FROM blog_posts";
    report.batch_execute(begin).expect("a long transaction");

    let impatient = Target {
        lock_wait: Duration::ZERO,
        ..Target::default()
    };
    let outcome = migrate::run_to(&database, &impatient, |_| ());
    assert!(matches!(&outcome, Err(DbError::MigrationBlocked { .. })), "{outcome:?}");
    assert_eq!(applied(&database).len(), 3);

    let attempts = AtomicU32::new(0);
    let ran = thread::scope(|scope| {
        let run = scope.spawn(|| {
            migrate::run_to(&database, &Target::default(), |step| {
                if step.version == "0004" && step.direction == Direction::Up {
                    attempts.fetch_add(1, Ordering::SeqCst);
                }
            })
        });
        // The second attempt: the first has given its locks back.
        while attempts.load(Ordering::SeqCst) < 2 && !run.is_finished() {
            thread::yield_now();
        }
        report.batch_execute("COMMIT").expect("the transaction ends");
        run.join().expect("no panic")
    });
    assert_eq!(ran.expect("migrates").len(), 3);
    assert!(attempts.load(Ordering::SeqCst) >= 2);
    assert_eq!(applied(&database).len(), 6);
}
