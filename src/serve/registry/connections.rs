//! All connections of one server, and which of them is closed when another one needs room.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use super::connection_state::{CloseMode, ConnectionState};
use crate::serve::Source;

/// How many idle connections one search collects: each search visits every connection.
const MAX_CANDIDATES: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Connections {
    pub(super) all: HashMap<u64, Arc<ConnectionState>>,
    next_id: u64,
    /// Those that count against the limit: not in the reserve, and not asked to make room.
    counted: HashSet<u64>,
    reserve: usize,
    per_source: HashMap<Source, usize>,
    /// Since when idle connections are idle, and their ids. The longest idle comes last.
    candidates: Vec<(u64, u64)>,
}

impl Connections {
    /// How many connections count against the limit.
    pub(super) fn counted(&self) -> usize {
        self.counted.len()
    }

    /// How many connections are in the reserve.
    pub(super) fn reserve(&self) -> usize {
        self.reserve
    }

    /// How many connections one client has.
    pub(super) fn of_source(&self, source: Source) -> usize {
        self.per_source.get(&source).copied().unwrap_or(0)
    }

    /// Adds a connection and returns its id.
    pub(super) fn insert(&mut self, state: &Arc<ConnectionState>) -> u64 {
        let id = self.next_id;
        self.next_id = id.wrapping_add(1);
        self.all.insert(id, Arc::clone(state));
        if state.is_reserve {
            self.reserve += 1;
        } else {
            self.counted.insert(id);
        }
        if let Some(source) = state.source() {
            *self.per_source.entry(source).or_default() += 1;
        }
        id
    }

    /// Removes a connection that has ended.
    pub(super) fn remove(&mut self, id: u64, state: &ConnectionState) {
        self.all.remove(&id);
        self.counted.remove(&id);
        if state.is_reserve {
            self.reserve = self
                .all
                .values()
                .filter(|other| other.is_reserve && other.close_mode() != CloseMode::Abort)
                .count();
        }
        let Some(source) = state.source() else { return };
        if let Some(count) = self.per_source.get_mut(&source) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.per_source.remove(&source);
            }
        }
    }

    /// Asks the longest idle connection to close, so that the caller's connection may replace it. False if none is idle.
    pub(super) fn close_longest_idle(&mut self, now: u64) -> bool {
        if self.close_next_candidate() {
            return true;
        }
        let counted = self.counted.iter().filter_map(|id| Some((self.all.get(id)?, *id)));
        let mut idle: Vec<_> = counted
            .filter_map(|(state, id)| Some((state.idle_since()?, id)))
            .filter(|(since, _)| *since <= now)
            .collect();
        idle.sort_unstable();
        idle.truncate(MAX_CANDIDATES);
        idle.reverse();
        self.candidates = idle;
        self.close_next_candidate()
    }

    fn close_next_candidate(&mut self) -> bool {
        while let Some((since, id)) = self.candidates.pop() {
            // It may have served a request since it was found.
            let state = self.all.get(&id).filter(|state| state.idle_since() == Some(since));
            if let (Some(state), true) = (state, self.counted.contains(&id)) {
                state.close(CloseMode::WhenIdle);
                self.counted.remove(&id);
                return true;
            }
        }
        false
    }

    /// Asks the longest idle connection of one client to close. False if none is idle.
    pub(super) fn close_longest_idle_of(&mut self, source: Source) -> bool {
        let open = self
            .all
            .iter()
            .filter(|(_, state)| state.source() == Some(source) && state.close_mode() == CloseMode::None);
        let idle = open.filter_map(|(id, state)| Some((state.idle_since()?, *id, state)));
        let Some((_, id, state)) = idle.min_by_key(|(since, id, _)| (*since, *id)) else {
            return false;
        };
        state.close(CloseMode::WhenIdle);
        self.counted.remove(&id);
        true
    }

    /// Closes the oldest connection in the reserve that has not sent its request: a probe sends it at once. False if there
    /// is none.
    pub(super) fn close_oldest_reserve(&mut self) -> bool {
        let waiting = self
            .all
            .iter()
            .filter(|(_, state)| state.is_reserve && !state.is_active() && state.close_mode() != CloseMode::Abort);
        let Some((_, state)) = waiting.min_by_key(|(id, _)| **id) else {
            return false;
        };
        state.close(CloseMode::Abort);
        self.reserve = self.reserve.saturating_sub(1);
        true
    }
}
