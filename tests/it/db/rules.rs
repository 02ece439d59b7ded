//! Who may do what with a post, and what is stored.

use std::time::{Duration, Instant};

use blogctl::{
    blog::{Blog, BlogError, Content, PostChange, Precondition, Title, TokenName, User, UserKey, Version},
    db::Database,
};
use diesel::{RunQueryDsl, connection::SimpleConnection};
use uuid::Uuid;

use crate::support::database::{PostgresDatabase, block_on, draft, each_blog, key};

fn new_title(title: &str) -> PostChange {
    PostChange {
        title: Some(Title::parse(title).expect("a title")),
        content: None,
    }
}

#[test]
fn a_post_is_read_as_it_was_written() {
    each_blog(async |test| {
        let author = test.user(1).await;
        let written = test
            .blog
            .create(blogctl::blog::Rights::Write, &author, draft("Grüße, 世界 👋 %_\\'\""))
            .await
            .expect("written");
        let read = test.blog.post(written.id).await.expect("read");
        assert_eq!(read, written);
        assert_eq!(read.author, author);
        assert_eq!(read.created_at, read.updated_at);
        assert_eq!(read.content, "About Grüße, 世界 👋 %_\\'\"");
    });
}

#[test]
fn a_user_is_created_once() {
    each_blog(async |test| {
        let (made, is_new) = test.blog.ensure_user(key(7), "Ann").await.expect("a user");
        assert!(is_new);
        assert_eq!((made.key, made.display_name.as_str()), (key(7), "Ann"));
        let (known, is_new) = test.blog.ensure_user(key(7), "Ann").await.expect("a user");
        assert!(!is_new);
        assert_eq!(known, made);
    });
}

#[test]
fn the_same_object_id_in_another_tenant_is_another_user() {
    each_blog(async |test| {
        let here = test.user(1).await;
        let there = UserKey {
            tenant_id: Uuid::from_u128(0xBBBB),
            object_id: here.key.object_id,
        };
        let (there, is_new) = test.blog.ensure_user(there, "Eve").await.expect("a user");
        assert!(is_new);
        assert_ne!(there.id, here.id);
        let post = test
            .blog
            .create(blogctl::blog::Rights::Write, &here, draft("Mine"))
            .await
            .expect("written");
        let outcome = test
            .blog
            .delete(crate::support::database::acting(there.key), post.id, None)
            .await;
        assert!(matches!(outcome, Err(BlogError::NotAuthor)), "{outcome:?}");
    });
}

#[test]
fn a_changed_name_is_stored_and_an_empty_one_ignored() {
    each_blog(async |test| {
        let (first, _) = test.blog.ensure_user(key(1), " \u{200B}").await.expect("a user");
        assert_eq!(first.display_name, "Unknown user");
        for (given, kept) in [
            ("Ann\0", "Ann"),
            ("", "Ann"),
            ("\u{200B}", "Ann"),
            ("Ann Archer", "Ann Archer"),
        ] {
            let (user, is_new) = test.blog.ensure_user(key(1), given).await.expect("a user");
            assert_eq!(
                (user.display_name.as_str(), is_new, user.id),
                (kept, false, first.id),
                "{given:?}"
            );
        }
        let (user, _) = test.blog.ensure_user(key(1), &"é".repeat(500)).await.expect("a user");
        assert_eq!(user.display_name, "é".repeat(200));
        assert!(user.updated_at > first.updated_at);
        let post = test
            .blog
            .create(blogctl::blog::Rights::Write, &user, draft("Named"))
            .await
            .expect("written");
        assert_eq!(test.blog.post(post.id).await.expect("read").author, user);
    });
}

#[test]
fn concurrent_first_requests_create_one_user() {
    each_blog(async |test| {
        let requests = (0..20).map(|_| test.blog.ensure_user(key(9), "Ann"));
        let made = futures_util::future::join_all(requests).await;
        let made: Vec<(User, bool)> = made.into_iter().map(|outcome| outcome.expect("a user")).collect();
        assert_eq!(made.iter().filter(|(_, is_new)| *is_new).count(), 1);
        assert!(made.iter().all(|(user, _)| user.id == made[0].0.id));
    });
}

#[test]
fn a_change_changes_what_it_names_and_nothing_else() {
    each_blog(async |test| {
        let author = test.user(1).await;
        let other = test
            .blog
            .create(blogctl::blog::Rights::Write, &author, draft("Other"))
            .await
            .expect("written");
        let before = test
            .blog
            .create(blogctl::blog::Rights::Write, &author, draft("Before"))
            .await
            .expect("written");

        let after = test
            .blog
            .change(
                crate::support::database::acting(author.key),
                before.id,
                new_title("After"),
                None,
            )
            .await
            .expect("changed");
        assert_eq!((after.title.as_str(), &after.content), ("After", &before.content));
        assert_eq!(after.created_at, before.created_at);
        assert!(after.updated_at > before.updated_at);

        let content = Some(Content::parse("New", 10).expect("a content"));
        let change = PostChange { title: None, content };
        let last = test
            .blog
            .change(
                crate::support::database::acting(author.key),
                before.id,
                change,
                Some(Precondition::Version(after.version())),
            )
            .await
            .expect("changed");
        assert_eq!((last.title.as_str(), last.content.as_str()), ("After", "New"));
        assert_eq!(test.blog.post(before.id).await.expect("read"), last);
        assert_eq!(test.blog.post(other.id).await.expect("read"), other);
    });
}

