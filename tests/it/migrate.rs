//! `blogctl migrate`: run, status, revert, and the import from the Python system.

use std::path::Path;

use blogctl::{
    blog::{Blog, Filter, Page, Paging},
    config::DatabaseSettings,
    db::Database,
};
use diesel::{Connection, SqliteConnection, connection::SimpleConnection};
use tempfile::TempDir;

use crate::support::{
    binary::CommandOutput,
    database::{block_on, draft, each_database},
};

const TENANT: &str = "0a11ce00-0000-4000-8000-00000000000f";

fn migrate(settings: &DatabaseSettings, arguments: &[&str]) -> CommandOutput {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let url = format!("database.url={}", settings.url);
    let tenant = format!("entra.tenant_id={TENANT}");
    CommandOutput::run(
        folder.path(),
        &[&["migrate", "--set", &url, "--set", &tenant], arguments].concat(),
    )
}

#[test]
fn run_status_and_revert_report_their_work() {
    each_database(|settings| {
        let before = migrate(settings, &["status"]);
        assert_eq!(before.code, Some(0), "{before:?}");
        assert!(
            before.stdout.contains("  pending  0001_users_and_posts\n"),
            "{before:?}"
        );
        assert!(before.stdout.contains("blogctl migrate run"), "{before:?}");

        let ran = migrate(settings, &["run"]);
        assert_eq!(ran.code, Some(0), "{ran:?}");
        assert!(
            ran.stdout
                .starts_with("applied 0001_users_and_posts\napplied 0002_post_counts\n"),
            "{ran:?}"
        );
        let again = migrate(settings, &["run"]);
        assert_eq!(again.code, Some(0), "{again:?}");
        assert!(
            !again.stdout.contains("applied") && again.stdout.contains("up to date"),
            "{again:?}"
        );

        let rejected = migrate(settings, &["revert"]);
        assert_eq!(rejected.code, Some(2), "{rejected:?}");
        assert!(
            rejected.stderr.contains("--yes") && rejected.stderr.contains("0006_name_tokens"),
            "{rejected:?}"
        );
        let reverted = migrate(settings, &["revert", "--yes"]);
        assert_eq!(
            (reverted.code, reverted.stdout.as_str()),
            (Some(0), "reverted 0006_name_tokens\n"),
            "{reverted:?}"
        );

        let status = migrate(settings, &["status", "--json"]);
        let status: serde_json::Value = serde_json::from_str(&status.stdout).expect("JSON");
        assert_eq!(
            status,
            serde_json::json!([
                {"version": "0001", "name": "0001_users_and_posts", "applied": true},
                {"version": "0002", "name": "0002_post_counts", "applied": true},
                {"version": "0003", "name": "0003_idempotency_keys", "applied": true},
                {"version": "0004", "name": "0004_search", "applied": true},
                {"version": "0005", "name": "0005_search_without_pending_list", "applied": true},
                {"version": "0006", "name": "0006_name_tokens", "applied": false},
            ])
        );
    });
}

/// A file as SQLModel and SQLAlchemy create it.
struct Legacy {
    folder: TempDir,
    connection: SqliteConnection,
}

