//! `blogctl db check`

use std::{fs, os::unix::fs::FileExt as _};

use blogctl::{blog::Rights, config::DatabaseSettings};
use serde_json::Value as Json;

use super::{db, execute, filled, found_by_search, make_longer, number};
use crate::support::database::{PostgresDatabase, SqliteFile, TestBlog, block_on, draft, each_database};

/// The names of the failed checks, and the exit code.
fn failed(settings: &DatabaseSettings, arguments: &[&str]) -> (Vec<String>, Option<i32>) {
    let output = db(settings, &[&["check", "--json"], arguments].concat());
    let report: Json = serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("JSON: {output:?}"));
    let checks = report["checks"].as_array().expect("checks");
    assert_eq!(checks.len(), 6, "{report}");
    let failed: Vec<String> = checks
        .iter()
        .filter(|check| check["ok"] == false)
        .map(|check| check["check"].as_str().expect("a name").to_owned())
        .collect();
    assert_eq!(report["ok"], failed.is_empty(), "{report}");
    (failed, output.code)
}

fn only(name: &str) -> (Vec<String>, Option<i32>) {
    (vec![name.to_owned()], Some(1))
}

fn nothing() -> (Vec<String>, Option<i32>) {
    (Vec::new(), Some(0))
}

#[test]
fn a_healthy_database_passes_every_check() {
    each_database(|settings| {
        filled(settings, 3);
        assert_eq!(failed(settings, &[]), nothing());
        assert_eq!(failed(settings, &["--full"]), nothing());
        let output = db(settings, &["check"]);
        assert!(output.stdout.contains("ok        counters    3 posts"), "{output:?}");
    });
}

#[test]
fn a_wrong_counter_is_found_and_repaired_after_confirmation() {
    each_database(|settings| {
        filled(settings, 3);
        execute(settings, "UPDATE post_counts SET posts = posts + 4 WHERE slot = 0");
        assert_eq!(failed(settings, &[]), only("counters"));
        let asked = db(settings, &["check", "--repair"]);
        assert_eq!(asked.code, Some(2), "{asked:?}");
        assert!(asked.stderr.contains("repair counters of"), "{asked:?}");
        assert_eq!(failed(settings, &[]), only("counters"));

        let repaired = db(settings, &["check", "--repair", "--yes"]);
        assert_eq!(repaired.code, Some(0), "{repaired:?}");
        assert!(repaired.stdout.contains("repaired  counters"), "{repaired:?}");
        assert_eq!(failed(settings, &[]), nothing());

        execute(settings, "DELETE FROM post_counts WHERE slot = 0");
        assert_eq!(failed(settings, &[]), only("counters"));
        assert_eq!(failed(settings, &["--repair", "--yes"]), nothing());
    });
}

#[test]
fn posts_that_the_search_index_lacks_or_has_left_over_are_indexed_again() {
    let sqlite = SqliteFile::new();
    let settings = &sqlite.settings;
    filled(settings, 3);
    execute(
        settings,
        "DELETE FROM post_search WHERE rowid = 2;
         INSERT INTO post_search (rowid, title, content) VALUES (99, 'Stranger', 'Stranger')",
    );
    assert_eq!(failed(settings, &[]), only("search"));
    assert_eq!(
        (found_by_search(settings, "post"), found_by_search(settings, "stranger")),
        (2, 1)
    );
    assert_eq!(failed(settings, &["--repair", "--yes"]), nothing());
    assert_eq!(
        (found_by_search(settings, "post"), found_by_search(settings, "stranger")),
        (3, 0)
    );
}

#[test]
fn posts_that_wait_for_the_index_are_no_error() {
    let sqlite = SqliteFile::new();
    let settings = &sqlite.settings;
    filled(settings, 1);
    execute(
        settings,
        "DELETE FROM post_search; INSERT INTO posts_to_index (post_id) VALUES (1)",
    );
    assert_eq!(failed(settings, &[]), nothing());
}

