//! `blogctl doctor` on databases that are missing, read-only or unreachable.

use std::{
    fs::{self, Permissions},
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _, symlink},
        process::CommandExt as _,
    },
    path::Path,
    process::Command,
};

use blogctl::db::Database;
use diesel::{Connection as _, PgConnection, RunQueryDsl as _, SqliteConnection, connection::SimpleConnection as _};
use tempfile::TempDir;
use url::Url;

use super::{DoctorSetup, section};
use crate::support::{
    binary::{CommandOutput, blogctl},
    database::each_database,
};

#[test]
fn an_impossible_database_path_differs_from_a_missing_file() {
    let setup = DoctorSetup::new();
    let folder = setup.folder.path();
    let database = |file: &str| {
        section(
            &setup.report(&[&format!("database.url={}", folder.join(file).display())]),
            " Database ",
        )
    };
    assert!(database("new.db").contains("serve-api creates it when it starts"));
    let nowhere = database("missing/new.db");
    assert!(
        nowhere.starts_with('✗') && nowhere.contains("there is no folder HERE/missing"),
        "{nowhere}"
    );
    fs::write(
        folder.join("text.db"),
        "this is no database, whatever it is called; it is long enough to be looked at",
    )
    .expect("written");
    assert!(nowhere.contains("create the folder"), "{nowhere}");
    let text = database("text.db");
    assert!(
        text.starts_with('✗') && text.contains("that it is a database"),
        "{text}"
    );
    symlink(folder.join("nowhere/blog.db"), folder.join("link.db")).expect("a link");
    let link = database("link.db");
    assert!(
        link.starts_with('✗') && link.contains("there is no folder HERE/nowhere"),
        "{link}"
    );
    fs::create_dir(folder.join("nowhere")).expect("made");
    assert!(
        database("link.db").contains("serve-api creates it when it starts"),
        "SQLite makes what the link leads to"
    );
    symlink("circle.db", folder.join("circle.db")).expect("a link");
    let circle = database("circle.db");
    assert!(
        circle.starts_with('✗') && circle.contains("leads back to itself"),
        "{circle}"
    );
}

#[test]
fn the_write_ahead_log_counts_even_behind_a_link() {
    let setup = DoctorSetup::new();
    let folder = setup.folder.path();
    let database = |name: &str| format!("database.url={}", folder.join(name).display());
    let migrated = CommandOutput::run(folder, &["migrate", "run", "--set", &database("real.db")]);
    assert_eq!(migrated.code, Some(0), "{migrated:?}");
    fs::create_dir(folder.join("links")).expect("made");
    symlink("../real.db", folder.join("links/blog.db")).expect("a link");
    let path = folder.join("real.db");
    let mut running = SqliteConnection::establish(path.to_str().expect("UTF-8")).expect("opens");
    let newest = "(SELECT max(version) FROM __diesel_schema_migrations)";
    let forget = format!("DELETE FROM __diesel_schema_migrations WHERE version = {newest}");
    diesel::sql_query(forget).execute(&mut running).expect("deleted");
    for name in ["real.db", "links/blog.db"] {
        let reported = section(&setup.report(&[&database(name)]), " Database ");
        assert!(reported.contains("lacks 1 of"), "{name}: {reported}");
    }
}

