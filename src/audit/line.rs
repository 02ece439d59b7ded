//! The form of a line: a JSON object that ends in `,"hash":"…"}`. The hash is the SHA-256 of all bytes before `,"hash"`, so
//! that changing any byte of a line invalidates it. `prev` is the hash of the line before.

use std::fmt::Write as _;

use chrono::{DateTime, Utc};
use openssl::sha::sha256;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    chain::{Head, is_hash},
    event::{Event, Origin, Outcome, Record, Repeats, time},
};

/// Version of the form.
const VERSION: u8 = 1;
/// Longest line, in bytes, that is read. No field of a written line is longer than a few hundred.
pub(super) const MAX_LINE: usize = 16 * 1024;

const HASH_FIELD: &str = r#","hash":""#;
const END: &str = r#""}"#;

#[derive(Serialize)]
struct Body<'a> {
    v: u8,
    #[serde(serialize_with = "time")]
    time: DateTime<Utc>,
    seq: u64,
    chain: Uuid,
    role: &'static str,
    #[serde(flatten)]
    event: &'a Event,
    outcome: Outcome,
    #[serde(flatten)]
    repeats: Option<&'a Repeats>,
    #[serde(flatten)]
    origin: &'a Origin,
    prev: &'a str,
}

/// Writes the line after `head`, with its line break, and returns it with the new head.
pub(super) fn render(record: &Record, role: &'static str, head: &Head) -> serde_json::Result<(String, Head)> {
    let body = Body {
        v: VERSION,
        time: record.time,
        seq: head.seq.saturating_add(1),
        chain: head.chain,
        role,
        event: &record.event,
        outcome: record.event.outcome(),
        repeats: record.repeats.as_ref(),
        origin: &record.origin,
        prev: &head.hash,
    };
    let next_seq = body.seq;
    let mut line = serde_json::to_string(&body)?;
    // The object's closing brace.
    line.pop();
    let hash = hex::encode(sha256(line.as_bytes()));
    // Writing to a string never fails.
    let _ = writeln!(line, "{HASH_FIELD}{hash}{END}");
    let next = Head {
        chain: head.chain,
        seq: next_seq,
        hash,
    };
    Ok((line, next))
}

/// The numbers and hashes that link a line to others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Link {
    pub head: Head,
    pub prev: String,
    /// The bytes before this line that it declares to be damaged.
    pub damaged: Option<Damaged>,
}

/// The content of a [`Event::DamagedTail`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Damaged {
    pub bytes: u64,
    pub sha256: String,
    pub is_interrupted: bool,
}

/// Why bytes are not a valid line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum LineError {
    #[error("is not a line of an audit trail")]
    NotALine,
    #[error("was changed: its hash does not match its content")]
    WrongHash,
}

#[derive(Deserialize)]
struct Fields {
    v: u8,
    seq: u64,
    chain: Uuid,
    event: String,
    prev: String,
    bytes: Option<u64>,
    sha256: Option<String>,
    interrupted: Option<bool>,
}