#[test]
fn rows_without_their_user_are_found_and_not_deleted() {
    each_database(|settings| {
        filled(settings, 3);
        let without_keys = if settings.url.starts_with("postgres") {
            "SET session_replication_role = replica"
        } else {
            "PRAGMA foreign_keys = OFF"
        };
        execute(
            settings,
            &format!("{without_keys}; INSERT INTO name_tokens (user_id, issued_at) VALUES (77, 1)"),
        );
        assert_eq!(failed(settings, &["--repair", "--yes"]), only("references"));
        let output = db(settings, &["check"]);
        assert!(output.stdout.contains("name_tokens.user_id"), "{output:?}");
        assert_eq!(
            number(
                settings,
                "SELECT count(*) AS number FROM name_tokens WHERE user_id = 77"
            ),
            1
        );
    });
}

#[test]
fn numbering_behind_the_highest_id_is_found_and_continued() {
    let Some(postgres) = PostgresDatabase::new() else {
        return;
    };
    let settings = &postgres.settings;
    let database = filled(settings, 2);
    // As pgloader and COPY do: ids are given, and the identity does not move.
    execute(
        settings,
        "INSERT INTO blog_posts (id, title, content, author_id, created_at_micros, updated_at_micros)
         SELECT id, 'Copied', 'Text', (SELECT min(id) FROM users), 1, 1 FROM generate_series(3, 40) AS id",
    );
    assert_eq!(failed(settings, &[]), only("ids"));
    assert_eq!(failed(settings, &["--repair", "--yes"]), nothing());
    let test = TestBlog {
        blog: blogctl::blog::Blog::new(database.clone()),
        database,
    };
    let post = block_on(async {
        let author = test.user(1).await;
        test.blog
            .create(Rights::Write, &author, draft("New"))
            .await
            .expect("written")
    });
    assert!(post.id > 40, "{}", post.id);
}

#[test]
fn an_id_after_which_none_is_left_is_found() {
    each_database(|settings| {
        filled(settings, 1);
        execute(
            settings,
            "INSERT INTO blog_posts (id, title, content, author_id, created_at_micros, updated_at_micros)
             SELECT 9223372036854775807, 'Last', 'Text', min(id), 1, 1 FROM users",
        );
        let (found, code) = failed(settings, &[]);
        assert!(found.contains(&"ids".to_owned()), "{found:?}");
        assert_eq!(code, Some(1));
    });
}

#[test]
fn damaged_pages_are_found() {
    let sqlite = SqliteFile::new();
    let settings = &sqlite.settings;
    filled(settings, 300).close();
    make_longer(settings);
    let path = sqlite.folder.path().join("blog.db");
    let file = fs::OpenOptions::new().write(true).open(&path).expect("the file");
    let pages = file.metadata().expect("its size").len() / 4096;
    assert!(pages > 40, "{pages}");
    // Not the first pages, which contain the schema.
    for page in (30..pages).step_by(3) {
        file.write_all_at(&[0xFF; 64], page * 4096).expect("overwritten");
    }
    let (found, code) = failed(settings, &[]);
    assert!(found.contains(&"integrity".to_owned()), "{found:?}");
    assert_eq!(code, Some(1));
}

#[test]
fn a_missing_database_is_not_created_and_an_old_one_is_not_changed() {
    let sqlite = SqliteFile::new();
    let settings = &sqlite.settings;
    let output = db(settings, &["check"]);
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("does not exist"), "{output:?}");
    assert!(!sqlite.folder.path().join("blog.db").exists());

    let database = filled(settings, 1);
    blogctl::db::migrate::revert(&database).expect("reverted");
    database.close();
    let output = db(settings, &["check"]);
    assert_eq!(output.code, Some(1), "{output:?}");
    assert!(output.stderr.contains("lacks migrations"), "{output:?}");
}