#[test]
fn a_change_of_nothing_leaves_the_version_as_it_is() {
    each_blog(async |test| {
        let author = test.user(1).await;
        let post = test
            .blog
            .create(blogctl::blog::Rights::Write, &author, draft("Same"))
            .await
            .expect("written");
        let same = test
            .blog
            .change(
                crate::support::database::acting(author.key),
                post.id,
                PostChange::default(),
                None,
            )
            .await
            .expect("allowed");
        assert_eq!(same, post);
    });
}

#[test]
fn every_change_makes_another_version() {
    each_blog(async |test| {
        let author = test.user(1).await;
        let mut version = test
            .blog
            .create(blogctl::blog::Rights::Write, &author, draft("Counted"))
            .await
            .expect("written")
            .version();
        for _ in 0..50 {
            let post = test
                .blog
                .posts(blogctl::blog::Filter::default(), blogctl::blog::Paging::Skip(0), 1)
                .await
                .expect("read");
            let changed = test.blog.change(
                crate::support::database::acting(author.key),
                post.posts[0].id,
                new_title("Same title"),
                Some(Precondition::Version(version)),
            );
            let changed = changed.await.expect("changed").version();
            assert!(changed.0 > version.0);
            version = changed;
        }
    });
}

#[test]
fn only_the_author_changes_or_deletes_a_post() {
    each_blog(async |test| {
        let (author, other) = (test.user(1).await, test.user(2).await);
        let post = test
            .blog
            .create(blogctl::blog::Rights::Write, &author, draft("Mine"))
            .await
            .expect("written");
        // Authorship is checked first, with a current and with a stale version.
        for expected in [
            None,
            Some(Precondition::Version(post.version())),
            Some(Precondition::Version(Version(1))),
        ] {
            let changed = test
                .blog
                .change(
                    crate::support::database::acting(other.key),
                    post.id,
                    new_title("Stolen"),
                    expected.clone(),
                )
                .await;
            assert!(matches!(changed, Err(BlogError::NotAuthor)), "{changed:?}");
            let deleted = test
                .blog
                .delete(crate::support::database::acting(other.key), post.id, expected)
                .await;
            assert!(matches!(deleted, Err(BlogError::NotAuthor)), "{deleted:?}");
        }
        assert_eq!(test.blog.post(post.id).await.expect("still there"), post);
    });
}

#[test]
fn a_stale_version_is_rejected() {
    each_blog(async |test| {
        let author = test.user(1).await;
        let first = test
            .blog
            .create(blogctl::blog::Rights::Write, &author, draft("First"))
            .await
            .expect("written");
        let second = test
            .blog
            .change(
                crate::support::database::acting(author.key),
                first.id,
                new_title("Second"),
                Some(Precondition::Version(first.version())),
            )
            .await
            .expect("changed");
        let changed = test
            .blog
            .change(
                crate::support::database::acting(author.key),
                first.id,
                new_title("Lost"),
                Some(Precondition::Version(first.version())),
            )
            .await;
        assert!(matches!(changed, Err(BlogError::Stale)), "{changed:?}");
        let deleted = test
            .blog
            .delete(
                crate::support::database::acting(author.key),
                first.id,
                Some(Precondition::Version(first.version())),
            )
            .await;
        assert!(matches!(deleted, Err(BlogError::Stale)), "{deleted:?}");
        assert_eq!(test.blog.post(first.id).await.expect("still there"), second);
        test.blog
            .delete(
                crate::support::database::acting(author.key),
                first.id,
                Some(Precondition::Version(second.version())),
            )
            .await
            .expect("deleted");
    });
}

#[test]
fn of_many_concurrent_changes_of_one_version_one_succeeds() {
    each_blog(async |test| {
        let author = test.user(1).await;
        let post = test
            .blog
            .create(blogctl::blog::Rights::Write, &author, draft("Contested"))
            .await
            .expect("written");
        let changes = (0..16).map(|n| {
            test.blog.change(
                crate::support::database::acting(author.key),
                post.id,
                new_title(&format!("By {n}")),
                Some(Precondition::Version(post.version())),
            )
        });
        let outcomes = futures_util::future::join_all(changes).await;
        assert_eq!(
            outcomes.iter().filter(|outcome| outcome.is_ok()).count(),
            1,
            "{outcomes:?}"
        );
        assert_eq!(
            outcomes
                .iter()
                .filter(|outcome| matches!(outcome, Err(BlogError::Stale)))
                .count(),
            15
        );
    });
}

