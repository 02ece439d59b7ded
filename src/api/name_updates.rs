//! Keeps the display names of users up to date who only read: each token that is verified is looked at once, beside the
//! request that brought it.
//!
//! Bounded: one task at a time and [`MAX_PENDING`] names. What does not fit, or fails, is left to the user's next token.

use std::{collections::HashMap, sync::Arc};

use actix_web::rt;
use parking_lot::{Mutex, MutexGuard};

use super::middleware::bearer::Caller;
use crate::blog::{Blog, TokenName, UserKey};

/// Most names that wait.
const MAX_PENDING: usize = 1000;

/// The names that wait to be compared with the database. Shared by all workers.
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
    /// Adds the name of a caller whose token has just been verified.
    pub fn add(self: &Arc<Self>, blog: &Blog, caller: &Caller) {
        let TokenName { name, issued_at } = caller.token_name();
        if name.is_empty() {
            return;
        }
        if self.state().push(
            caller.key(),
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
                log::warn!("the display name of a user was not compared with their token: {error}");
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
        // No code panics while it holds the lock; a map is whole between any two calls.
        self.0.lock()
    }
}

impl State {
    /// Whether a task must be started.
    fn push(&mut self, key: UserKey, name: PendingName) -> bool {
        let is_full = self.pending.len() >= MAX_PENDING;
        match self.pending.get_mut(&key) {
            Some(known) if known.issued_at >= name.issued_at => {}
            Some(known) => *known = name,
            None if is_full => log::debug!("too many display names wait; one is left out"),
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
            tid: Uuid::nil(),
            oid: Uuid::from_u128(oid),
        }
    }

    fn name(issued_at: i64) -> PendingName {
        PendingName {
            name: format!("issued at {issued_at}"),
            issued_at: Some(issued_at),
        }
    }

    #[test]
    fn of_several_tokens_of_a_user_the_latest_waits_and_one_task_runs() {
        let updates = NameUpdates::default();
        assert!(updates.state().push(key(1), name(5)), "the first starts the task");
        assert!(!updates.state().push(key(1), name(7)) && !updates.state().push(key(1), name(6)));
        let (_, next) = updates.next().expect("one");
        assert_eq!(next.issued_at, Some(7));
        assert!(!updates.state().push(key(2), name(1)), "the task still runs");
        assert!(updates.next().is_some() && updates.next().is_none());
        assert!(updates.state().push(key(3), name(1)), "it has ended");
    }

    #[test]
    fn names_beyond_the_limit_are_left_out() {
        let updates = NameUpdates::default();
        for n in 0..(MAX_PENDING as u128 + 10) {
            updates.state().push(key(n), name(1));
        }
        assert_eq!(updates.state().pending.len(), MAX_PENDING);
    }
}
