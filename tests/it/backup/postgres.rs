//! Backups of PostgreSQL with its own programs, whose commands blogctl prints.

use std::{fs, path::Path, process::Command};

use super::{db, execute, filled, number};
use crate::support::database::PostgresDatabase;

/// Runs a printed command in a shell, with the password from the environment.
fn shell(command: &str, database: &PostgresDatabase) {
    let url = url::Url::parse(&database.settings.url).expect("a URL");
    let output = Command::new("sh")
        .args(["-c", command])
        .env("PGPASSWORD", url.password().unwrap_or_default())
        .output()
        .expect("sh runs");
    assert!(output.status.success(), "{command}: {output:?}");
}

#[test]
fn the_printed_commands_back_up_and_restore_without_a_password() {
    let Some(source) = PostgresDatabase::new() else { return };
    filled(&source.settings, 7);
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("it's a.dump");
    let name = file.display().to_string();
    let printed = db(&source.settings, &["backup", &name]);
    assert_eq!(printed.code, Some(1), "nothing was backed up: {printed:?}");
    let url = url::Url::parse(&source.settings.url).expect("a URL");
    let password = url.password().expect("the tests' server has one");
    assert!(!format!("{printed:?}").contains(password), "{printed:?}");
    assert!(printed.stdout.starts_with("pg_dump --format=custom "), "{printed:?}");
    shell(&printed.stdout, &source);
    let verified = db(&source.settings, &["backup", "--verify", &name]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
    assert!(
        verified.stdout.contains("posts    7") && verified.stdout.contains("schema   0006"),
        "{verified:?}"
    );

    let refused = db(&source.settings, &["restore", &name]);
    assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""), "{refused:?}");
    assert!(refused.stderr.contains("contains users or posts"), "{refused:?}");

    let target = PostgresDatabase::new().expect("a server");
    let printed = db(&target.settings, &["restore", &name]);
    assert_eq!(printed.code, Some(1), "{printed:?}");
    assert!(!format!("{printed:?}").contains(password), "{printed:?}");
    shell(&printed.stdout, &target);
    assert_eq!(number(&target.settings, "SELECT count(*) AS number FROM blog_posts"), 7);
    let checked = db(&target.settings, &["check"]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
}

#[test]
fn an_incomplete_archive_is_rejected() {
    let Some(source) = PostgresDatabase::new() else { return };
    filled(&source.settings, 7);
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let rejected = |name: &str, expected: &str| {
        let output = db(&source.settings, &["backup", "--verify", &path(name)]);
        assert_eq!(output.code, Some(1), "{output:?}");
        assert!(output.stderr.contains(expected), "{expected}: {output:?}");
    };
    shell(&db(&source.settings, &["backup", &path("whole.dump")]).stdout, &source);
    let bytes = fs::read(path("whole.dump")).expect("the file");
    fs::write(path("half.dump"), &bytes[..bytes.len() * 9 / 10]).expect("written");
    rejected("half.dump", "is damaged or incomplete");

    let command = db(&source.settings, &["backup", &path("part.dump")]).stdout;
    shell(&command.replace("pg_dump ", "pg_dump --table=users "), &source);
    rejected("part.dump", "the table blog_posts is missing");

    execute(
        &source.settings,
        "UPDATE post_counts SET posts = posts + 1 WHERE slot = 3",
    );
    shell(&db(&source.settings, &["backup", &path("wrong.dump")]).stdout, &source);
    rejected("wrong.dump", "its counter says 8");
    assert!(Path::new(&path("wrong.dump")).exists());
}

#[test]
fn a_backup_of_the_other_database_is_refused_with_the_way_to_copy_it() {
    let Some(postgres) = PostgresDatabase::new() else {
        return;
    };
    let sqlite = crate::support::database::SqliteFile::new();
    filled(&sqlite.settings, 1);
    let folder = tempfile::tempdir().expect("a folder");
    let name = folder.path().join("backup.db").display().to_string();
    assert_eq!(db(&sqlite.settings, &["backup", &name]).code, Some(0));
    let output = db(&postgres.settings, &["restore", &name]);
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(output.stderr.contains("blogctl db copy"), "{output:?}");
}
