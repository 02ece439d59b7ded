//! `blogctl seed`: what it adds, that it can be repeated, and what it rejects.

use std::path::Path;

use blogctl::{
    blog::{Blog, Filter, Page, Paging, sample},
    config::DatabaseSettings,
    db::Database,
};
use uuid::Uuid;

use crate::support::{
    binary::CommandOutput,
    database::{SqliteFile, block_on, each_database},
};

fn seed(settings: &DatabaseSettings, arguments: &[&str]) -> CommandOutput {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let url = format!("database.url={}", settings.url);
    CommandOutput::run(
        folder.path(),
        &[
            &["seed", "--set", &url, "--set", "server.environment=development"],
            arguments,
        ]
        .concat(),
    )
}

fn page(settings: &DatabaseSettings) -> Page {
    let database = Database::open(settings).expect("opens");
    block_on(Blog::new(database).posts(Filter::default(), Paging::Skip(0), 1000)).expect("a page")
}

fn migrate(settings: &DatabaseSettings) {
    Database::open(settings).expect("opens").migrate().expect("migrates");
}

#[test]
fn seed_writes_twenty_posts_by_three_users_by_default() {
    let file = SqliteFile::new();
    let output = seed(&file.settings, &[]);
    assert_eq!(output.code, Some(0), "{output:?}");
    for line in [
        &format!("Sample data in {}\n", file.settings.url),
        "users    3\n",
        "posts    20\n",
        "seed     42\n",
    ] {
        assert!(output.stdout.contains(line), "{output:?}");
    }
    // No progress bar without a terminal.
    assert_eq!(output.stderr, "");
    let page = page(&file.settings);
    assert_eq!(page.total, 20);
    let tid = Uuid::parse_str(blogctl::config::DEV_TENANT_ID).expect("a GUID");
    assert!(page.posts.iter().all(|post| post.author.key.tenant_id == tid));
}

#[test]
fn seed_writes_the_requested_number_on_both_databases() {
    each_database(|settings| {
        migrate(settings);
        let tid = "0a11ce00-0000-4000-8000-00000000000f";
        let tenant = format!("entra.tenant_id={tid}");
        let output = seed(settings, &["--users", "5", "--count", "50", "--set", &tenant]);
        assert_eq!(output.code, Some(0), "{output:?}");
        let page = page(settings);
        assert_eq!(page.total, 50);
        assert!(
            page.posts
                .iter()
                .all(|post| post.author.key.tenant_id.to_string() == tid)
        );
    });
}

#[test]
fn the_same_seed_gives_the_same_rows_on_every_database() {
    let reference = SqliteFile::new();
    assert_eq!(seed(&reference.settings, &["--seed", "7"]).code, Some(0));
    let reference = page(&reference.settings).posts;
    each_database(|settings| {
        migrate(settings);
        assert_eq!(seed(settings, &["--seed", "7"]).code, Some(0));
        assert_eq!(page(settings).posts, reference);
    });
    let other = SqliteFile::new();
    assert_eq!(seed(&other.settings, &["--seed", "8"]).code, Some(0));
    let other = page(&other.settings).posts;
    assert!(
        other
            .iter()
            .zip(&reference)
            .all(|(other, post)| other.content != post.content)
    );
}

#[test]
fn a_second_run_adds_posts_by_the_same_users() {
    let file = SqliteFile::new();
    for total in [20, 40] {
        assert_eq!(seed(&file.settings, &[]).code, Some(0));
        assert_eq!(page(&file.settings).total, total);
    }
    let users: std::collections::HashSet<i64> = page(&file.settings).posts.iter().map(|post| post.author.id).collect();
    assert_eq!(users.len(), 3);
}

#[test]
fn clear_replaces_the_data_and_needs_yes_without_a_terminal() {
    each_database(|settings| {
        migrate(settings);
        assert_eq!(seed(settings, &[]).code, Some(0));

        let rejected = seed(settings, &["--clear"]);
        assert_eq!(rejected.code, Some(2), "{rejected:?}");
        assert!(rejected.stderr.contains("--yes"), "{rejected:?}");
        assert_eq!(page(settings).total, 20);

        let cleared = seed(settings, &["--clear", "--yes", "--users", "1", "--count", "4"]);
        assert_eq!(cleared.code, Some(0), "{cleared:?}");
        assert!(cleared.stdout.contains("deleted  20 posts, 3 users"), "{cleared:?}");
        assert_eq!(page(settings).total, 4);
    });
}

