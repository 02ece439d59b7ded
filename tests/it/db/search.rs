//! Full-text search: results and order are the same on both databases, for any input.

use blogctl::{
    blog::{AuthorFilter, BlogError, Content, Cursor, Draft, Filter, Page, Paging, PostChange, Title, User},
    db::{Database, DbError, migrate, posts, posts::NewPost},
};
use chrono::{DateTime, Utc};

use crate::support::database::{TestBlog, block_on, each_blog};

impl TestBlog {
    async fn search(&self, text: &str) -> Page {
        self.search_from(text, 0, 100).await
    }

    async fn search_from(&self, text: &str, skip: u64, limit: u32) -> Page {
        let filter = Filter {
            author: None,
            text: Some(text.to_owned()),
        };
        self.blog.posts(filter, Paging::Skip(skip), limit).await.expect(text)
    }

    /// The titles found, sorted, for tests that ignore the order.
    async fn found(&self, text: &str) -> Vec<String> {
        let page = self.search(text).await;
        assert_eq!(page.total, page.posts.len() as u64, "{text:?}");
        let mut titles: Vec<String> = page.posts.into_iter().map(|post| post.title).collect();
        titles.sort();
        titles
    }

    async fn write(&self, author: &User, title: &str, content: &str) -> i64 {
        self.blog
            .create(blogctl::blog::Rights::Write, author, post(title, content))
            .await
            .expect("written")
            .id
    }
}

fn post(title: &str, content: &str) -> Draft {
    Draft {
        title: Title::parse(title).expect("a title"),
        content: Content::parse(content, 1_000_000).expect("a content"),
    }
}

fn titles(page: &Page) -> Vec<&str> {
    page.posts.iter().map(|post| post.title.as_str()).collect()
}

#[test]
fn words_are_found_despite_case_accents_and_punctuation() {
    each_blog(async |test| {
        let author = test.user(1).await;
        for (title, content) in [
            ("Rust", "A language, and what oxidises."),
            ("Été à Paris", "Über den Dächern: naïve Façade"),
            ("Names", "snake_case, kebab-case and it's"),
            ("Москва", "ночью"),
            ("İstanbul", "ﬁne, Straße, 100% e\u{301}cru"),
            ("日本語", "テスト"),
            ("Emoji", "crab🦀crab"),
            (
                "Paths",
                "C:\\temp, /etc/passwd, ann@blog.example, https://blog.example/a?b=c",
            ),
        ] {
            test.write(&author, title, content).await;
        }
        for (text, found) in [
            ("rust", &["Rust"][..]),
            ("RUST language", &["Rust"]),
            ("language rust nowhere", &[]),
            ("ete", &["Été à Paris"]),
            ("ÉTÉ a", &["Été à Paris"]),
            ("uber dachern naive facade", &["Été à Paris"]),
            ("ecru", &["İstanbul"]),
            ("straße", &["İstanbul"]),
            ("100", &["İstanbul"]),
            ("snake_case", &["Names"]),
            ("kebab-snake", &[]),
            ("kebab case", &["Names"]),
            ("it's", &["Names"]),
            ("МОСКВА ночью", &["Москва"]),
            ("日本語", &["日本語"]),
            ("crab", &["Emoji"]),
            ("crab🦀crab", &["Emoji"]),
            ("blog.example", &["Paths"]),
            ("etc passwd", &["Paths"]),
            ("example.blog", &[]),
        ] {
            assert_eq!(test.found(text).await, found, "{text}");
        }
    });
}

#[test]
fn only_the_last_word_matches_as_a_prefix() {
    each_blog(async |test| {
        let author = test.user(1).await;
        test.write(&author, "Certificates", "renewed yearly").await;
        for (text, found) in [
            ("cert", 1),
            ("renewed certif", 1),
            ("certif renewed", 0),
            ("tificates", 0),
            ("c", 0),
            ("cert!", 0),
            ("ye", 1),
        ] {
            assert_eq!(test.search(text).await.total, found, "{text}");
        }
    });
}

