//! Updates the stored display names of users who only read: compares the name in each newly verified token once, in the
//! background.
//!
//! Bounded: one task at a time, and [`MAX_PENDING`] names. A name that does not fit, or whose update fails, is updated
//! by the user's next token.

use std::{collections::HashMap, sync::Arc};

use actix_web::rt;
use parking_lot::{Mutex, MutexGuard};

use crate::blog::{Blog, TokenName, UserKey};

/// Most pending names.
const MAX_PENDING: usize = 1000;

/// The names to compare with the database, shared by all workers.
#[derive(Default)]
pub struct NameUpdates(Mutex<State>);

#[derive(Default)]
struct State {
    pending: HashMap<UserKey, PendingName>,
    is_running: bool,
}

struct PendingName {
    name: String,
    issued_at: Option<i64>,
}

impl NameUpdates {
    /// Adds the name in a newly verified token.
    pub fn add(self: &Arc<Self>, blog: &Blog, user: UserKey, name: TokenName<'_>) {
        let TokenName { name, issued_at } = name;
        if name.is_empty() {
            return;
        }
        if self.state().push(
            user,
            PendingName {
                name: name.to_owned(),
                issued_at,
            },
        ) {
            rt::spawn(Arc::clone(self).run(blog.clone()));
        }
    }

    async fn run(self: Arc<Self>, blog: Blog) {
        while let Some((key, PendingName { name, issued_at })) = self.next() {
            if let Err(error) = blog.update_name(key, TokenName { name: &name, issued_at }).await {
                log::warn!("could not update a user's display name: {error}");
            }
        }
    }

    fn next(&self) -> Option<(UserKey, PendingName)> {
        let mut state = self.state();
        let key = state.pending.keys().next().copied();
        let next = key.and_then(|key| state.pending.remove_entry(&key));
        state.is_running = next.is_some();
        next
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock()
    }
}

impl State {
    /// Returns whether a task must be started.
    fn push(&mut self, key: UserKey, name: PendingName) -> bool {
        let is_full = self.pending.len() >= MAX_PENDING;
        match self.pending.get_mut(&key) {
            Some(known) if known.issued_at >= name.issued_at => {}
            Some(known) => *known = name,
            None if is_full => log::debug!("too many display names are pending; skipped one"),
            None => {
                self.pending.insert(key, name);
            }
        }
        let must_start = !self.is_running && !self.pending.is_empty();
        self.is_running |= must_start;
        must_start
    }
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn key(oid: u128) -> UserKey {
        UserKey {
            tenant_id: Uuid::nil(),
            object_id: Uuid::from_u128(oid),
        }
    }

    fn name(issued_at: i64) -> PendingName {
        PendingName {
            name: format!("issued at {issued_at}"),
            issued_at: Some(issued_at),
        }
    }

    #[test]
    fn of_several_tokens_the_latest_is_pending_and_one_task_runs() {
        let updates = NameUpdates::default();
        assert!(updates.state().push(key(1), name(5)), "the first starts the task");
        assert!(!updates.state().push(key(1), name(7)) && !updates.state().push(key(1), name(6)));
        let (_, next) = updates.next().expect("one");
        assert_eq!(next.issued_at, Some(7));
        assert!(!updates.state().push(key(2), name(1)), "the task still runs");
        assert!(updates.next().is_some() && updates.next().is_none());
        assert!(updates.state().push(key(3), name(1)), "the task has ended");
    }

    #[test]
    fn names_beyond_the_limit_are_skipped() {
        let updates = NameUpdates::default();
        for n in 0..(MAX_PENDING as u128 + 10) {
            updates.state().push(key(n), name(1));
        }
        assert_eq!(updates.state().pending.len(), MAX_PENDING);
    }
}