#[test]
fn a_rejected_clear_does_not_create_the_file() {
    let file = SqliteFile::new();
    assert_eq!(seed(&file.settings, &["--clear"]).code, Some(2));
    assert!(!Path::new(&file.settings.url).exists());
}

#[test]
fn in_production_it_names_the_database_and_needs_yes_without_a_terminal() {
    let file = SqliteFile::new();
    let url = format!("database.url={}", file.settings.url);
    let folder = tempfile::tempdir().expect("a temporary folder");
    for environment in [&[][..], &["--set", "server.environment=production"]] {
        let rejected = CommandOutput::run(folder.path(), &[&["seed", "--set", &url], environment].concat());
        assert_eq!(rejected.code, Some(2), "{rejected:?}");
        for expected_text in [
            file.settings.url.as_str(),
            "server.environment is production",
            "hint: ",
            "--yes",
        ] {
            assert!(rejected.stderr.contains(expected_text), "{rejected:?}");
        }
        assert!(!Path::new(&file.settings.url).exists());
    }
    let output = CommandOutput::run(folder.path(), &["seed", "--yes", "--set", &url]);
    assert_eq!(output.code, Some(0), "{output:?}");
    assert_eq!(page(&file.settings).total, 20);
}

#[test]
fn the_database_of_dev_gets_sample_posts_without_a_question() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let made = CommandOutput::run(folder.path(), &["dev", "--print-env"]);
    assert_eq!(made.code, Some(0), "{made:?}");
    let output = CommandOutput::run(folder.path(), &["seed", "--set", "database.url=.blogctl/blog.db"]);
    assert_eq!(output.code, Some(0), "{output:?}");
}

#[test]
fn numbers_out_of_range_are_usage_errors() {
    let file = SqliteFile::new();
    for arguments in [
        ["--users", "0"],
        ["--users", "10001"],
        ["--count", "10000001"],
        ["--count", "-1"],
        ["--seed", "x"],
    ] {
        let output = seed(&file.settings, &arguments);
        assert_eq!(output.code, Some(2), "{arguments:?}: {output:?}");
    }
    let nothing = seed(&file.settings, &["--count", "0"]);
    assert_eq!(nothing.code, Some(0), "{nothing:?}");
    assert_eq!(page(&file.settings).total, 0);
}

#[test]
fn seed_works_while_the_api_writes() {
    let file = SqliteFile::new();
    let database = Database::open(&file.settings).expect("opens");
    database.migrate().expect("migrates");
    let blog = Blog::new(database);
    std::thread::scope(|scope| {
        let seeding = scope.spawn(|| seed(&file.settings, &["--count", "5000"]));
        block_on(async {
            let author = blog
                .ensure_user(crate::support::database::key(1), "Ann")
                .await
                .expect("a user")
                .0;
            for n in 0..20 {
                let draft = crate::support::database::draft(&format!("Post {n}"));
                blog.create(blogctl::blog::Rights::Write, &author, draft)
                    .await
                    .expect("written during the seed");
            }
        });
        let output = seeding.join().expect("it ends");
        assert_eq!(output.code, Some(0), "{output:?}");
    });
    assert_eq!(page(&file.settings).total, 5020);
}

#[test]
fn sample_posts_can_belong_to_given_users() {
    each_database(|settings| {
        let database = Database::open(settings).expect("opens");
        database.migrate().expect("migrates");
        let users: Vec<_> = [("Alice", 1), ("Bob", 2)]
            .map(|(name, number)| sample::SampleUser {
                oid: Uuid::from_u128(number),
                display_name: name.to_owned(),
            })
            .into();
        let sample = sample::Sample {
            tid: Uuid::from_u128(9),
            users,
            posts: 2500,
            seed: 1,
        };
        let mut reported = Vec::new();
        sample::fill(&database, &sample, |added| reported.push(added)).expect("filled");
        assert_eq!(reported, [1000, 1000, 500]);
        let page = page(settings);
        assert_eq!(page.total, 2500);
        assert!(
            page.posts
                .iter()
                .all(|post| ["Alice", "Bob"].contains(&post.author.display_name.as_str()))
        );
    });
}