impl Legacy {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("old blog?.db");
        let uri = path.display().to_string();
        let mut connection = SqliteConnection::establish(&uri).expect("a file");
        connection
            .batch_execute(
                "CREATE TABLE users (
                    id INTEGER NOT NULL, oid VARCHAR NOT NULL, display_name VARCHAR NOT NULL,
                    created_at DATETIME NOT NULL, updated_at DATETIME NOT NULL, PRIMARY KEY (id));
                 CREATE UNIQUE INDEX ix_users_oid ON users (oid);
                 CREATE TABLE blog_posts (
                    id INTEGER NOT NULL, title VARCHAR(200) NOT NULL, content VARCHAR NOT NULL,
                    author_id INTEGER NOT NULL, created_at DATETIME NOT NULL, updated_at DATETIME NOT NULL,
                    PRIMARY KEY (id), FOREIGN KEY(author_id) REFERENCES users (id));
                 PRAGMA foreign_keys = OFF;
                 INSERT INTO users VALUES
                    (3, '0A11CE00-0000-4000-8000-000000000001', 'Alice', '2025-01-01 10:00:00', '2025-01-02 10:00:00'),
                    (8, '0a11ce00-0000-4000-8000-000000000002', '', '2025-01-01 10:00:00.5', '2025-01-01 10:00:00.5');
                 INSERT INTO blog_posts VALUES
                    (5, 'First', 'Text' || char(13, 10) || 'more', 3, '2025-02-01 10:00:00', '2025-02-01 10:00:00'),
                    (9, ' Second ', 'Text', 8, '2025-02-01 10:00:00.123456', '2025-02-03 10:00:00'),
                    (10, 'Twin', 'One', 8, '2025-02-05 10:00:00', '2025-02-05 10:00:00'),
                    (11, 'Twin', 'Two', 8, '2025-02-05 10:00:00', '2025-02-05 10:00:00');",
            )
            .expect("written");
        Self { folder, connection }
    }

    fn add(&mut self, statement: &str) {
        self.connection.batch_execute(statement).expect("written");
    }

    fn import_into(&self, settings: &DatabaseSettings, arguments: &[&str]) -> CommandOutput {
        let path = self.folder.path().join("old blog?.db").display().to_string();
        migrate(settings, &[&["import", &path], arguments].concat())
    }
}

const INVALID: &str =
    "INSERT INTO users VALUES (20, 'mallory', 'Mallory', '2025-01-01 10:00:00', '2025-01-01 10:00:00');
     INSERT INTO blog_posts VALUES
        (30, '', 'No title', 3, '2025-02-01 10:00:00', '2025-02-01 10:00:00'),
        (31, 'No content', ' ', 3, '2025-02-01 10:00:00', '2025-02-01 10:00:00'),
        (32, 'Of a user without a GUID', 'Text', 20, '2025-02-01 10:00:00', '2025-02-01 10:00:00'),
        (33, 'Of an unknown user', 'Text', 99, '2025-02-01 10:00:00', '2025-02-01 10:00:00'),
        (34, 'Some day', 'Text', 3, 'yesterday', '2025-02-01 10:00:00'),
        (35, hex(zeroblob(101)), 'Long title', 3, '2025-02-01 10:00:00', '2025-02-01 10:00:00');";

fn open(settings: &DatabaseSettings) -> Blog {
    Blog::new(Database::open(settings).expect("opens"))
}

fn list(settings: &DatabaseSettings) -> Page {
    block_on(open(settings).posts(Filter::default(), Paging::Skip(0), 100)).expect("a page")
}

#[test]
fn importing_into_an_empty_database_keeps_ids_and_times() {
    let legacy = Legacy::new();
    each_database(|settings| {
        let output = legacy.import_into(settings, &[]);
        assert_eq!(output.code, Some(0), "{output:?}");
        for reported in [
            "users    2 added, 0 existed already",
            "posts    4 added, 0 existed already",
            "ids      kept",
        ] {
            assert!(output.stdout.contains(reported), "{output:?}");
        }
        let posts = list(settings).posts;
        assert_eq!(posts.iter().map(|post| post.id).collect::<Vec<_>>(), [11, 10, 9, 5]);
        let (first, second) = (&posts[3], &posts[2]);
        assert_eq!((first.title.as_str(), first.content.as_str()), ("First", "Text\nmore"));
        assert_eq!(first.created_at.to_rfc3339(), "2025-02-01T10:00:00+00:00");
        assert_eq!(first.author.id, 3);
        assert_eq!(
            first.author.key.object_id.to_string(),
            "0a11ce00-0000-4000-8000-000000000001"
        );
        assert_eq!(first.author.key.tenant_id.to_string(), TENANT);
        assert_eq!(
            (second.title.as_str(), second.author.display_name.as_str()),
            ("Second", "Unknown user")
        );
        assert_eq!(second.created_at.to_rfc3339(), "2025-02-01T10:00:00.123456+00:00");
        assert_eq!(second.updated_at.to_rfc3339(), "2025-02-03T10:00:00+00:00");

        // New rows continue after the imported ids, and Alice is recognised when she signs in.
        let blog = open(settings);
        block_on(async {
            let (alice, is_new) = blog.ensure_user(first.author.key, "Alice").await.expect("a user");
            assert_eq!((alice.id, is_new), (3, false));
            let (_, is_new) = blog
                .ensure_user(crate::support::database::key(77), "New")
                .await
                .expect("a user");
            assert!(is_new);
            let post = blog
                .create(blogctl::blog::Rights::Write, &alice, draft("New"))
                .await
                .expect("written");
            assert!(post.id > 11, "{}", post.id);
        });
    });
}

