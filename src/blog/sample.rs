//! Sample data: users and posts that read as if people had written them. The same seed gives the same bytes, including
//! times and object ids: nothing here depends on the clock or on the system's random numbers.

mod rng;
mod text;
mod topics;

use std::{thread, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use uuid::Uuid;

use self::rng::SampleRng;
use super::UserKey;
use crate::db::{
    BlockingConnection, Database, DbError,
    posts::{self, NewPost},
    users::{self, NewUser},
};

/// The default seed.
pub const DEFAULT_SEED: u64 = 42;

/// Posts per statement and transaction.
const BATCH: u64 = 1000;
/// The pause between two transactions on SQLite, in which another process, such as the API, can write.
const PAUSE: Duration = Duration::from_millis(2);

/// The time of the newest post: noon UTC on 1 January 2026.
const NEWEST: DateTime<Utc> = match DateTime::from_timestamp(1_767_268_800, 0) {
    Some(time) => time,
    None => DateTime::UNIX_EPOCH,
};
/// The longest time between two posts, and the age of the oldest.
const LONGEST_GAP_MICROS: u64 = 7 * 60 * 60 * 1_000_000;
const OLDEST_MICROS: u64 = 600 * 24 * 60 * 60 * 1_000_000;

/// What to generate.
#[derive(Debug, Clone)]
pub struct Sample {
    /// The tenant of the users.
    pub tid: Uuid,
    /// The authors, created if they do not exist. At least one, unless there are no posts.
    pub users: Vec<SampleUser>,
    /// The number of posts.
    pub posts: u64,
    /// Another seed gives other posts.
    pub seed: u64,
}

/// A sample user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SampleUser {
    /// Object id.
    pub oid: Uuid,
    /// Display name.
    pub display_name: String,
}

/// A sample post.
#[derive(Debug, Clone, PartialEq, Eq)]
struct SamplePost {
    author: usize,
    title: String,
    content: String,
    created_at: DateTime<Utc>,
    updated_at: DateTime<Utc>,
}

/// Generates `count` users from the seed. A larger `count` adds users and does not change the first ones.
pub fn users(count: usize, seed: u64) -> Vec<SampleUser> {
    // A different stream from the posts', so that the posts do not depend on the users.
    let mut rng = SampleRng::new(seed, 1);
    (0..count)
        .map(|_| SampleUser {
            oid: rng.guid(),
            display_name: text::name(&mut rng),
        })
        .collect()
}

/// Deletes every post and every user; returns how many of each. Blocks.
///
/// # Errors
/// The database's. Then nothing is deleted.
pub fn clear(database: &Database) -> Result<(usize, usize), DbError> {
    database.connect()?.transaction(|connection| {
        let posts = posts::delete_all(connection)?;
        Ok((posts, users::delete_all(connection)?))
    })
}

/// Adds the sample data, a batch of posts per transaction; calls `progress` with the size of each batch. Blocks.
///
/// # Errors
/// The database's. Batches before it stay.
pub fn fill(database: &Database, sample: &Sample, mut progress: impl FnMut(u64)) -> Result<(), DbError> {
    let mut connection = database.connect()?;
    let authors = connection.transaction(|connection| {
        let add = |user: &SampleUser| {
            let SampleUser { oid, display_name } = user;
            let key = UserKey {
                tenant_id: sample.tid,
                object_id: *oid,
            };
            let at = NEWEST - TimeDelta::days(601);
            let new = NewUser {
                key,
                display_name,
                created_at: at,
                updated_at: at,
            };
            users::insert_if_new(connection, &new)?;
            users::existing_by_key(connection, key).map(|user| user.id)
        };
        sample.users.iter().map(add).collect::<Result<Vec<i64>, DbError>>()
    })?;
    let mut remaining = posts(sample);
    loop {
        let batch: Vec<SamplePost> = remaining.by_ref().take(usize::try_from(BATCH).unwrap_or(1)).collect();
        if batch.is_empty() {
            return Ok(());
        }
        let rows: Vec<NewPost<'_>> = batch.iter().filter_map(|post| row(post, &authors)).collect();
        connection.transaction(|connection| posts::insert_many(connection, &rows))?;
        progress(rows.len() as u64);
        if matches!(connection, BlockingConnection::Sqlite(_)) {
            thread::sleep(PAUSE);
        }
    }
}

