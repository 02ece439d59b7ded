//! Drafts in this process: all of an author's are one entry, so that they are bounded together.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use moka::{ops::compute::Op, policy::EvictionPolicy, sync::Cache};

use super::limits::{MAX_BYTES, MAX_BYTES_PER_AUTHOR, MAX_DRAFTS_PER_AUTHOR};
use crate::web::{post_input::PostInput, session::UserKey};

/// The drafts of each author, the oldest first.
pub struct MemoryDrafts {
    of_authors: Cache<UserKey, Arc<Vec<Draft>>>,
    life: Duration,
}

#[derive(Clone)]
struct Draft {
    path: Arc<str>,
    input: Arc<PostInput>,
    kept_at: Instant,
}

impl MemoryDrafts {
    pub fn new(life: Duration) -> Self {
        let of_authors = Cache::builder()
            .max_capacity(MAX_BYTES as u64)
            .weigher(|_: &UserKey, drafts: &Arc<Vec<Draft>>| u32::try_from(bytes(drafts)).unwrap_or(u32::MAX))
            .eviction_policy(EvictionPolicy::lru())
            .time_to_live(life)
            .build();
        Self { of_authors, life }
    }

    pub fn save(&self, author: UserKey, path: &str, input: PostInput) {
        let draft = Draft {
            path: path.into(),
            input: Arc::new(input),
            kept_at: Instant::now(),
        };
        self.change(author, path, Some(draft));
    }

    pub fn find(&self, author: UserKey, path: &str) -> Option<PostInput> {
        let drafts = self.of_authors.get(&author)?;
        let draft = drafts
            .iter()
            .find(|draft| &*draft.path == path && draft.kept_at.elapsed() < self.life)?;
        Some((*draft.input).clone())
    }

    pub fn delete(&self, author: UserKey, path: &str) {
        self.change(author, path, None);
    }

    /// Puts `draft` in the place of what was kept at `path`, and drops what has ended or is too much.
    fn change(&self, author: UserKey, path: &str, draft: Option<Draft>) {
        self.of_authors.entry(author).and_compute_with(|found| {
            let before = found.map(moka::Entry::into_value).unwrap_or_default();
            let others = before
                .iter()
                .filter(|draft| &*draft.path != path && draft.kept_at.elapsed() < self.life);
            let mut drafts: Vec<_> = others.cloned().chain(draft).collect();
            while drafts.len() > MAX_DRAFTS_PER_AUTHOR || (drafts.len() > 1 && bytes(&drafts) > MAX_BYTES_PER_AUTHOR) {
                drafts.remove(0);
            }
            if drafts.is_empty() {
                Op::Remove
            } else {
                Op::Put(Arc::new(drafts))
            }
        });
    }
}

fn bytes(drafts: &[Draft]) -> usize {
    drafts.iter().map(|draft| draft.path.len() + draft.input.len()).sum()
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn user(number: u128) -> UserKey {
        UserKey {
            tenant_id: Uuid::nil(),
            object_id: Uuid::from_u128(number),
        }
    }

    fn input(content: &str) -> PostInput {
        PostInput {
            title: "t".to_owned(),
            content: content.to_owned(),
            ..PostInput::default()
        }
    }

    #[test]
    fn a_draft_is_its_authors_and_its_pages() {
        let drafts = MemoryDrafts::new(HOUR);
        let content = |author, path| drafts.find(author, path).map(|input| input.content);
        drafts.save(user(1), "/posts/new", input("one"));
        drafts.save(user(1), "/posts/7/edit", input("two"));
        drafts.save(user(1), "/posts/new", input("three"));
        assert_eq!(content(user(1), "/posts/new").as_deref(), Some("three"));
        assert_eq!(content(user(1), "/posts/7/edit").as_deref(), Some("two"));
        assert_eq!(content(user(2), "/posts/new"), None);
        drafts.delete(user(1), "/posts/new");
        assert_eq!(content(user(1), "/posts/new"), None);
        assert_eq!(content(user(1), "/posts/7/edit").as_deref(), Some("two"));
    }

    #[test]
    fn who_keeps_many_or_long_drafts_loses_the_oldest_of_their_own_and_nobody_elses() {
        let drafts = MemoryDrafts::new(HOUR);
        drafts.save(user(2), "/posts/new", input("other"));
        for n in 0..MAX_DRAFTS_PER_AUTHOR * 2 {
            drafts.save(user(1), &format!("/posts/{n}/edit"), input("short"));
        }
        let is_there = |n: usize| drafts.find(user(1), &format!("/posts/{n}/edit")).is_some();
        assert!(!is_there(MAX_DRAFTS_PER_AUTHOR - 1) && is_there(MAX_DRAFTS_PER_AUTHOR));
        let long = "x".repeat(4 * 1024 * 1024 - 100);
        for n in 0..40 {
            drafts.save(user(1), &format!("/posts/{n}/edit"), input(&long));
        }
        drafts.of_authors.run_pending_tasks();
        assert!(!is_there(37) && is_there(38) && is_there(39), "two of the longest fit");
        assert!(drafts.find(user(2), "/posts/new").is_some());
        assert!(drafts.of_authors.weighted_size() < (MAX_BYTES_PER_AUTHOR + 100) as u64);
    }

    #[test]
    fn a_draft_ends_by_its_own_time_whatever_is_kept_beside_it() {
        let drafts = MemoryDrafts::new(Duration::ZERO);
        drafts.save(user(1), "/posts/new", input("one"));
        assert!(drafts.find(user(1), "/posts/new").is_none());
    }
}