#[test]
fn an_id_after_which_new_rows_get_none_is_rejected() {
    let mut legacy = Legacy::new();
    legacy.add(
        "INSERT INTO blog_posts VALUES
            (9223372036854775807, 'Last', 'Text', 3, '2025-02-01 10:00:00', '2025-02-01 10:00:00'),
            (9007199254740991, 'Highest', 'Text', 3, '2025-02-01 10:00:00', '2025-02-01 10:00:00');",
    );
    each_database(|settings| {
        let rejected = legacy.import_into(settings, &[]);
        assert_eq!(rejected.code, Some(1), "{rejected:?}");
        assert!(
            rejected
                .stderr
                .contains("blog_posts 9223372036854775807: its id is above 9007199254740991"),
            "{rejected:?}"
        );
        let skipped = legacy.import_into(settings, &["--skip-invalid"]);
        assert_eq!(skipped.code, Some(0), "{skipped:?}");
        let blog = open(settings);
        block_on(async {
            let author = blog
                .ensure_user(crate::support::database::key(1), "New")
                .await
                .expect("a user")
                .0;
            let post = blog
                .create(blogctl::blog::Rights::Write, &author, draft("New"))
                .await
                .expect("written");
            assert_eq!(post.id, 9_007_199_254_740_992);
        });
    });
}

#[test]
fn a_second_import_adds_only_new_rows() {
    each_database(|settings| {
        let mut legacy = Legacy::new();
        assert_eq!(legacy.import_into(settings, &[]).code, Some(0));
        legacy.add(
            "INSERT INTO blog_posts VALUES
                (40, 'Later', 'Text', 3, '2025-03-01 10:00:00', '2025-03-01 10:00:00'),
                (41, 'Triplet', 'Three', 8, '2025-02-05 10:00:00', '2025-02-05 10:00:00');",
        );
        let again = legacy.import_into(settings, &[]);
        assert_eq!(again.code, Some(0), "{again:?}");
        for reported in [
            "users    0 added, 2 existed already",
            "posts    2 added, 4 existed already",
            "ids      new",
        ] {
            assert!(again.stdout.contains(reported), "{again:?}");
        }
        let third = legacy.import_into(settings, &[]);
        assert!(
            third.stdout.contains("posts    0 added, 6 existed already"),
            "{third:?}"
        );
        assert_eq!(list(settings).total, 6);
    });
}

#[test]
fn existing_posts_keep_their_ids_and_imported_ones_get_new_ids() {
    each_database(|settings| {
        let blog = open(settings);
        Database::open(settings).expect("opens").migrate().expect("migrates");
        let mine = block_on(async {
            let author = blog
                .ensure_user(crate::support::database::key(1), "Ann")
                .await
                .expect("a user")
                .0;
            let mut last = None;
            for n in 0..6 {
                last = Some(
                    blog.create(blogctl::blog::Rights::Write, &author, draft(&format!("Mine {n}")))
                        .await
                        .expect("written"),
                );
            }
            last.expect("written")
        });
        let output = Legacy::new().import_into(settings, &[]);
        assert_eq!(output.code, Some(0), "{output:?}");
        assert_eq!(block_on(blog.post(mine.id)).expect("there"), mine);
        assert_eq!(list(settings).total, 10);
    });
}

