//! The `after` cursor of a list as clients see it: opaque text that they hand back unchanged.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::DateTime;

use crate::blog::Cursor;

/// First byte: should the cursor ever hold something else, older ones are recognised.
const VERSION: u8 = 1;

/// As text, base64url.
pub fn encode(cursor: Cursor) -> String {
    let mut bytes = vec![VERSION];
    bytes.extend(cursor.created_at_micros.to_be_bytes());
    bytes.extend(cursor.id.to_be_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// From text; `None` when it is none that [`encode`] makes.
pub fn decode(text: &str) -> Option<Cursor> {
    let bytes: [u8; 17] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
    let (version, rest) = bytes.split_first()?;
    let (created_at, id) = rest.split_first_chunk::<8>()?;
    let cursor = Cursor {
        created_at_micros: i64::from_be_bytes(*created_at),
        id: i64::from_be_bytes(*id.first_chunk()?),
    };
    // A time that no calendar holds was made up.
    let sane =
        *version == VERSION && cursor.id > 0 && DateTime::from_timestamp_micros(cursor.created_at_micros).is_some();
    sane.then_some(cursor)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_comes_back_as_it_went(created_at_micros in -1_000_000_000_000_000_i64..4_000_000_000_000_000, id in 1..i64::MAX) {
            let cursor = Cursor { created_at_micros, id };
            prop_assert_eq!(decode(&encode(cursor)), Some(cursor));
        }

        #[test]
        fn text_that_decodes_is_the_one_text_of_its_cursor(
            created_at_micros in -1_000_000_000_000_000_i64..4_000_000_000_000_000,
            id in 1..i64::MAX,
            place in 0_usize..30,
            other in "[A-Za-z0-9_=-]{0,2}",
        ) {
            // Text near a good cursor: random text alone never decodes.
            let mut text = encode(Cursor { created_at_micros, id });
            let end = (place + 1).min(text.len());
            text.replace_range(place.min(end)..end, &other);
            if let Some(cursor) = decode(&text) {
                prop_assert_eq!(encode(cursor), text);
            }
        }
    }

    #[test]
    fn what_no_cursor_looks_like_is_refused() {
        let good = encode(Cursor {
            created_at_micros: 1,
            id: 1,
        });
        let of = |version: u8, micros: i64, id: i64| {
            let bytes = [&[version][..], &micros.to_be_bytes(), &id.to_be_bytes()].concat();
            URL_SAFE_NO_PAD.encode(bytes)
        };
        assert!(decode(&of(1, 1, 1)).is_some());
        for bad in ["", "0", &good[1..], &format!("{good}="), &format!("{good}AAAA"), "ÄÖÜ"] {
            assert_eq!(decode(bad), None, "{bad:?}");
        }
        for (version, micros, id) in [
            (2, 1, 1),
            (0, 1, 1),
            (1, i64::MAX, 1),
            (1, i64::MIN, 1),
            (1, 1, 0),
            (1, 1, -1),
        ] {
            assert_eq!(decode(&of(version, micros, id)), None, "{version} {micros} {id}");
        }
    }
}
