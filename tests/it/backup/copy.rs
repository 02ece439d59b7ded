//! `blogctl db copy`: between both databases, in both directions.

use std::fs;

use blogctl::{
    blog::{Blog, Filter, Paging, Rights},
    config::DatabaseSettings,
    db::{
        Database,
        copy::{self, CopyError, Step, Unfinished},
    },
};

use super::{db, execute, filled, found_by_search, number};
use crate::support::{
    binary::CommandOutput,
    database::{PostgresDatabase, SqliteFile, TestBlog, block_on, draft},
};

/// Runs a test with each pair of databases: a filled source, and a target without a schema.
fn each_pair(posts: usize, test: impl Fn(&DatabaseSettings, &DatabaseSettings)) {
    let (from, to) = (SqliteFile::new(), SqliteFile::new());
    fill(&from.settings, posts);
    test(&from.settings, &to.settings);
    let (Some(first), Some(second)) = (PostgresDatabase::new(), PostgresDatabase::new()) else {
        return;
    };
    test(&from.settings, &first.settings);
    let to = SqliteFile::new();
    fill(&second.settings, posts);
    test(&second.settings, &to.settings);
}

/// Gaps in the ids, an idempotency key, a name token, and a last post that was deleted.
fn fill(settings: &DatabaseSettings, posts: usize) {
    filled(settings, posts);
    execute(
        settings,
        "INSERT INTO name_tokens (user_id, issued_at) SELECT min(id), 1790000000 FROM users;
         DELETE FROM blog_posts WHERE id = 2 OR id = (SELECT max(id) FROM blog_posts);",
    );
    let fingerprint = if settings.url.starts_with("postgres") {
        "sha256('x')"
    } else {
        "randomblob(32)"
    };
    execute(
        settings,
        &format!(
            "INSERT INTO idempotency_keys (user_id, key, fingerprint, post_id, post_version, answer, created_at_micros)
             SELECT id, 'key ' || id, {fingerprint}, 1, 5, 'Answer é', 1790000000000000 FROM users"
        ),
    );
}

fn copied(from: &DatabaseSettings, to: &DatabaseSettings, unfinished: Unfinished) -> Result<copy::Report, CopyError> {
    let (from, to) = (Database::open(from).expect("opens"), Database::open(to).expect("opens"));
    copy::run(&from, &to, unfinished, |_| ())
}

/// Copies, and stops after the first batch of posts, as a killed process does.
fn interrupted(from: &DatabaseSettings, to: &DatabaseSettings) {
    let (from, to) = (Database::open(from).expect("opens"), Database::open(to).expect("opens"));
    let mut batches = 0;
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        copy::run(&from, &to, Unfinished::Continue, |step| {
            if let Step::Copied(_) = step {
                batches += 1;
                assert!(batches < 2, "interrupted");
            }
        })
    }));
    assert!(outcome.is_err(), "it was interrupted");
}

#[test]
fn everything_is_copied_and_new_rows_continue_after_it() {
    each_pair(12, |from, to| {
        let report = copied(from, to, Unfinished::Continue).expect("copied");
        let rows: Vec<_> = report.tables.iter().map(|table| (table.table, table.rows)).collect();
        let expected = [
            ("users", 2),
            ("blog_posts", 10),
            ("name_tokens", 1),
            ("idempotency_keys", 2),
        ];
        assert_eq!(rows, expected);
        for sum in [
            "SELECT CAST(sum(id * 7 + author_id + created_at_micros + updated_at_micros) AS BIGINT) AS number FROM blog_posts",
            "SELECT CAST(sum(octet_length(title) + octet_length(content)) AS BIGINT) AS number FROM blog_posts",
            "SELECT CAST(sum(posts) AS BIGINT) AS number FROM post_counts",
        ] {
            assert_eq!(number(from, sum), number(to, sum), "{sum}");
        }
        assert_eq!(found_by_search(to, "post"), 10);
        let checked = db(to, &["check"]);
        assert_eq!(checked.code, Some(0), "{checked:?}");
        // The highest id, 12, was deleted, and is not given again.
        let database = Database::open(to).expect("opens");
        let test = TestBlog {
            blog: Blog::new(database.clone()),
            database,
        };
        block_on(async {
            let author = test.user(1).await;
            let post = test
                .blog
                .create(Rights::Write, &author, draft("New"))
                .await
                .expect("written");
            assert_eq!(post.id, 13);
            let page = test
                .blog
                .posts(Filter::default(), Paging::Skip(0), 50)
                .await
                .expect("a page");
            assert_eq!((page.total, page.posts.len()), (11, 11));
        });
    });
}