#[test]
fn rows_that_break_a_rule_stop_the_import_unless_skipped() {
    each_database(|settings| {
        let mut legacy = Legacy::new();
        legacy.add(INVALID);
        let rejected = legacy.import_into(settings, &[]);
        assert_eq!(rejected.code, Some(1), "{rejected:?}");
        assert!(rejected.stderr.contains("7 rows are invalid"), "{rejected:?}");
        assert!(rejected.stderr.contains("--skip-invalid"), "{rejected:?}");
        let rows = [
            "users 20: oid is not a GUID",
            "blog_posts 30: title must not be empty",
            "blog_posts 31: content must not be empty",
            "blog_posts 32: its author is missing or not valid",
            "blog_posts 33: its author is missing or not valid",
            "blog_posts 34: created_at is not a time",
            "blog_posts 35: title must be 1 to 200 characters long, is 202",
        ];
        for row in rows {
            assert!(rejected.stderr.contains(row), "{row}: {rejected:?}");
        }
        assert_eq!(list(settings).total, 0);

        let skipped = legacy.import_into(settings, &["--skip-invalid"]);
        assert_eq!(skipped.code, Some(0), "{skipped:?}");
        assert!(skipped.stdout.contains("skipped  7 invalid rows"), "{skipped:?}");
        assert!(rows.iter().all(|row| skipped.stdout.contains(row)), "{skipped:?}");
        assert_eq!(list(settings).total, 4);
    });
}

#[test]
fn invalid_text_is_reported_by_table_id_and_column_and_can_be_skipped() {
    each_database(|settings| {
        let mut legacy = Legacy::new();
        legacy.add(
            "INSERT INTO users VALUES
                (21, CAST(x'ff00' AS TEXT), 'A', '2025-01-01 10:00:00', '2025-01-01 10:00:00'),
                (22, '0a11ce00-0000-4000-8000-000000000022', CAST(x'4180' AS TEXT), '2025-01-01 10:00:00', '2025-01-01 10:00:00');
             INSERT INTO blog_posts VALUES
                (40, CAST(x'476fe9' AS TEXT), 'Latin 1', 3, '2025-02-01 10:00:00', '2025-02-01 10:00:00'),
                (41, 'Half a character', CAST(x'61f09f' AS TEXT), 3, '2025-02-01 10:00:00', '2025-02-01 10:00:00'),
                (42, 'No time', 'Text', 3, CAST(x'ff' AS TEXT), '2025-02-01 10:00:00'),
                (43, 'After them', 'Text', 3, '2025-02-09 10:00:00', '2025-02-09 10:00:00');",
        );
        let rows = [
            "users 21: oid is not valid UTF-8",
            "users 22: display_name is not valid UTF-8",
            "blog_posts 40: title is not valid UTF-8",
            "blog_posts 41: content is not valid UTF-8",
            "blog_posts 42: created_at is not a time",
        ];
        let rejected = legacy.import_into(settings, &[]);
        assert_eq!(rejected.code, Some(1), "{rejected:?}");
        assert!(rows.iter().all(|row| rejected.stderr.contains(row)), "{rejected:?}");
        assert_eq!(list(settings).total, 0);
        let skipped = legacy.import_into(settings, &["--skip-invalid"]);
        assert_eq!(skipped.code, Some(0), "{skipped:?}");
        assert!(skipped.stdout.contains("skipped  5 invalid rows"), "{skipped:?}");
        assert!(rows.iter().all(|row| skipped.stdout.contains(row)), "{skipped:?}");
        assert_eq!(list(settings).total, 5);
    });
}

