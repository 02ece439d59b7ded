//! Opening a database: the error messages, and the settings of an SQLite connection.

use std::time::{Duration, Instant};

use blogctl::{
    config::DatabaseSettings,
    db::{BlockingConnection, Database, DbError},
};
use diesel::{QueryableByName, RunQueryDsl, sql_types::Text};

use crate::support::database::{SqliteFile, block_on, each_database};

fn settings(url: impl Into<String>) -> DatabaseSettings {
    DatabaseSettings {
        url: url.into(),
        ..DatabaseSettings::default()
    }
}

fn rejection(url: impl Into<String>) -> String {
    match Database::open(&settings(url)) {
        Ok(_) => panic!("must not open"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_missing_folder_a_folder_and_another_file_are_reported() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let missing = folder.path().join("missing/blog.db").display().to_string();
    let message = rejection(&missing);
    assert!(
        message.contains(&missing) && message.contains("create it first"),
        "{message}"
    );

    let message = rejection(folder.path().display().to_string());
    assert!(message.contains("this is a folder"), "{message}");

    let text = folder.path().join("notes.txt");
    std::fs::write(
        &text,
        "Not a database, but more than a hundred bytes of text. ".repeat(20),
    )
    .expect("written");
    let message = rejection(text.display().to_string());
    assert!(
        message.contains("notes.txt") && message.contains("not a database"),
        "{message}"
    );
}

#[test]
fn an_unreachable_server_is_reported_without_its_password() {
    // No server listens on port 9 (discard) on loopback.
    let begun = Instant::now();
    let message = rejection("postgres://blog:s3cret@127.0.0.1:9/blog");
    assert!(message.contains("postgres://127.0.0.1:9/blog"), "{message}");
    assert!(!message.contains("s3cret"), "{message}");
    assert!(begun.elapsed() < Duration::from_secs(30), "it gives up");
}

#[test]
fn a_database_without_schema_is_not_ready_and_one_with_it_is() {
    each_database(|settings| {
        let database = Database::open(settings).expect("opens");
        let unready = block_on(database.ping());
        assert!(matches!(unready, Err(DbError::Statement(_))), "{unready:?}");
        database.migrate().expect("migrates");
        block_on(database.ping()).expect("ready");
        database.close();
        let closed = block_on(database.ping());
        assert!(matches!(closed, Err(DbError::Closed)), "{closed:?}");
        // Closing twice is harmless.
        database.close();
    });
}

#[test]
fn every_notation_of_an_sqlite_path_is_accepted() {
    let file = SqliteFile::new();
    let path = file.folder.path().join("a name? with #everything%20 & :memory:.db");
    let database = Database::open(&settings(path.display().to_string())).expect("opens");
    database.migrate().expect("migrates");
    database.close();
    assert!(path.is_file());
    let database = Database::open(&settings(format!(
        "sqlite:////{}",
        file.folder.path().join("b.db").display()
    )));
    database.expect("opens").migrate().expect("migrates");
    assert!(file.folder.path().join("b.db").is_file());
}

#[derive(QueryableByName)]
struct Value {
    #[diesel(sql_type = Text)]
    value: String,
}

#[test]
fn sqlite_writes_are_durable_and_foreign_keys_hold() {
    let file = SqliteFile::new();
    let database = Database::open(&file.settings).expect("opens");
    let mut connection = database.connect().expect("a connection");
    let BlockingConnection::Sqlite(connection) = &mut connection else {
        panic!("SQLite")
    };
    for (pragma, expected) in [("journal_mode", "wal"), ("synchronous", "2"), ("foreign_keys", "1")] {
        let found: Value = diesel::sql_query(format!("SELECT CAST({pragma} AS TEXT) AS value FROM pragma_{pragma}"))
            .get_result(connection)
            .expect(pragma);
        assert_eq!(found.value, expected, "{pragma}");
    }
}

#[test]
fn a_reader_of_sqlite_cannot_write() {
    let file = SqliteFile::new();
    let database = Database::open(&file.settings).expect("opens");
    database.migrate().expect("migrates");
    block_on(async {
        let short: Result<usize, DbError> = database.read_short(blogctl::db::users::delete_all).await;
        assert!(
            matches!(&short, Err(DbError::Statement(error)) if error.to_string().contains("readonly")),
            "{short:?}"
        );
        let long: Result<usize, DbError> = database.read_long(blogctl::db::users::delete_all).await;
        assert!(
            matches!(&long, Err(DbError::Statement(error)) if error.to_string().contains("readonly")),
            "{long:?}"
        );
    });
}