#[test]
fn a_folder_that_allows_no_database_is_reported() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    fs::create_dir(&data).expect("made");
    let program = folder.path().join("blogctl");
    // In a separate process, because this process cannot run a file that it writes while another test forks.
    let copied = Command::new("cp")
        .arg(env!("CARGO_BIN_EXE_blogctl"))
        .arg(&program)
        .status()
        .expect("it runs");
    assert!(copied.success());
    let mode = |path: &Path, mode| fs::set_permissions(path, Permissions::from_mode(mode)).expect("a mode");
    mode(folder.path(), 0o755);
    let database = |name: &str| {
        let mut command = Command::new(&program);
        command
            .env_clear()
            .current_dir(folder.path())
            .args(["doctor", "--role", "api"]);
        command.env("BLOG_DATABASE__URL", data.join(name).display().to_string());
        if fs::metadata("/proc/self").expect("this process").uid() == 0 {
            // Root may do everything.
            command.uid(65_534).gid(65_534);
        }
        section(&CommandOutput::from_command(&mut command).stdout, " Database ")
    };
    fs::write(data.join("there.db"), "").expect("written");
    mode(&data.join("there.db"), 0o666);
    mode(&data, 0o555);
    for name in ["new.db", "there.db"] {
        let reported = database(name);
        let expected = format!(
            "no file can be created in the folder {}: Permission denied",
            data.display()
        );
        assert!(reported.starts_with('✗') && reported.contains(&expected), "{reported}");
        assert!(
            reported.contains("can read and write the file and its folder"),
            "{reported}"
        );
    }
    fs::create_dir(data.join("inner"))
        .or_else(|_| {
            mode(&data, 0o755);
            fs::create_dir(data.join("inner"))
        })
        .expect("made");
    mode(&data, 0o600);
    let reported = database("inner/new.db");
    let expected = format!(
        "the folder {} cannot be read: Permission denied",
        data.join("inner").display()
    );
    assert!(
        reported.starts_with('✗') && reported.contains(&expected) && !reported.contains("create the folder"),
        "{reported}"
    );
    mode(&data, 0o777);
    assert!(database("new.db").starts_with('✓'), "{}", database("new.db"));
}

#[test]
fn a_read_only_postgres_is_reported() {
    let folder = tempfile::tempdir().expect("a folder");
    each_database(|settings| {
        let Ok(mut url) = Url::parse(&settings.url) else { return };
        Database::open(settings).expect("opens").migrate().expect("migrates");
        let database = |url: &Url| {
            let mut command = blogctl(folder.path());
            let output = CommandOutput::from_command(
                command
                    .env("DATABASE_URL", url.as_str())
                    .args(["doctor", "--role", "api"]),
            );
            section(&output.stdout, " Database ")
        };
        assert!(database(&url).starts_with('✓'), "{}", database(&url));
        let mut read_only = url.clone();
        read_only.set_query(Some("options=-c%20default_transaction_read_only%3Don"));
        let reported = database(&read_only);
        assert!(
            reported.starts_with('✗') && reported.contains("its transactions are read-only"),
            "{reported}"
        );

        let mut admin = PgConnection::establish(&settings.url).expect("the server");
        let role = format!("reader_of{}", url.path().replace('/', "_"));
        for statement in [
            format!("CREATE ROLE {role} LOGIN PASSWORD 'reads'"),
            format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"),
        ] {
            diesel::sql_query(statement).execute(&mut admin).expect("done");
        }
        url.set_username(&role)
            .and_then(|()| url.set_password(Some("reads")))
            .expect("a user");
        let reported = database(&url);
        let dropped = format!("DROP OWNED BY {role}; DROP ROLE {role}");
        admin.batch_execute(&dropped).expect("dropped");
        assert!(
            reported.starts_with('✗') && reported.contains("may not read and write all of blog_posts"),
            "{reported}"
        );
        assert!(reported.contains("name_tokens"), "{reported}");
    });
}

#[test]
fn the_password_of_a_database_is_not_shown() {
    let setup = DoctorSetup::new();
    let output = setup.doctor(&["database.url=postgres://blog:s3cretPassword@127.0.0.1:9/blog"]);
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stdout.contains("postgres://127.0.0.1:9/blog"), "{output:?}");
    assert!(!format!("{output:?}").contains("s3cretPassword"), "{output:?}");
}

#[test]
fn the_status_of_migrations_creates_no_file() {
    let folder: TempDir = tempfile::tempdir().expect("a folder");
    let output = CommandOutput::run(folder.path(), &["migrate", "status"]);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.stdout.contains("the file does not exist yet"), "{output:?}");
    let files: Vec<_> = fs::read_dir(Path::new(folder.path())).expect("a folder").collect();
    assert!(files.is_empty(), "{files:?}");
}
