//! The `Idempotency-Key` header (draft-ietf-httpapi-idempotency-key-header).

use std::future::{Ready, ready};

use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    http::header::{HeaderMap, HeaderName},
};

use super::problem::Problem;
use crate::blog::IdempotencyKey;

/// The request header.
pub const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
/// Marks a response as that of an earlier request.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// The request's key, if it has one.
pub struct RequestKey(pub Option<IdempotencyKey>);

impl FromRequest for RequestKey {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(key(request.headers()).map(Self))
    }
}

fn key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Problem> {
    let mut values = headers.get_all(&HEADER);
    let Some(value) = values.next() else { return Ok(None) };
    // With two keys, it is unclear which one counts.
    if values.next().is_some() {
        return Err(Problem::malformed_idempotency_key());
    }
    let text = value.to_str().map_err(|_| Problem::malformed_idempotency_key())?;
    let key = if text.starts_with('"') {
        quoted(text)
    } else {
        Some(text.to_owned())
    };
    key.as_deref()
        .and_then(IdempotencyKey::parse)
        .map(Some)
        .ok_or_else(Problem::malformed_idempotency_key)
}

/// Parses a structured-field string (RFC 9651 §3.3.3) such as `"abc"`, which the draft requires. Most clients send
/// `abc`, which means the same here.
fn quoted(text: &str) -> Option<String> {
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    let mut key = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        key.push(match character {
            '"' => return None,
            '\\' => characters.next().filter(|escaped| matches!(escaped, '"' | '\\'))?,
            other => other,
        });
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn parsed(values: &[&[u8]]) -> Result<Option<String>, &'static str> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HEADER, HeaderValue::from_bytes(value).expect("a header value"));
        }
        key(&headers)
            .map(|key| key.map(|key| key.as_str().to_owned()))
            .map_err(|problem| problem.code())
    }

    #[test]
    fn a_key_may_be_quoted() {
        assert_eq!(parsed(&[]), Ok(None));
        for (value, expected) in [
            (&b"8e03978e-40d5"[..], "8e03978e-40d5"),
            (b"\"8e03978e-40d5\"", "8e03978e-40d5"),
            (b"\"a\\\"b\\\\\"", "a\"b\\"),
            (b"a\"b", "a\"b"),
        ] {
            assert_eq!(parsed(&[value]), Ok(Some(expected.to_owned())));
        }
    }

    #[test]
    fn anything_else_is_rejected() {
        let long = "k".repeat(256);
        for values in [
            &[&b""[..]][..],
            &[b"\"\""],
            &[b"\""],
            &[b"\"a"],
            &[b"\"a\"b\""],
            &[b"\"a\\b\""],
            &[b"\"a\\\""],
            &[b"\"a\";v=1"],
            &[b"a b"],
            &[b"\"a b\""],
            &[b"a\xff"],
            &["é".as_bytes()],
            &[long.as_bytes()],
            &[b"a", b"a"],
            &[b"a", b""],
        ] {
            assert_eq!(parsed(values), Err("malformed_idempotency_key"), "{values:?}");
        }
    }

    proptest! {
        #[test]
        fn every_key_survives_its_quotes(text in "[!-~]{1,255}") {
            let quoted = format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""));
            prop_assert_eq!(parsed(&[quoted.as_bytes()]), Ok(Some(text)));
        }

        #[test]
        fn every_accepted_key_is_valid(value in prop::collection::vec(any::<u8>(), 0..300)) {
            if HeaderValue::from_bytes(&value).is_ok()
                && let Ok(key) = parsed(&[&value])
            {
                let key = key.expect("there is a header");
                prop_assert!((1..=255).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()));
            }
        }
    }
}
