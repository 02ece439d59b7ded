//! Lists: order, pages, filters and totals.

use blogctl::{
    blog::{AuthorFilter, Filter, MAX_PAGE_BYTES, Page, Paging, Post, View},
    db::{DbError, posts, posts::NewPost},
};
use chrono::{DateTime, TimeDelta, Utc};

use crate::support::database::{TestBlog, draft, each_blog};

impl TestBlog {
    async fn list(&self, filter: Filter, paging: Paging, limit: u32) -> Page {
        self.blog.posts(filter, paging, limit).await.expect("a page")
    }

    async fn write_at(&self, author_id: i64, title: &'static str, at: DateTime<Utc>) {
        let new = NewPost {
            author_id,
            title,
            content: "Text",
            created_at: at,
            updated_at: at,
        };
        let inserted: Result<i64, DbError> = self.database.write(move |c| posts::insert(c, &new)).await;
        inserted.expect("written");
    }
}

fn titles(posts: &[Post]) -> Vec<&str> {
    posts.iter().map(|post| post.title.as_str()).collect()
}

fn time(text: &str) -> DateTime<Utc> {
    text.parse().expect("a time")
}

#[test]
fn lists_are_sorted_by_time_to_the_microsecond_and_then_by_id() {
    each_blog(async |test| {
        let author = test.user(1).await;
        for (title, at) in [
            ("whole second", "2026-01-01T10:00:00Z"),
            ("a microsecond later", "2026-01-01T10:00:00.000001Z"),
            ("half a second later", "2026-01-01T10:00:00.5Z"),
            ("before 1970", "1969-12-31T23:59:59.9Z"),
            ("next second", "2026-01-01T10:00:01Z"),
            ("tie, first", "2026-01-01T09:00:00Z"),
            ("tie, second", "2026-01-01T09:00:00Z"),
            ("year 999", "0999-01-01T00:00:00Z"),
        ] {
            test.write_at(author.id, title, time(at)).await;
        }
        let page = test.list(Filter::default(), Paging::Skip(0), 100).await;
        assert_eq!(
            titles(&page.posts),
            [
                "next second",
                "half a second later",
                "a microsecond later",
                "whole second",
                "tie, second",
                "tie, first",
                "before 1970",
                "year 999"
            ]
        );
        assert_eq!(page.posts[3].created_at, time("2026-01-01T10:00:00Z"));
        assert_eq!(page.posts[2].created_at.timestamp_subsec_micros(), 1);
        assert_eq!((page.total, page.next), (8, None));
    });
}

#[test]
fn pages_by_cursor_and_by_skip_cover_the_list_once() {
    each_blog(async |test| {
        let author = test.user(1).await;
        let start = time("2026-01-01T00:00:00Z");
        for n in 0..23 {
            // Three posts share each time, so that pages end within a group.
            test.write_at(author.id, "Post", start + TimeDelta::seconds(n / 3))
                .await;
        }
        let all: Vec<i64> = test
            .list(Filter::default(), Paging::Skip(0), 1000)
            .await
            .posts
            .iter()
            .map(|post| post.id)
            .collect();
        assert_eq!(all.len(), 23);

        let mut by_cursor = Vec::new();
        let mut paging = Paging::Skip(0);
        loop {
            let page = test.list(Filter::default(), paging, 5).await;
            assert_eq!(page.total, 23);
            by_cursor.extend(page.posts.iter().map(|post| post.id));
            let Some(next) = page.next else { break };
            assert_eq!(page.posts.len(), 5);
            paging = next;
        }
        assert_eq!(by_cursor, all);

        let mut by_skip = Vec::new();
        for skip in (0..25).step_by(5) {
            by_skip.extend(
                test.list(Filter::default(), Paging::Skip(skip), 5)
                    .await
                    .posts
                    .iter()
                    .map(|post| post.id),
            );
        }
        assert_eq!(by_skip, all);
    });
}

#[test]
fn the_last_page_has_no_next_even_when_it_is_full() {
    each_blog(async |test| {
        let author = test.user(1).await;
        for n in 0..4 {
            test.blog
                .create(blogctl::blog::Rights::Write, &author, draft(&format!("Post {n}")))
                .await
                .expect("written");
        }
        let first = test.list(Filter::default(), Paging::Skip(0), 2).await;
        let next = first.next.expect("more");
        let last = test.list(Filter::default(), next, 2).await;
        assert_eq!((last.posts.len(), last.next), (2, None));
    });
}

#[test]
fn a_page_past_the_end_is_empty_with_the_total() {
    each_blog(async |test| {
        let author = test.user(1).await;
        test.blog
            .create(blogctl::blog::Rights::Write, &author, draft("Only"))
            .await
            .expect("written");
        for skip in [1, 1000, 1001, 90_000, u64::MAX] {
            let page = test.list(Filter::default(), Paging::Skip(skip), 10).await;
            assert_eq!((page.posts.len(), page.total, page.next), (0, 1, None), "skip {skip}");
        }
    });
}