#[test]
fn query_syntax_has_no_meaning_in_a_search() {
    each_blog(async |test| {
        let author = test.user(1).await;
        test.write(&author, "Plain", "alpha beta and near or not").await;
        for (text, found) in [
            ("\"", 0),
            ("\"\"", 0),
            ("\"alpha", 1),
            ("al*pha", 0),
            ("*", 0),
            ("alpha*", 1),
            ("^alpha", 1),
            ("-alpha", 1),
            ("alpha -beta", 1),
            ("+alpha", 1),
            ("title:alpha", 0),
            ("{title}:alpha", 0),
            ("AND", 1),
            ("alpha AND beta", 1),
            ("alpha NOT beta", 1),
            ("NOT", 1),
            ("alpha OR nowhere", 0),
            ("NEAR(", 1),
            ("NEAR(alpha beta, 2)", 0),
            (")(", 0),
            ("alpha & beta | !near", 1),
            ("alpha <-> beta", 1),
            ("alpha:*", 1),
            ("'alpha'", 1),
            ("alpha\\", 1),
            ("\\'", 0),
            ("%", 0),
            ("_lpha", 0),
            ("' OR '1'='1", 0),
            ("alpha'; DROP TABLE blog_posts; --", 0),
            ("alpha\0beta", 1),
            ("\0", 0),
            ("🦀", 0),
            ("👩\u{200D}💻 alpha", 1),
            ("\u{202E}alpha", 1),
            ("\u{301}", 0),
            ("²", 0),
            ("", 0),
            (" \t\n ", 0),
        ] {
            assert_eq!(test.search(text).await.total, found, "{text:?}");
        }
        for long in [
            "x".repeat(10_000),
            "\"".repeat(10_000),
            "alpha ".repeat(2000),
            "(a ".repeat(3333),
            "é🦀".repeat(1500),
        ] {
            let found = test.search(&long).await.total;
            assert_eq!(found, u64::from(long.starts_with("alpha")), "{}", &long[..2]);
        }
    });
}

#[test]
fn the_best_match_is_first_and_then_the_newest() {
    each_blog(async |test| {
        let author = test.user(1).await;
        let filler = "other words that say nothing of it ".repeat(5);
        for (title, content) in [
            ("Cooking", format!("rust once. {filler}")),
            ("Rust", format!("in the title. {filler}")),
            ("Cars", format!("rust rust rust rust. {filler}")),
            ("Nothing", filler.clone()),
        ] {
            test.write(&author, title, &content).await;
        }
        assert_eq!(titles(&test.search("rust").await), ["Rust", "Cars", "Cooking"]);
        for number in 0..5 {
            test.write(&author, &format!("Twin {number}"), "equal").await;
        }
        let twins = ["Twin 4", "Twin 3", "Twin 2", "Twin 1", "Twin 0"];
        assert_eq!(titles(&test.search("equal").await), twins);

        // The same, page by page.
        let mut seen = Vec::new();
        let mut next = Some(Paging::Skip(0));
        while let Some(Paging::Skip(skip)) = next {
            let page = test.search_from("equal", skip, 2).await;
            assert_eq!(page.total, 5);
            seen.extend(page.posts.into_iter().map(|post| post.title));
            next = page.next;
        }
        assert_eq!((seen, next), (twins.map(str::to_owned).to_vec(), None));
        for skip in [5, 9999, u64::MAX] {
            let page = test.search_from("equal", skip, 2).await;
            assert_eq!((page.posts.len(), page.total, page.next), (0, 5, None), "{skip}");
        }
    });
}

#[test]
fn a_search_rejects_a_cursor() {
    each_blog(async |test| {
        let filter = Filter {
            author: None,
            text: Some("word".to_owned()),
        };
        let cursor = Paging::After(Cursor {
            created_at_micros: 1,
            id: 1,
        });
        let outcome = test.blog.posts(filter, cursor, 10).await;
        assert!(matches!(outcome, Err(BlogError::NoCursorInSearch)), "{outcome:?}");
    });
}

#[test]
fn a_search_by_author_finds_only_their_posts() {
    each_blog(async |test| {
        let (ann, bob) = (test.user(1).await, test.user(2).await);
        test.write(&ann, "Ann's", "word").await;
        test.write(&bob, "Bob's", "word").await;
        let by = Filter {
            author: Some(AuthorFilter::Id(bob.id)),
            text: Some("word".to_owned()),
        };
        let page = test.blog.posts(by, Paging::Skip(0), 10).await.expect("a page");
        assert_eq!((titles(&page), page.total), (vec!["Bob's"], 1));
    });
}

