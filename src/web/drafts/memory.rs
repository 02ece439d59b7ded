//! Drafts in this process. All drafts of an author are one cache entry, so that they are bounded together.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use moka::{ops::compute::Op, policy::EvictionPolicy, sync::Cache};

use super::limits::{MAX_BYTES, MAX_BYTES_PER_AUTHOR, MAX_DRAFTS_PER_AUTHOR};
use crate::web::{post_input::PostInput, session::UserKey};

/// The drafts of each author, the oldest first.
pub struct MemoryDrafts {
    by_author: Cache<UserKey, Arc<Vec<Draft>>>,
    lifetime: Duration,
}

#[derive(Clone)]
struct Draft {
    path: Arc<str>,
    input: Arc<PostInput>,
    saved_at: Instant,
}

impl MemoryDrafts {
    pub fn new(lifetime: Duration) -> Self {
        let by_author = Cache::builder()
            .max_capacity(MAX_BYTES as u64)
            .weigher(|_: &UserKey, drafts: &Arc<Vec<Draft>>| u32::try_from(bytes(drafts)).unwrap_or(u32::MAX))
            .eviction_policy(EvictionPolicy::lru())
            .time_to_live(lifetime)
            .build();
        Self { by_author, lifetime }
    }

    pub fn save(&self, author: UserKey, path: &str, input: PostInput) {
        let draft = Draft {
            path: path.into(),
            input: Arc::new(input),
            saved_at: Instant::now(),
        };
        self.change(author, path, Some(draft));
    }

    pub fn find(&self, author: UserKey, path: &str) -> Option<PostInput> {
        let drafts = self.by_author.get(&author)?;
        let draft = drafts
            .iter()
            .find(|draft| &*draft.path == path && draft.saved_at.elapsed() < self.lifetime)?;
        Some((*draft.input).clone())
    }

    pub fn delete(&self, author: UserKey, path: &str) {
        self.change(author, path, None);
    }

    /// Replaces the draft at `path`, and drops expired and surplus drafts of the author.
    fn change(&self, author: UserKey, path: &str, draft: Option<Draft>) {
        self.by_author.entry(author).and_compute_with(|found| {
            let existing = found.map(moka::Entry::into_value).unwrap_or_default();
            let others = existing
                .iter()
                .filter(|draft| &*draft.path != path && draft.saved_at.elapsed() < self.lifetime);
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
    fn a_draft_belongs_to_its_author_and_its_page() {
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
    fn an_author_with_many_or_long_drafts_loses_only_their_own_oldest() {
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
        drafts.by_author.run_pending_tasks();
        assert!(!is_there(37) && is_there(38) && is_there(39), "two of the longest fit");
        assert!(drafts.find(user(2), "/posts/new").is_some());
        assert!(drafts.by_author.weighted_size() < (MAX_BYTES_PER_AUTHOR + 100) as u64);
    }

    #[test]
    fn a_draft_expires_by_its_own_time_whatever_else_is_saved() {
        let drafts = MemoryDrafts::new(Duration::ZERO);
        drafts.save(user(1), "/posts/new", input("one"));
        assert!(drafts.find(user(1), "/posts/new").is_none());
    }
}