#[test]
fn an_author_filter_counts_and_lists_that_author_only() {
    each_blog(async |test| {
        let (ann, bob) = (test.user(1).await, test.user(2).await);
        for n in 0..5 {
            let author = if n % 2 == 0 { &ann } else { &bob };
            test.blog
                .create(blogctl::blog::Rights::Write, author, draft(&format!("Post {n}")))
                .await
                .expect("written");
        }
        let by = |user: &blogctl::blog::User| Filter {
            author: Some(AuthorFilter::Id(user.id)),
            text: None,
        };
        let page = test.list(by(&ann), Paging::Skip(0), 2).await;
        assert_eq!((titles(&page.posts), page.total), (vec!["Post 4", "Post 2"], 3));
        let rest = test.list(by(&ann), page.next.expect("more"), 2).await;
        assert_eq!((titles(&rest.posts), rest.next), (vec!["Post 0"], None));
        let skipped = test.list(by(&bob), Paging::Skip(1), 2).await;
        assert_eq!(titles(&skipped.posts), ["Post 1"]);
        let nobody = test
            .list(
                Filter {
                    author: Some(AuthorFilter::Id(i64::MAX)),
                    text: None,
                },
                Paging::Skip(0),
                2,
            )
            .await;
        assert_eq!((nobody.posts.len(), nobody.total), (0, 0));
    });
}

#[test]
fn the_total_follows_every_insertion_and_deletion() {
    each_blog(async |test| {
        let author = test.user(1).await;
        let total = async || test.list(Filter::default(), Paging::Skip(0), 1).await.total;
        assert_eq!(total().await, 0);
        let at = time("2026-01-01T00:00:00Z");
        let author_id = author.id;
        let many: Result<(), DbError> = test
            .database
            .write(move |c| {
                let post = NewPost {
                    author_id,
                    title: "Many",
                    content: "Text",
                    created_at: at,
                    updated_at: at,
                };
                posts::insert_many(c, &vec![post; 1000])
            })
            .await;
        many.expect("written");
        assert_eq!(total().await, 1000);
        let one = test
            .blog
            .create(blogctl::blog::Rights::Write, &author, draft("One"))
            .await
            .expect("written");
        assert_eq!(total().await, 1001);
        test.blog
            .delete(crate::support::database::acting(author.key), one.id, None)
            .await
            .expect("deleted");
        assert_eq!(total().await, 1000);
        // A rolled-back deletion does not count.
        let rejected: Result<(), DbError> = test
            .database
            .write(move |c| {
                posts::delete_all(c)?;
                Err(DbError::Closed)
            })
            .await;
        assert!(matches!(rejected, Err(DbError::Closed)), "{rejected:?}");
        assert_eq!(total().await, 1000);
        let deleted: Result<usize, DbError> = test.database.write(posts::delete_all).await;
        assert_eq!(deleted.expect("deleted"), 1000);
        assert_eq!(total().await, 0);
    });
}

/// All pages, following `next`.
async fn walk(test: &TestBlog, filter: &Filter, limit: u32) -> Vec<Page> {
    let mut pages = Vec::new();
    let mut next = Some(Paging::Skip(0));
    while let Some(paging) = next {
        let page = test.list(filter.clone(), paging, limit).await;
        next = page.next;
        pages.push(page);
        assert!(pages.len() < 200, "a walk without end");
    }
    pages
}

