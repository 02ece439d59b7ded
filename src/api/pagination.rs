//! Pagination: the `after` cursor, which is opaque text to clients, and the link to the next page.

use actix_web::{
    HttpRequest,
    http::header::{HeaderValue, InvalidHeaderValue},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::DateTime;
use url::form_urlencoded;

use crate::blog::{Cursor, Paging};

/// The first byte, by which a later format can recognise older cursors.
const VERSION: u8 = 1;

/// The value of `Link` (RFC 8288): the request's path and parameters, with the position of the next page.
///
/// # Errors
/// Never: parameters are percent-encoded.
pub fn next_link(request: &HttpRequest, next: Paging) -> Result<HeaderValue, InvalidHeaderValue> {
    let other_parameters =
        form_urlencoded::parse(request.query_string().as_bytes()).filter(|(name, _)| name != "after" && name != "skip");
    let (name, position) = match next {
        Paging::After(cursor) => ("after", encode_cursor(cursor)),
        Paging::Skip(skip) => ("skip", skip.to_string()),
    };
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs(other_parameters)
        .append_pair(name, &position)
        .finish();
    HeaderValue::try_from(format!("<{}?{query}>; rel=\"next\"", request.path()))
}

/// The cursor as base64url text.
pub fn encode_cursor(cursor: Cursor) -> String {
    let mut bytes = vec![VERSION];
    bytes.extend(cursor.created_at_micros.to_be_bytes());
    bytes.extend(cursor.id.to_be_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Decodes a cursor; `None` for text that [`encode_cursor`] does not produce.
pub fn decode_cursor(text: &str) -> Option<Cursor> {
    let bytes: [u8; 17] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
    let (version, rest) = bytes.split_first()?;
    let (created_at, id) = rest.split_first_chunk::<8>()?;
    let cursor = Cursor {
        created_at_micros: i64::from_be_bytes(*created_at),
        id: i64::from_be_bytes(*id.first_chunk()?),
    };
    // A time out of range was not encoded by this program.
    let is_valid =
        *version == VERSION && cursor.id > 0 && DateTime::from_timestamp_micros(cursor.created_at_micros).is_some();
    is_valid.then_some(cursor)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_encoded_cursor_decodes_to_the_same(created_at_micros in -1_000_000_000_000_000_i64..4_000_000_000_000_000, id in 1..i64::MAX) {
            let cursor = Cursor { created_at_micros, id };
            prop_assert_eq!(decode_cursor(&encode_cursor(cursor)), Some(cursor));
        }

        #[test]
        fn each_cursor_has_exactly_one_text(
            created_at_micros in -1_000_000_000_000_000_i64..4_000_000_000_000_000,
            id in 1..i64::MAX,
            place in 0_usize..30,
            other in "[A-Za-z0-9_=-]{0,2}",
        ) {
            // Text near a good cursor: random text alone never decodes.
            let mut text = encode_cursor(Cursor { created_at_micros, id });
            let end = (place + 1).min(text.len());
            text.replace_range(place.min(end)..end, &other);
            if let Some(cursor) = decode_cursor(&text) {
                prop_assert_eq!(encode_cursor(cursor), text);
            }
        }
    }

    #[test]
    fn text_that_is_not_a_cursor_is_rejected() {
        let good = encode_cursor(Cursor {
            created_at_micros: 1,
            id: 1,
        });
        let encoded = |version: u8, micros: i64, id: i64| {
            let bytes = [&[version][..], &micros.to_be_bytes(), &id.to_be_bytes()].concat();
            URL_SAFE_NO_PAD.encode(bytes)
        };
        assert!(decode_cursor(&encoded(1, 1, 1)).is_some());
        for bad in ["", "0", &good[1..], &format!("{good}="), &format!("{good}AAAA"), "ÄÖÜ"] {
            assert_eq!(decode_cursor(bad), None, "{bad:?}");
        }
        for (version, micros, id) in [
            (2, 1, 1),
            (0, 1, 1),
            (1, i64::MAX, 1),
            (1, i64::MIN, 1),
            (1, 1, 0),
            (1, 1, -1),
        ] {
            assert_eq!(
                decode_cursor(&encoded(version, micros, id)),
                None,
                "{version} {micros} {id}"
            );
        }
    }

    #[test]
    fn the_link_has_the_other_parameters_escaped() {
        let uri = "/v1/posts?q=a%3E%22%0D%0A%26b&skip=4&limit=2&after=old&x=%ff";
        let request = TestRequest::with_uri(uri).to_http_request();
        let link = next_link(
            &request,
            Paging::After(Cursor {
                created_at_micros: 1,
                id: 2,
            }),
        )
        .expect("a header value");
        let expected =
            "</v1/posts?q=a%3E%22%0D%0A%26b&limit=2&x=%EF%BF%BD&after=AQAAAAAAAAABAAAAAAAAAAI>; rel=\"next\"";
        assert_eq!(link, expected);
        let link = next_link(&request, Paging::Skip(20)).expect("a header value");
        assert_eq!(
            link,
            "</v1/posts?q=a%3E%22%0D%0A%26b&limit=2&x=%EF%BF%BD&skip=20>; rel=\"next\""
        );
    }
}
