//! Counts events that a client can cause as often as it likes, such as rejected tokens. The first one of a kind and client is
//! written at once; further ones within [`WINDOW`] become one line with their number. So a flood writes at most a few hundred
//! lines per minute, from however many addresses it comes.

use std::{
    collections::HashMap,
    net::IpAddr,
    time::{Duration, Instant},
};

use super::event::{Person, Record, Repeats};

/// How long events of the same kind are counted before the number is written.
pub(super) const WINDOW: Duration = Duration::from_mins(1);
/// Most kinds and clients that are distinguished within a window. Further clients are counted together, by kind.
const MAX_CLIENTS: usize = 64;

#[derive(Debug, PartialEq, Eq, Hash)]
struct Key {
    event: &'static str,
    reason: &'static str,
    /// `None` once there are too many of them.
    client: Option<(Option<Person>, Option<IpAddr>)>,
}

#[derive(Debug)]
struct Counted {
    /// The first repetition; its origin is that of all repetitions as far as they have it in common.
    first: Record,
    count: u64,
}

/// The events of the current window.
#[derive(Debug, Default)]
pub(super) struct RepeatFilter {
    started_at: Option<Instant>,
    /// `None` for a kind and client without repetitions.
    seen: HashMap<Key, Option<Counted>>,
}

impl RepeatFilter {
    /// Returns the record if it is to be written, otherwise counts it.
    pub fn admit(&mut self, now: Instant, record: Record) -> Option<Record> {
        let Some((event, reason)) = record.event.repeatable() else {
            return Some(record);
        };
        self.started_at.get_or_insert(now);
        let client = (record.origin.actor, record.origin.source.map(network));
        let mut key = Key {
            event,
            reason,
            client: Some(client),
        };
        let is_known = self.seen.contains_key(&key);
        if !is_known && self.seen.len() < MAX_CLIENTS {
            self.seen.insert(key, None);
            return Some(record);
        }
        if !is_known {
            // There are few kinds, because reasons come from the program.
            key.client = None;
        }
        let is_one_client = key.client.is_some();
        let counted = self.seen.entry(key).or_default();
        let counted = counted.get_or_insert_with(|| Counted {
            first: record,
            count: 0,
        });
        counted.count = counted.count.saturating_add(1);
        // Each repetition has its own request.
        counted.first.origin.request_id = None;
        counted.first.origin.trace_id = None;
        if !is_one_client {
            counted.first.origin.actor = None;
            counted.first.origin.source = None;
        }
        None
    }

    /// Whether repetitions wait for the end of the window.
    pub fn is_counting(&self) -> bool {
        self.started_at.is_some()
    }

    /// One record for each kind and client with repetitions, once the window is over.
    pub fn due(&mut self, now: Instant) -> Vec<Record> {
        if self
            .started_at
            .is_some_and(|start| now.saturating_duration_since(start) >= WINDOW)
        {
            self.flush()
        } else {
            Vec::new()
        }
    }

    /// The same at once: the process ends.
    pub fn flush(&mut self) -> Vec<Record> {
        self.started_at = None;
        let mut records: Vec<Record> = self
            .seen
            .drain()
            .filter_map(|(_, counted)| counted)
            .map(|Counted { first, count }| Record {
                time: chrono::Utc::now(),
                repeats: Some(Repeats {
                    count,
                    since: first.time,
                }),
                ..first
            })
            .collect();
        records.sort_by_key(|record| record.repeats.as_ref().map(|repeats| repeats.since));
        records
    }
}

/// An IPv6 client has a whole /64 network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6((address.to_bits() & !u128::from(u64::MAX)).into()),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::event::{Event, Origin};

    fn rejected(reason: &'static str, source: &str) -> Record {
        let origin = Origin {
            request_id: Some("req".to_owned()),
            source: Some(source.parse().unwrap()),
            ..Origin::default()
        };
        Record::new(Event::TokenRejected { reason }, origin)
    }

    #[test]
    fn the_first_event_of_a_client_is_written_and_the_others_are_counted() {
        let (mut filter, start) = (RepeatFilter::default(), Instant::now());
        assert!(filter.admit(start, rejected("expired", "203.0.113.7")).is_some());
        for _ in 0..5 {
            assert!(filter.admit(start, rejected("expired", "203.0.113.7")).is_none());
        }
        assert!(
            filter.admit(start, rejected("signature", "203.0.113.7")).is_some(),
            "another reason"
        );
        assert!(
            filter.admit(start, rejected("expired", "203.0.113.8")).is_some(),
            "another address"
        );
        assert!(
            filter
                .due(start + WINDOW.checked_sub(Duration::from_millis(1)).unwrap())
                .is_empty()
        );
        let due = filter.due(start + WINDOW);
        let [line] = due.as_slice() else { panic!("{due:?}") };
        assert_eq!(line.repeats.as_ref().unwrap().count, 5);
        assert_eq!(line.origin.source, Some("203.0.113.7".parse().unwrap()));
        assert_eq!(line.origin.request_id, None, "they have different ones");
        assert!(!filter.is_counting());
        assert!(
            filter
                .admit(start + WINDOW, rejected("expired", "203.0.113.7"))
                .is_some(),
            "a new window"
        );
    }

    #[test]
    fn a_network_of_ipv6_addresses_is_one_client() {
        let (mut filter, now) = (RepeatFilter::default(), Instant::now());
        assert!(filter.admit(now, rejected("expired", "2001:db8::1")).is_some());
        assert!(filter.admit(now, rejected("expired", "2001:db8::2")).is_none());
        assert!(filter.admit(now, rejected("expired", "2001:db8:0:1::1")).is_some());
    }

    #[test]
    fn a_flood_from_any_number_of_addresses_is_a_bounded_number_of_lines() {
        let (mut filter, now) = (RepeatFilter::default(), Instant::now());
        let mut written = 0_u64;
        for n in 0..50_000_u32 {
            let source = std::net::Ipv4Addr::from_bits(n).to_string();
            written += u64::from(filter.admit(now, rejected("expired", &source)).is_some());
        }
        assert!(filter.seen.len() <= MAX_CLIENTS + 1);
        let due = filter.due(now + WINDOW);
        assert_eq!((written, due.len()), (MAX_CLIENTS as u64, 1));
        assert_eq!(due[0].repeats.as_ref().unwrap().count, 50_000 - MAX_CLIENTS as u64);
        assert_eq!(due[0].origin, Origin::default(), "of many clients");
    }

    #[test]
    fn events_that_change_something_are_never_counted_together() {
        let (mut filter, now) = (RepeatFilter::default(), Instant::now());
        for _ in 0..1000 {
            let record = Record::new(
                Event::PostDeleted {
                    post_id: 1,
                    author: None,
                },
                Origin::default(),
            );
            assert!(filter.admit(now, record).is_some());
        }
        assert!(!filter.is_counting());
    }
}