fn row<'p>(post: &'p SamplePost, authors: &[i64]) -> Option<NewPost<'p>> {
    let author_id = *authors.get(post.author)?;
    let SamplePost {
        title,
        content,
        created_at,
        updated_at,
        ..
    } = post;
    Some(NewPost {
        author_id,
        title,
        content,
        created_at: *created_at,
        updated_at: *updated_at,
    })
}

/// The posts, oldest first.
fn posts(sample: &Sample) -> impl Iterator<Item = SamplePost> {
    let (count, authors) = (sample.posts, sample.users.len());
    let gap = (OLDEST_MICROS / count.max(1)).clamp(1, LONGEST_GAP_MICROS);
    let mut rng = SampleRng::new(sample.seed, 0);
    let posts = if authors == 0 { 0 } else { count };
    (0..posts).map(move |number| {
        let (title, content) = text::post(&mut rng);
        let age = TimeDelta::microseconds(i64::try_from((count - number) * gap - rng.below(gap)).unwrap_or(i64::MAX));
        let created_at = NEWEST - age;
        // One in six was edited some hours later, but not after the newest post.
        let hours = if rng.below(6) == 0 {
            i64::try_from(rng.below(72)).unwrap_or(0)
        } else {
            0
        };
        let updated_at = (created_at + TimeDelta::hours(hours)).min(NEWEST);
        let author = usize::try_from(rng.below(authors as u64)).unwrap_or(0);
        SamplePost {
            author,
            title,
            content,
            created_at,
            updated_at,
        }
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::blog::{Content, Title};

    fn sample(posts: u64, seed: u64) -> Sample {
        Sample {
            tid: Uuid::from_u128(1),
            users: users(3, seed),
            posts,
            seed,
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_and_another_seed_another() {
        let one: Vec<_> = posts(&sample(50, 7)).collect();
        assert_eq!(one, posts(&sample(50, 7)).collect::<Vec<_>>());
        assert_ne!(one, posts(&sample(50, 8)).collect::<Vec<_>>());
        assert_eq!(users(5, 7)[..3], users(3, 7)[..]);
        assert_ne!(users(3, 7), users(3, 8));
    }

    #[test]
    fn the_default_seed_gives_these_very_rows() {
        // A change here changes all existing users' sample data.
        let first = posts(&sample(20, DEFAULT_SEED)).next().expect("a post");
        insta::assert_snapshot!(format!(
            "{:?}\n{}\n{}\n\n{}",
            users(2, DEFAULT_SEED),
            first.created_at,
            first.title,
            first.content
        ));
    }

    #[test]
    fn every_sample_is_valid() {
        for post in posts(&sample(3000, 1)) {
            assert_eq!(Title::parse(&post.title).expect("a title").as_str(), post.title);
            assert_eq!(
                Content::parse(&post.content, 50_000).expect("a content").as_str(),
                post.content
            );
            assert!(
                !post.title.contains(['{', '}']) && !post.content.contains(['{', '}']),
                "{post:?}"
            );
            assert!(
                post.content.matches("\n\n").count() >= 2,
                "several paragraphs: {post:?}"
            );
            assert!(
                post.created_at <= post.updated_at && post.updated_at <= NEWEST,
                "{post:?}"
            );
        }
    }

    #[test]
    fn samples_come_in_the_order_of_time_and_hardly_ever_twice() {
        let made: Vec<_> = posts(&sample(1000, 1)).collect();
        assert!(made.is_sorted_by_key(|post| post.created_at));
        let contents: HashSet<&str> = made.iter().map(|post| post.content.as_str()).collect();
        assert!(contents.len() > 990, "{}", contents.len());
        let authors: HashSet<usize> = made.iter().map(|post| post.author).collect();
        assert_eq!(authors.len(), 3);
    }

    #[test]
    fn ten_million_posts_fit_into_the_time() {
        let first = posts(&sample(10_000_000, 1)).next().expect("a post");
        assert!(first.created_at >= NEWEST - TimeDelta::days(600));
    }
}