#[test]
fn a_file_with_utf_16_texts_is_imported() {
    each_database(|settings| {
        for encoding in ["UTF-16le", "UTF-16be"] {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let path = folder.path().join("wide.db").display().to_string();
            let mut connection = SqliteConnection::establish(&path).expect("a file");
            connection
                .batch_execute(&format!(
                    "PRAGMA encoding = '{encoding}';
                     CREATE TABLE users (id, oid, display_name, created_at, updated_at);
                     CREATE TABLE blog_posts (id, title, content, author_id, created_at, updated_at);
                     INSERT INTO users VALUES (1, '0a11ce00-0000-4000-8000-000000000001', 'Zoë', '2025-01-01 10:00:00', NULL);
                     INSERT INTO blog_posts VALUES (1, 'Grüße 🦀 {encoding}', 'Text', 1, '2025-01-01 10:00:00', NULL);"
                ))
                .expect("written");
            let output = migrate(settings, &["import", &path]);
            assert_eq!(output.code, Some(0), "{output:?}");
        }
        // Same author and time: the post of the second file exists already.
        let page = list(settings);
        assert_eq!((page.total, page.posts[0].title.as_str()), (1, "Grüße 🦀 UTF-16le"));
        assert_eq!(page.posts[0].author.display_name, "Zoë");
    });
}

#[test]
fn another_file_is_rejected_and_not_changed() {
    each_database(|settings| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let text = folder.path().join("notes.txt");
        std::fs::write(&text, "only text ".repeat(200)).expect("written");
        let empty = folder.path().join("empty.db");
        std::fs::write(&empty, "").expect("written");
        for (path, expected_text) in [
            (folder.path().join("missing.db").as_path(), "there is no such file"),
            (text.as_path(), "not a database of the Python system"),
            (empty.as_path(), "no such table: users"),
        ] {
            let output = migrate(settings, &["import", &path.display().to_string()]);
            assert_eq!(output.code, Some(1), "{output:?}");
            assert!(output.stderr.contains(expected_text), "{output:?}");
        }
        assert!(!folder.path().join("missing.db").exists());
        assert_eq!(std::fs::metadata(&empty).expect("there").len(), 0);
    });
}

#[test]
fn a_database_of_the_python_system_is_not_changed_and_the_hint_names_the_import() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut legacy = Legacy::new();
    legacy.add("PRAGMA wal_checkpoint");
    let path = folder.path().join("blog.db").display().to_string();
    std::fs::copy(legacy.folder.path().join("old blog?.db"), &path).expect("copied");
    let url = format!("database.url={path}");
    let run = |arguments: &[&str]| CommandOutput::run(folder.path(), &[arguments, &["--set", &url]].concat());

    let status = run(&["migrate", "status"]);
    assert_eq!(status.code, Some(0), "{status:?}");
    assert!(
        status.stdout.contains("blogctl migrate import") && !status.stdout.contains("migrate run"),
        "{status:?}"
    );

    let entra = ["--set", "entra.tenant_id=0a11ce00-0000-4000-8000-00000000000f"];
    let api = ["--set", "api.app_id_uri=api://blog", "--set", "api.port=0"];
    for arguments in [&["migrate", "run"][..], &[&["serve-api"][..], &entra, &api].concat()] {
        let output = run(arguments);
        assert_eq!(output.code, Some(1), "{output:?}");
        let message = format!("{path} is a database of the Python system");
        assert!(
            output.stderr.contains(&message) && output.stderr.contains("blogctl migrate import"),
            "{output:?}"
        );
    }
    let mut connection = SqliteConnection::establish(&path).expect("opens");
    connection
        .batch_execute("SELECT created_at FROM blog_posts")
        .expect("the tables are as they were");
    assert!(
        connection
            .batch_execute("SELECT version FROM __diesel_schema_migrations")
            .is_err()
    );
}