/// Parses a line without its line break, and checks its hash.
pub(super) fn parse(line: &[u8]) -> Result<Link, LineError> {
    let text = std::str::from_utf8(line).map_err(|_| LineError::NotALine)?;
    let at = text.rfind(HASH_FIELD).ok_or(LineError::NotALine)?;
    let (body, rest) = text.split_at(at);
    let hash = rest
        .strip_prefix(HASH_FIELD)
        .and_then(|rest| rest.strip_suffix(END))
        .filter(|hash| is_hash(hash))
        .ok_or(LineError::NotALine)?;
    if hex::encode(sha256(body.as_bytes())) != hash {
        return Err(LineError::WrongHash);
    }
    let fields: Fields = serde_json::from_str(text).map_err(|_| LineError::NotALine)?;
    if fields.v != VERSION || !is_hash(&fields.prev) || fields.seq == 0 {
        return Err(LineError::NotALine);
    }
    let damaged = match (fields.event.as_str(), fields.bytes, fields.sha256) {
        ("damaged_tail", Some(bytes), Some(sha256)) => Some(Damaged {
            bytes,
            sha256,
            is_interrupted: fields.interrupted.unwrap_or(false),
        }),
        _ => None,
    };
    Ok(Link {
        head: Head {
            chain: fields.chain,
            seq: fields.seq,
            hash: hash.to_owned(),
        },
        prev: fields.prev,
        damaged,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;
    use crate::audit::event::Person;

    fn line(event: Event, origin: Origin) -> (String, Head) {
        let mut record = Record::new(event, origin);
        record.time = "2026-01-31T08:00:00.000001Z".parse().unwrap();
        let head = Head {
            chain: Uuid::from_u128(7),
            seq: 41,
            hash: "ab".repeat(32),
        };
        render(&record, "api", &head).unwrap()
    }

    #[test]
    fn a_line_is_one_json_object_with_the_hash_of_its_other_bytes() {
        let origin = Origin {
            actor: Some(Person {
                tid: Uuid::from_u128(1),
                oid: Uuid::from_u128(2),
            }),
            request_id: Some("req-1".to_owned()),
            trace_id: None,
            source: Some("203.0.113.7".parse().unwrap()),
        };
        let (line, head) = line(Event::PostCreated { post_id: 9 }, origin);
        assert_eq!(line.matches('\n').count(), 1);
        let value: Json = serde_json::from_str(&line).unwrap();
        let expected = json!({
            "v": 1, "time": "2026-01-31T08:00:00.000001Z", "seq": 42,
            "chain": "00000000-0000-0000-0000-000000000007", "role": "api", "event": "post_created", "post_id": 9,
            "outcome": "success",
            "actor": {
                "tid": "00000000-0000-0000-0000-000000000001", "oid": "00000000-0000-0000-0000-000000000002",
            },
            "request_id": "req-1", "source": "203.0.113.7", "prev": "ab".repeat(32), "hash": head.hash,
        });
        assert_eq!(value, expected);
        let parsed = parse(line.trim_end_matches('\n').as_bytes()).unwrap();
        assert_eq!((parsed.head, parsed.prev), (head, "ab".repeat(32)));
    }

    #[test]
    fn no_byte_of_a_line_can_change_unnoticed() {
        let (line, _) = line(
            Event::SignInRejected {
                reason: "expired",
                aadsts: Some(50_105),
            },
            Origin::default(),
        );
        let line = line.trim_end_matches('\n').as_bytes();
        assert!(parse(line).is_ok());
        for at in 0..line.len() {
            for bit in 0..8 {
                let mut changed = line.to_vec();
                changed[at] ^= 1 << bit;
                assert!(parse(&changed).is_err(), "byte {at}, bit {bit}");
            }
            assert!(parse(&line[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn text_that_is_not_a_line_is_rejected() {
        let with_hash = |body: &str| {
            let hash = hex::encode(sha256(body.as_bytes()));
            format!("{body}{HASH_FIELD}{hash}{END}")
        };
        let prev = "0".repeat(64);
        let chain = "00000000-0000-0000-0000-000000000007";
        let body = |rest: &str| format!(r#"{{"chain":"{chain}","event":"x",{rest}"#);
        let good = with_hash(&body(&format!(r#""v":1,"seq":1,"prev":"{prev}""#)));
        assert!(parse(good.as_bytes()).is_ok(), "{good}");
        for bad in [
            String::new(),
            "{}".to_owned(),
            format!("{good} "),
            format!(" {good}"),
            with_hash(""),
            with_hash("not json"),
            with_hash(&body(&format!(r#""v":2,"seq":1,"prev":"{prev}""#))),
            with_hash(&body(&format!(r#""v":1,"seq":0,"prev":"{prev}""#))),
            with_hash(&body(&format!(r#""v":1,"seq":-1,"prev":"{prev}""#))),
            with_hash(&body(r#""v":1,"seq":1,"prev":"short""#)),
            with_hash(&body(&format!(r#""v":1,"seq":1,"seq":2,"prev":"{prev}""#))),
        ] {
            assert!(parse(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