#[test]
fn a_page_ends_at_its_byte_limit_and_the_next_one_continues_there() {
    each_blog(async |test| {
        let (ann, bob) = (test.user(1).await, test.user(2).await);
        // Posts of 200 KB, one larger than a whole page, and small ones between them.
        let (large, small) = (format!("word {}", "🦀".repeat(50_000)), "word".to_owned());
        let whole_page = format!("word {}", "🦀".repeat(MAX_PAGE_BYTES / 4));
        let mut contents = vec![large; 25];
        contents.insert(7, whole_page.clone());
        contents.insert(8, whole_page);
        contents.extend(vec![small; 30]);
        let posts = contents.len();
        for (number, content) in contents.into_iter().enumerate() {
            let author_id = if number == 0 { bob.id } else { ann.id };
            let at = time("2026-01-01T00:00:00Z") + TimeDelta::seconds(i64::try_from(number).expect("small"));
            let inserted: Result<i64, DbError> = test
                .database
                .write(move |c| {
                    let title = format!("post {number}");
                    let new = NewPost {
                        author_id,
                        title: &title,
                        content: &content,
                        created_at: at,
                        updated_at: at,
                    };
                    posts::insert(c, &new)
                })
                .await;
            inserted.expect("written");
        }
        let of_ann = Filter {
            author: Some(AuthorFilter::Id(ann.id)),
            text: None,
        };
        let found = Filter {
            author: None,
            text: Some("word".to_owned()),
        };
        for (filter, expected) in [(Filter::default(), posts), (of_ann, posts - 1), (found, posts)] {
            for limit in [1000, 100, 20] {
                let pages = walk(&test, &filter, limit).await;
                assert!(pages.len() > 4, "{} pages of {filter:?}", pages.len());
                for page in &pages {
                    assert_eq!(page.total, expected as u64, "{filter:?}");
                    let bytes: usize = page.posts.iter().map(|post| post.content.len()).sum();
                    assert!(
                        bytes <= MAX_PAGE_BYTES || page.posts.len() == 1,
                        "{bytes} bytes of {filter:?}"
                    );
                    assert!(!page.posts.is_empty() && page.posts.len() <= limit as usize);
                }
                let mut seen: Vec<i64> = pages.iter().flat_map(|page| &page.posts).map(|post| post.id).collect();
                if filter.text.is_none() {
                    assert!(seen.is_sorted_by(|a, b| a > b), "newest first: {seen:?}");
                }
                seen.sort_unstable();
                seen.dedup();
                assert_eq!(seen.len(), expected, "each post once: {filter:?}, {limit}");
            }
        }
        // The same with the older `skip` parameter.
        let page = test.list(Filter::default(), Paging::Skip(31), 1000).await;
        assert_eq!((page.posts.len(), page.posts[0].title.as_str()), (10, "post 25"));
        let rest = test.list(Filter::default(), page.next.expect("more"), 1000).await;
        assert_eq!(rest.posts[0].title, "post 15");
    });
}

#[test]
fn an_excerpt_is_the_start_of_the_content_and_marks_a_cut() {
    each_blog(async |test| {
        let author = test.user(1).await;
        let at = time("2026-01-01T00:00:00Z");
        for content in ["abc", "abcd", "👨‍👩‍👧‍👦 abcdefgh", "äöü🦀"] {
            let author_id = author.id;
            let inserted: Result<i64, DbError> = test
                .database
                .write(move |c| {
                    posts::insert(
                        c,
                        &NewPost {
                            author_id,
                            title: "word",
                            content,
                            created_at: at,
                            updated_at: at,
                        },
                    )
                })
                .await;
            inserted.expect("written");
        }
        let found = Filter {
            author: None,
            text: Some("word".to_owned()),
        };
        let of_author = Filter {
            author: Some(AuthorFilter::Id(author.id)),
            text: None,
        };
        for filter in [Filter::default(), found, of_author] {
            let view = View {
                limit: 10,
                excerpt: Some(3),
            };
            let page = test
                .blog
                .page(filter, Paging::Skip(0), view, |page| page)
                .await
                .expect("a page");
            let shown: Vec<_> = page
                .posts
                .iter()
                .map(|post| (post.content.as_str(), post.is_truncated))
                .collect();
            let expected = [("äöü", true), ("👨\u{200d}👩", true), ("abc", true), ("abc", false)];
            assert_eq!(shown, expected.map(|(content, goes_on)| (content, Some(goes_on))));
        }
        let whole = test.list(Filter::default(), Paging::Skip(0), 10).await;
        let marks: Vec<_> = whole.posts.iter().map(|post| post.is_truncated).collect();
        assert_eq!(marks, [None; 4]);
    });
}

#[test]
fn a_full_page_of_excerpts_is_not_mistaken_for_the_last_one() {
    each_blog(async |test| {
        let author = test.user(1).await;
        let written: Result<(), DbError> = test
            .database
            .write(move |connection| {
                let (at, content) = (time("2026-01-01T00:00:00Z"), "x".repeat(5000));
                let many: Vec<NewPost<'_>> = (0..600)
                    .map(|n| at + TimeDelta::seconds(n))
                    .map(|at| NewPost {
                        author_id: author.id,
                        title: "many",
                        content: &content,
                        created_at: at,
                        updated_at: at,
                    })
                    .collect();
                posts::insert_many(connection, &many)
            })
            .await;
        written.expect("written");
        test.database
            .connect()
            .expect("a connection")
            .index_for_search(|_| {})
            .expect("indexed");
        let found = Filter {
            author: None,
            text: Some("many".to_owned()),
        };
        let of_author = Filter {
            author: Some(AuthorFilter::Id(author.id)),
            text: None,
        };
        for filter in [Filter::default(), found, of_author] {
            let (mut paging, mut seen) = (Paging::Skip(0), Vec::new());
            loop {
                let view = View {
                    limit: 1000,
                    excerpt: Some(1000),
                };
                let page = test
                    .blog
                    .page(filter.clone(), paging, view, |page| page)
                    .await
                    .expect("a page");
                assert_eq!(page.total, 600);
                seen.extend(page.posts.iter().map(|post| post.id));
                let Some(next) = page.next else { break };
                paging = next;
            }
            seen.sort_unstable();
            seen.dedup();
            assert_eq!(seen.len(), 600, "{filter:?}");
        }
    });
}