#[test]
fn an_import_needs_a_tenant() {
    let legacy = Legacy::new();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = legacy.folder.path().join("old blog?.db").display().to_string();
    let output = CommandOutput::run(folder.path(), &["migrate", "import", &path]);
    assert_eq!(output.code, Some(2), "{output:?}");
    assert!(output.stderr.contains("entra.tenant_id is not set"), "{output:?}");
}

#[test]
fn a_database_that_cannot_be_opened_is_reported_without_its_password() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let missing = Path::new("missing").join("blog.db").display().to_string();
    for (url, code, expected_text) in [
        (missing.as_str(), 1, "create it first"),
        ("mysql://blog:s3cret@host/blog", 2, "database.url"),
        (
            "postgres://blog:s3cret@127.0.0.1:9/blog",
            1,
            "postgres://127.0.0.1:9/blog",
        ),
    ] {
        let output = CommandOutput::run(
            folder.path(),
            &["migrate", "status", "--set", &format!("database.url={url}")],
        );
        assert_eq!(output.code, Some(code), "{output:?}");
        assert!(
            output.stderr.contains(expected_text) && !output.stderr.contains("s3cret"),
            "{output:?}"
        );
    }
}

/// Writes exports of both tables, and imports them.
fn import_exports(
    settings: &DatabaseSettings,
    (users_name, users): (&str, &str),
    (posts_name, posts): (&str, &str),
    more: &[&str],
) -> CommandOutput {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).expect("written");
        path.display().to_string()
    };
    let (users, posts) = (path(users_name, users), path(posts_name, posts));
    migrate(
        settings,
        &[&["import", "--users", &users, "--posts", &posts], more].concat(),
    )
}

const USERS_CSV: &str = "\u{feff}id,oid,display_name,created_at,updated_at\r\n\
     3,0A11CE00-0000-4000-8000-000000000001,Alice,2025-01-01 10:00:00+00,\r\n\
     8,0a11ce00-0000-4000-8000-000000000002,\"Bob, the \"\"other\"\"\",2025-01-01 10:00:00.5,2025-01-01 10:00:00.5\r\n";
const POSTS_CSV: &str = "title,id,content,author_id,created_at,updated_at\n\
     First,5,\"Two\nlines, and a comma\",3,2025-02-01 10:00:00,2025-02-03 10:00:00\n\
     Second,9,Text,8,2025-02-01 12:00:00.123456+02,2025-02-01 10:00:00.123456\n";
const USERS_JSON: &str = "{\"id\":3,\"oid\":\"0a11ce00-0000-4000-8000-000000000001\",\"display_name\":\"Alice\",\
     \"created_at\":\"2025-01-01T10:00:00\",\"updated_at\":null}\n";
const POSTS_JSON: &str = "\n{\"id\":5,\"title\":\"First\",\"content\":\"Two\\nlines\",\"author_id\":3,\
     \"created_at\":\"2025-02-01T10:00:00\",\"updated_at\":\"2025-02-03T10:00:00\"}";

#[test]
fn exports_as_csv_are_imported_with_their_ids() {
    each_database(|settings| {
        let import = || import_exports(settings, ("users.csv", USERS_CSV), ("posts.CSV", POSTS_CSV), &[]);
        let output = import();
        assert_eq!(output.code, Some(0), "{output:?}");
        let posts = list(settings).posts;
        assert_eq!(posts.iter().map(|post| post.id).collect::<Vec<_>>(), [9, 5]);
        let (second, first) = (&posts[0], &posts[1]);
        assert_eq!(first.content.as_str(), "Two\nlines, and a comma");
        assert_eq!(first.updated_at.to_rfc3339(), "2025-02-03T10:00:00+00:00");
        assert_eq!(second.author.display_name.as_str(), "Bob, the \"other\"");
        assert_eq!(second.created_at.to_rfc3339(), "2025-02-01T10:00:00.123456+00:00");
        let again = import();
        assert_eq!(again.code, Some(0), "{again:?}");
        assert!(
            again.stdout.contains("posts    0 added, 2 existed already"),
            "{again:?}"
        );
    });
}

