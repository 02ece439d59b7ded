//! Drafts in Redis: each is a sealed record. What bounds them are two lists, one of each author's drafts and one of all of them, with
//! an entry for every few bytes of a draft, so that the length of a list says how many bytes there are.
//!
//! A draft is written before it is listed, and whoever lists one removes what is too much by then. So of many that are kept at once
//! none is left out, and only those under way are beyond the bounds.

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

/// Bytes for which a list has one entry.
const BYTES_PER_ENTRY: usize = 16 * 1024;
/// Room for what a record holds beside what was input.
const BESIDE: usize = 64 * 1024;
/// Most entries of one draft: no form is longer, and JSON has at most six bytes for one, `\u0001`.
const MAX_ENTRIES: usize = 6 * (MAX_FORM_BYTES + BESIDE) / BYTES_PER_ENTRY + 2;

/// In one Redis.
pub struct RedisDrafts {
    redis: RedisStore,
    life: Duration,
}

/// One of the two lists, and what may be in it.
struct List {
    kind: RecordKind,
    name: RecordName,
    max_entries: usize,
    max_drafts: usize,
}

impl RedisDrafts {
    pub fn new(redis: RedisStore, life: Duration) -> Self {
        Self { redis, life }
    }

    pub fn save(&self, author: UserKey, path: &str, input: &PostInput) -> Result<(), StoreError> {
        let name = name(author, path);
        // Texts are always JSON.
        let json = serde_json::to_vec(input).unwrap_or_default();
        self.redis.put(DRAFT, &name, &json, self.life)?;
        let entries = entries_for(&name, json.len());
        let lists = lists(author);
        for list in &lists {
            self.redis.unlist(list.kind, &list.name, &entries_of(&name))?;
            let length = self.redis.list(list.kind, &list.name, &entries, self.life)?;
            // As many entries as there are drafts at least.
            if length > list.max_entries.min(list.max_drafts) {
                self.make_room(list, &lists, &name)?;
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
        lists(author)
            .iter()
            .try_for_each(|list| self.redis.unlist(list.kind, &list.name, &entries_of(&name)))
    }

    /// Removes the oldest drafts of `list` until the rest fits, but never `kept`. Of an author whose draft another one's list
    /// pushes out, the entries in their own list end by themselves.
    fn make_room(&self, list: &List, lists: &[List], kept: &RecordName) -> Result<(), StoreError> {
        let members = self.redis.members(list.kind, &list.name)?;
        let draft_of = |entry: &RecordName| entry.as_str().split('#').next().unwrap_or_default().to_owned();
        let mut drafts = Vec::new();
        let mut seen = BTreeSet::new();
        for draft in members.iter().map(draft_of) {
            if seen.insert(draft.clone()) {
                drafts.push(draft);
            }
        }
        let (mut entries_left, mut drafts_left) = (members.len(), drafts.len());
        for draft in drafts.into_iter().filter(|draft| draft != kept.as_str()) {
            if entries_left <= list.max_entries && drafts_left <= list.max_drafts {
                break;
            }
            entries_left -= members.iter().filter(|entry| draft_of(entry) == draft).count();
            drafts_left -= 1;
            let name = RecordName::from_digest(draft);
            self.redis.remove(DRAFT, &name)?;
            for list in lists {
                self.redis.unlist(list.kind, &list.name, &entries_of(&name))?;
            }
        }
        Ok(())
    }
}

fn name(author: UserKey, path: &str) -> RecordName {
    RecordName::of(&format!("{} {} {path}", author.tenant_id, author.object_id))
}

fn lists(author: UserKey) -> [List; 2] {
    [
        List {
            kind: OF_AUTHOR,
            name: author.name(),
            max_entries: MAX_BYTES_PER_AUTHOR / BYTES_PER_ENTRY,
            max_drafts: MAX_DRAFTS_PER_AUTHOR,
        },
        List {
            kind: OF_ALL,
            name: RecordName::of(""),
            max_entries: MAX_BYTES / BYTES_PER_ENTRY,
            max_drafts: usize::MAX,
        },
    ]
}

/// The entries that a draft may have.
fn entries(name: &RecordName) -> impl Iterator<Item = String> {
    (0..MAX_ENTRIES).map(move |n| format!("{}#{n}", name.as_str()))
}

fn entries_of(name: &RecordName) -> Vec<String> {
    entries(name).collect()
}

/// The entries of a draft with so many bytes.
fn entries_for(name: &RecordName, bytes: usize) -> Vec<String> {
    entries(name).take(bytes / BYTES_PER_ENTRY + 1).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_draft_counts_with_all_its_bytes() {
        let name = RecordName::of("a draft");
        let input = PostInput {
            content: "\u{1}".repeat(MAX_FORM_BYTES),
            ..PostInput::default()
        };
        let bytes = serde_json::to_vec(&input).unwrap().len();
        assert!(bytes > 6 * MAX_FORM_BYTES);
        assert_eq!(entries_for(&name, bytes).len(), bytes / BYTES_PER_ENTRY + 1);
    }
}