#[test]
fn an_interrupted_copy_is_marked_and_continues() {
    each_pair(12, |from, to| {
        interrupted(from, to);
        let checked = db(to, &["check"]);
        assert_eq!(checked.code, Some(1), "{checked:?}");
        assert!(checked.stdout.contains("has not finished"), "{checked:?}");
        let report = copied(from, to, Unfinished::Continue).expect("continued");
        assert!(report.continued_after > 0, "{report:?}");
        assert_eq!(report.tables[1].rows, 10);
        assert_eq!(db(to, &["check"]).code, Some(0));
    });
}

#[test]
fn a_source_that_changed_since_the_interruption_is_noticed() {
    each_pair(12, |from, to| {
        interrupted(from, to);
        execute(
            from,
            "UPDATE users SET display_name = display_name || ' x' WHERE id = (SELECT min(id) FROM users)",
        );
        let outcome = copied(from, to, Unfinished::Continue);
        assert!(
            matches!(&outcome, Err(CopyError::Differs { table: "users", .. })),
            "{outcome:?}"
        );
        assert!(db(to, &["check"]).stdout.contains("has not finished"));
        copied(from, to, Unfinished::Restart).expect("copied again");
        assert_eq!(
            number(to, "SELECT count(*) AS number FROM users WHERE display_name LIKE '% x'"),
            1
        );
    });
}

#[test]
fn other_data_in_the_target_is_never_touched() {
    each_pair(3, |from, to| {
        filled(to, 1);
        for unfinished in [Unfinished::Continue, Unfinished::Restart] {
            let outcome = copied(from, to, unfinished);
            assert!(matches!(&outcome, Err(CopyError::NotEmpty { .. })), "{outcome:?}");
        }
        assert_eq!(number(to, "SELECT count(*) AS number FROM blog_posts"), 1);
        let outcome = copied(from, from, Unfinished::Continue);
        assert!(matches!(&outcome, Err(CopyError::SameDatabase { .. })), "{outcome:?}");
    });
}

#[test]
fn an_unfinished_copy_of_another_source_is_never_touched() {
    let other = SqliteFile::new();
    fill(&other.settings, 3);
    each_pair(12, |from, to| {
        interrupted(from, to);
        let outcome = copied(&other.settings, to, Unfinished::Continue);
        assert!(matches!(&outcome, Err(CopyError::OtherCopy { .. })), "{outcome:?}");
        assert_eq!(number(to, "SELECT count(*) AS number FROM users"), 2);
    });
}

#[test]
fn the_command_takes_passwords_from_files_only() {
    let sqlite = SqliteFile::new();
    fill(&sqlite.settings, 12);
    let Some(postgres) = PostgresDatabase::new() else {
        return;
    };
    let here = tempfile::tempdir().expect("a folder");
    let copy = |arguments: &[&str]| CommandOutput::run(here.path(), &[&["db", "copy"], arguments].concat());
    let from = &*sqlite.settings.url;
    let with_password = &*postgres.settings.url;
    let refused = copy(&["--from", from, "--to", with_password]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(
        refused.stderr.contains("every user of this machine can read"),
        "{refused:?}"
    );

    let mut url = url::Url::parse(with_password).expect("a URL");
    let password = url.password().expect("the tests' server has one").to_owned();
    assert!(!format!("{refused:?}").contains(&password), "{refused:?}");
    url.set_password(None).expect("no password");
    let file = here.path().join("password");
    fs::write(&file, format!("{password}\n")).expect("written");
    let file = file.display().to_string();
    let output = copy(&["--from", from, "--to", url.as_str(), "--to-password-file", &file]);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(output.stdout.contains("blog_posts               10 rows"), "{output:?}");

    // And back, with the source's password from the settings.
    let back = here.path().join("back.db").display().to_string();
    let setting = format!("database.password_file={file}");
    let url = format!("database.url={url}");
    let output = copy(&["--set", &url, "--set", &setting, "--to", &back]);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert!(!format!("{output:?}").contains(&password), "{output:?}");
    assert_eq!(
        copy(&["--from", "missing.db", "--to", "other.db"]).code,
        Some(1),
        "a missing source"
    );
    assert!(!here.path().join("missing.db").exists());
}