#[test]
fn exports_as_json_lines_are_imported() {
    each_database(|settings| {
        let output = import_exports(settings, ("u.jsonl", USERS_JSON), ("p.json", POSTS_JSON), &[]);
        assert_eq!(output.code, Some(0), "{output:?}");
        let posts = list(settings).posts;
        assert_eq!(
            (posts.len(), posts[0].id, posts[0].content.as_str()),
            (1, 5, "Two\nlines")
        );
    });
}

#[test]
fn malformed_rows_of_exports_are_reported_by_line() {
    each_database(|settings| {
        let users = format!("{USERS_CSV}x,0a11ce00-0000-4000-8000-000000000003,C,2025-01-01 10:00:00,\r\n8,,,,\r\n");
        let posts = format!(
            "{POSTS_JSON}\n{{\"id\": 6,\n{{\"id\": 7}}\n[1]\n{}",
            POSTS_JSON.trim().replace("\"author_id\":3", "\"author_id\":[3]")
        );
        let rejected = import_exports(settings, ("u.csv", &users), ("p.jsonl", &posts), &[]);
        assert_eq!(rejected.code, Some(1), "{rejected:?}");
        let rows = [
            "users line 4: id is not a whole number",
            "users 8: its id appears twice",
            "blog_posts line 3: it is not a JSON object",
            "blog_posts line 4: it has no title",
            "blog_posts line 5: it is not a JSON object",
            "blog_posts line 6: author_id is neither a text nor a number",
        ];
        for row in rows {
            assert!(rejected.stderr.contains(row), "{row}: {rejected:?}");
        }
        assert!(rejected.stderr.contains("6 rows are invalid"), "{rejected:?}");
        assert_eq!(list(settings).total, 0);
        let skipped = import_exports(settings, ("u.csv", &users), ("p.jsonl", &posts), &["--skip-invalid"]);
        assert_eq!(skipped.code, Some(0), "{skipped:?}");
        assert_eq!(list(settings).total, 1);
    });
}

#[test]
fn rows_with_missing_columns_or_the_same_id_are_reported() {
    each_database(|settings| {
        let posts = format!("{POSTS_CSV}Third,10,Text\nTwin,5,Text,3,2025-02-01 10:00:00,\n");
        let rejected = import_exports(settings, ("u.csv", USERS_CSV), ("p.csv", &posts), &[]);
        assert_eq!(rejected.code, Some(1), "{rejected:?}");
        for row in [
            "blog_posts line 5: it has 3 columns, but the first line has 6",
            "blog_posts 5: its id appears twice",
        ] {
            assert!(rejected.stderr.contains(row), "{row}: {rejected:?}");
        }
    });
}

#[test]
fn files_that_are_no_exports_are_rejected() {
    let sqlite = crate::support::database::SqliteFile::new();
    let endless = format!("{POSTS_CSV}\"{}", "x".repeat(17 * 1024 * 1024));
    for (name, content, expected) in [
        ("posts.txt", POSTS_CSV, "its name ends neither"),
        (
            "posts.csv",
            "id,title\n1,First\n",
            "its first line has no column content",
        ),
        ("posts.json", "[{\"id\": 1}]", "it is one JSON array"),
        ("posts.csv", &endless, "line 5: a row is longer than 16 MiB"),
    ] {
        let output = import_exports(&sqlite.settings, ("users.csv", USERS_CSV), (name, content), &[]);
        assert_eq!(output.code, Some(1), "{name} {output:?}");
        assert!(output.stderr.contains(expected), "{expected}: {output:?}");
    }
    assert_eq!(list(&sqlite.settings).total, 0);
    let usage = migrate(&sqlite.settings, &["import", "--users", "users.csv"]);
    assert_eq!(usage.code, Some(2), "{usage:?}");
}