#[test]
fn a_missing_post_is_not_found() {
    each_blog(async |test| {
        let author = test.user(1).await;
        let post = test
            .blog
            .create(blogctl::blog::Rights::Write, &author, draft("Short-lived"))
            .await
            .expect("written");
        test.blog
            .delete(crate::support::database::acting(author.key), post.id, None)
            .await
            .expect("deleted");
        for id in [post.id, 0, -1, i64::MAX, i64::MIN] {
            let read = test.blog.post(id).await;
            assert!(matches!(read, Err(BlogError::PostNotFound)), "{read:?}");
            let changed = test
                .blog
                .change(
                    crate::support::database::acting(author.key),
                    id,
                    new_title("Ghost"),
                    None,
                )
                .await;
            assert!(matches!(changed, Err(BlogError::PostNotFound)), "{changed:?}");
            let deleted = test
                .blog
                .delete(
                    crate::support::database::acting(author.key),
                    id,
                    Some(Precondition::Version(Version(1))),
                )
                .await;
            assert!(matches!(deleted, Err(BlogError::PostNotFound)), "{deleted:?}");
        }
    });
}

#[test]
fn the_id_of_a_deleted_post_is_never_reused() {
    each_blog(async |test| {
        let author = test.user(1).await;
        let first = test
            .blog
            .create(blogctl::blog::Rights::Write, &author, draft("First"))
            .await
            .expect("written");
        test.blog
            .delete(crate::support::database::acting(author.key), first.id, None)
            .await
            .expect("deleted");
        let second = test
            .blog
            .create(blogctl::blog::Rights::Write, &author, draft("Second"))
            .await
            .expect("written");
        assert!(second.id > first.id);
    });
}

#[test]
fn a_token_that_repeats_the_name_updates_its_issue_time() {
    each_blog(async |test| {
        let token = |name, issued_at| TokenName {
            name,
            issued_at: Some(issued_at),
        };
        let ann = key(5);
        test.blog
            .update_name(ann, token("Not yet a user", 5))
            .await
            .expect("done");
        let (user, is_new) = test.blog.ensure_user(ann, token("Ann", 10)).await.expect("a user");
        assert!(is_new, "a name alone makes no user");
        test.blog.update_name(ann, token("Ann", 30)).await.expect("done");
        let name = async || test.blog.ensure_user(ann, token("", 0)).await.expect("a user").0;
        let same = name().await;
        assert_eq!(same, user, "the row of the user is as it was");
        test.blog.update_name(ann, token("Late", 20)).await.expect("done");
        assert_eq!(
            name().await.display_name,
            "Ann",
            "the token of 30 said so, and was issued later"
        );
        let (kept, _) = test.blog.ensure_user(ann, token("Late", 20)).await.expect("a user");
        assert_eq!(kept.display_name, "Ann");
        test.blog.update_name(ann, token("Anna", 40)).await.expect("done");
        assert_eq!(name().await.display_name, "Anna");
        test.blog.update_name(ann, token(" ", 50)).await.expect("done");
        test.blog.update_name(ann, token("Annabel", 45)).await.expect("done");
        assert_eq!(
            name().await.display_name,
            "Annabel",
            "a token without a name says nothing"
        );
    });
}

#[test]
fn a_later_token_wins_over_one_that_is_recorded_at_the_same_time() {
    let Some(postgres) = PostgresDatabase::new() else {
        return;
    };
    let database = Database::open(&postgres.settings).expect("opens");
    database.migrate().expect("migrates");
    let blog = Blog::new(database);
    let token = |name, issued_at| TokenName {
        name,
        issued_at: Some(issued_at),
    };
    let ann = key(5);
    block_on(blog.ensure_user(ann, token("Ann", 10))).expect("a user");
    // Another process records the token of time 20, and renames the user.
    let (mut other, mut observer) = (postgres.connection(), postgres.connection());
    other
        .batch_execute("BEGIN; UPDATE name_tokens SET issued_at = 20; UPDATE users SET display_name = 'Anna'")
        .expect("renamed");
    std::thread::scope(|scope| {
        let later = scope.spawn(|| block_on(blog.update_name(ann, token("Ann", 30))));
        let since = Instant::now();
        let waits = "SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
        while diesel::sql_query(waits).execute(&mut observer).expect("asked") == 0 {
            assert!(
                since.elapsed() < Duration::from_mins(1) && !later.is_finished(),
                "it waits for the other"
            );
        }
        other.batch_execute("COMMIT").expect("committed");
        later.join().expect("ends").expect("done");
    });
    let user = block_on(blog.ensure_user(ann, token("", 0))).expect("a user").0;
    assert_eq!(user.display_name, "Ann");
}
