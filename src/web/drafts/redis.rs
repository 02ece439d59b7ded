//! Drafts in Redis, each a sealed record. Two sorted sets bound them: one of the author's drafts, and one of all
//! drafts. A draft has one entry for each [`BYTES_PER_ENTRY`] bytes, so that the length of a set shows how many bytes
//! its drafts take.
//!
//! A draft is written before its entries, and the request that adds entries removes the drafts that exceed the limits.
//! So when many drafts are saved at once, none is missing from the sets, and only drafts that are being saved exceed
//! the limits.

use std::{collections::BTreeSet, time::Duration};

use super::limits::{MAX_BYTES, MAX_BYTES_PER_AUTHOR, MAX_DRAFTS_PER_AUTHOR};
use crate::web::{
    post_input::{MAX_FORM_BYTES, PostInput},
    session::UserKey,
    storage::redis::{RecordKind, RecordName, RedisStore, StoreError},
};

const DRAFT: RecordKind = RecordKind("draft");
const OF_AUTHOR: RecordKind = RecordKind("drafts-of-author");
const OF_ALL: RecordKind = RecordKind("drafts");

/// Bytes of a draft per entry.
const BYTES_PER_ENTRY: usize = 16 * 1024;
/// Allowance for what a record contains in addition to the user's text.
const OVERHEAD_BYTES: usize = 64 * 1024;
/// Most entries of one draft: no form is longer, and JSON needs at most six bytes for one, as in `\u0001`.
const MAX_ENTRIES: usize = 6 * (MAX_FORM_BYTES + OVERHEAD_BYTES) / BYTES_PER_ENTRY + 2;

/// Drafts in one Redis.
pub struct RedisDrafts {
    redis: RedisStore,
    lifetime: Duration,
}

/// One of the two sets, and its limits.
struct DraftSet {
    kind: RecordKind,
    name: RecordName,
    max_entries: usize,
    max_drafts: usize,
}

impl RedisDrafts {
    pub fn new(redis: RedisStore, lifetime: Duration) -> Self {
        Self { redis, lifetime }
    }

    pub fn save(&self, author: UserKey, path: &str, input: &PostInput) -> Result<(), StoreError> {
        let name = name(author, path);
        // Strings always serialize.
        let json = serde_json::to_vec(input).unwrap_or_default();
        self.redis.put(DRAFT, &name, &json, self.lifetime)?;
        let sets = sets(author);
        for set in &sets {
            self.remove_entries(set, &name)?;
            let entries = entries_for(&name, json.len());
            let length = self
                .redis
                .add_members(set.kind, &set.name, &as_strs(&entries), self.lifetime)?;
            // Each draft has at least one entry.
            if length > set.max_entries.min(set.max_drafts) {
                self.make_room(set, &sets, &name)?;
            }
        }
        Ok(())
    }

    pub fn find(&self, author: UserKey, path: &str) -> Result<Option<PostInput>, StoreError> {
        let json = self.redis.get(DRAFT, &name(author, path))?;
        Ok(json.and_then(|json| serde_json::from_slice(&json).ok()))
    }

    pub fn delete(&self, author: UserKey, path: &str) -> Result<(), StoreError> {
        let name = name(author, path);
        self.redis.remove(DRAFT, &name)?;
        sets(author).iter().try_for_each(|set| self.remove_entries(set, &name))
    }

    /// Deletes the oldest drafts of `set` until the rest fits, but never `newest`. When that deletes a draft of another
    /// author, its entries in that author's own set expire later.
    fn make_room(&self, set: &DraftSet, sets: &[DraftSet], newest: &RecordName) -> Result<(), StoreError> {
        let members = self.redis.members(set.kind, &set.name)?;
        let draft_of = |entry: &RecordName| entry.as_str().split('#').next().unwrap_or_default().to_owned();
        let mut drafts = Vec::new();
        let mut seen = BTreeSet::new();
        for draft in members.iter().map(draft_of) {
            if seen.insert(draft.clone()) {
                drafts.push(draft);
            }
        }
        let (mut entries_left, mut drafts_left) = (members.len(), drafts.len());
        for draft in drafts.into_iter().filter(|draft| draft != newest.as_str()) {
            if entries_left <= set.max_entries && drafts_left <= set.max_drafts {
                break;
            }
            entries_left -= members.iter().filter(|entry| draft_of(entry) == draft).count();
            drafts_left -= 1;
            let name = RecordName::from_digest(draft);
            self.redis.remove(DRAFT, &name)?;
            for set in sets {
                self.remove_entries(set, &name)?;
            }
        }
        Ok(())
    }

    fn remove_entries(&self, set: &DraftSet, draft: &RecordName) -> Result<(), StoreError> {
        let entries: Vec<_> = entries(draft).collect();
        self.redis.remove_members(set.kind, &set.name, &as_strs(&entries))
    }
}

fn name(author: UserKey, path: &str) -> RecordName {
    RecordName::hash(&format!("{} {} {path}", author.tenant_id, author.object_id))
}

fn sets(author: UserKey) -> [DraftSet; 2] {
    [
        DraftSet {
            kind: OF_AUTHOR,
            name: author.name(),
            max_entries: MAX_BYTES_PER_AUTHOR / BYTES_PER_ENTRY,
            max_drafts: MAX_DRAFTS_PER_AUTHOR,
        },
        DraftSet {
            kind: OF_ALL,
            name: RecordName::hash(""),
            max_entries: MAX_BYTES / BYTES_PER_ENTRY,
            max_drafts: usize::MAX,
        },
    ]
}

/// All entries that a draft can have.
fn entries(draft: &RecordName) -> impl Iterator<Item = String> {
    (0..MAX_ENTRIES).map(move |n| format!("{}#{n}", draft.as_str()))
}

/// The entries of a draft of this length.
fn entries_for(draft: &RecordName, bytes: usize) -> Vec<String> {
    entries(draft).take(bytes / BYTES_PER_ENTRY + 1).collect()
}

fn as_strs(texts: &[String]) -> Vec<&str> {
    texts.iter().map(String::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_draft_counts_with_all_its_bytes() {
        let name = RecordName::hash("a draft");
        let input = PostInput {
            content: "\u{1}".repeat(MAX_FORM_BYTES),
            ..PostInput::default()
        };
        let bytes = serde_json::to_vec(&input).unwrap().len();
        assert!(bytes > 6 * MAX_FORM_BYTES);
        assert_eq!(entries_for(&name, bytes).len(), bytes / BYTES_PER_ENTRY + 1);
    }
}