#[test]
fn a_search_sees_every_change_at_once() {
    each_blog(async |test| {
        let author = test.user(1).await;
        let id = test.write(&author, "First", "alpha").await;
        assert_eq!(test.found("alpha").await, ["First"]);
        let change = PostChange {
            title: None,
            content: Some(Content::parse("beta", 10).expect("a content")),
        };
        test.blog
            .change(crate::support::database::acting(author.key), id, change, None)
            .await
            .expect("changed");
        assert_eq!(
            (test.search("alpha").await.total, test.found("beta").await.len()),
            (0, 1)
        );
        test.blog
            .delete(crate::support::database::acting(author.key), id, None)
            .await
            .expect("deleted");
        assert_eq!(test.search("beta").await.total, 0);

        // Two at once, so that one waits for the index to catch up.
        let (author_id, at) = (
            author.id,
            "2026-01-01T00:00:00Z".parse::<DateTime<Utc>>().expect("a time"),
        );
        let many: Result<(), DbError> = test
            .database
            .write(move |c| {
                let new = NewPost {
                    author_id,
                    title: "Many",
                    content: "gamma",
                    created_at: at,
                    updated_at: at,
                };
                posts::insert_many(c, &vec![new; 200])
            })
            .await;
        many.expect("written");
        assert_eq!(test.search("gamma").await.total, 200);
        let gone: Result<usize, DbError> = test.database.write(posts::delete_all).await;
        gone.expect("deleted");
        assert_eq!(test.search("gamma").await.total, 0);
        test.write(&author, "After", "gamma").await;
        assert_eq!(test.found("gamma").await, ["After"]);
    });
}

#[test]
fn posts_written_by_another_process_are_found() {
    each_blog(async |test| {
        let author = test.user(1).await;
        let url = test.database.url().clone();
        let other = match url {
            blogctl::db::DatabaseUrl::Sqlite(path) => path.display().to_string(),
            blogctl::db::DatabaseUrl::Postgres { url, .. } => url,
        };
        let settings = blogctl::config::DatabaseSettings {
            url: other,
            ..Default::default()
        };
        let other = Database::open(&settings).expect("opens");
        let mut connection = other.connect().expect("a connection");
        let at: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().expect("a time");
        let new = NewPost {
            author_id: author.id,
            title: "Theirs",
            content: "delta",
            created_at: at,
            updated_at: at,
        };
        let written: Result<i64, DbError> = connection.transaction(|c| posts::insert(c, &new));
        written.expect("written");
        assert_eq!(test.found("delta").await, ["Theirs"]);
    });
}

#[test]
fn posts_older_than_the_index_are_found_after_the_migration() {
    each_blog(async |test| {
        let author = test.user(1).await;
        test.write(&author, "Old", "epsilon").await;
        while migrate::revert(&test.database)
            .expect("reverts")
            .is_some_and(|one| one.name != "0004_search")
        {}
        test.database.migrate().expect("migrates");
        assert_eq!(test.found("epsilon").await, ["Old"]);
    });
}

#[test]
fn a_post_of_any_length_can_be_written_and_searched() {
    each_blog(async |test| {
        let author = test.user(1).await;
        let words: Vec<String> = (0..150_000).map(|number| format!("{number:x}")).collect();
        test.write(&author, "Long", &format!("zeta {}", words.join(" "))).await;
        test.write(&author, "One word", &format!("zeta {}", "x".repeat(500_000)))
            .await;
        assert_eq!(test.found("zeta").await, ["Long", "One word"]);
    });
}

#[test]
fn a_burst_of_writes_is_indexed_without_a_search() {
    let file = crate::support::database::SqliteFile::new();
    let database = Database::open(&file.settings).expect("opens");
    database.migrate().expect("migrates");
    let blog = blogctl::blog::Blog::new(database.clone());
    block_on(async {
        let author = blog
            .ensure_user(crate::support::database::key(1), "Ann")
            .await
            .expect("a user")
            .0;
        let writes = (0..300).map(|_| blog.create(blogctl::blog::Rights::Write, &author, post("Storm", "eta")));
        for written in futures_util::future::join_all(writes).await {
            written.expect("written");
        }
    });
    let deadline = std::time::Instant::now() + std::time::Duration::from_mins(1);
    while unindexed(&database) > 0 {
        assert!(std::time::Instant::now() < deadline, "the index never catches up");
        std::thread::yield_now();
    }
}

fn unindexed(database: &Database) -> i64 {
    use diesel::{QueryableByName, RunQueryDsl, sql_types::BigInt};

    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = BigInt)]
        number: i64,
    }
    let counted: Result<Count, DbError> = block_on(database.read_short(|connection| match connection {
        blogctl::db::Connection::Sqlite(c) => {
            Ok(diesel::sql_query("SELECT count(*) AS number FROM posts_to_index").get_result(&mut **c)?)
        }
        blogctl::db::Connection::Postgres(_) => unreachable!("SQLite only"),
    }));
    counted.expect("counted").number
}
