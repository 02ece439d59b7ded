//! Parses the `Cookie` header byte by byte. Other applications on the same host may set cookies with any bytes. Such a
//! cookie must not hide ours, which comes in the same header (RFC 6265 §5.4).

use actix_web::http::header::{COOKIE, HeaderMap};

/// The name and value of every cookie that is UTF-8. Pairs without `=`, without a name, or with other bytes belong to
/// other applications and are skipped.
pub fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    headers
        .get_all(COOKIE)
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b';'))
        .filter_map(|pair| std::str::from_utf8(pair).ok()?.trim().split_once('='))
        .map(|(name, value)| (name.trim_end(), value.trim_start()))
        .filter(|(name, _)| !name.is_empty())
}

/// The value of the first cookie with this name.
pub fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    cookies(headers)
        .find(|(known, _)| *known == name)
        .map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderValue;
    use proptest::prelude::*;

    use super::*;

    fn headers(lines: &[&[u8]]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(COOKIE, HeaderValue::from_bytes(line).expect("a header value"));
        }
        headers
    }

    #[test]
    fn foreign_cookies_of_any_form_do_not_hide_ones_own() {
        let long = [b"junk=".as_slice(), &[b'x'; 8192], b"; own=1"].concat();
        for lines in [
            &[b"own=1".as_slice()][..],
            &[b"lang=fran\xe7ais; own=1"],
            &[b"own=1; lang=fran\xe7ais"],
            &["lang=français; own=1".as_bytes()],
            &[b"\xff\xfe; own=1; \xff"],
            &[b"fran\xe7ais=1;own=1"],
            &[b"lang=fran\xe7ais", b"own=1"],
            &[b"own=1", b"\xe7"],
            &[b"x; =; =y; ;;; a=\"b; own=1"],
            &[b"a=\"q;r\"; own=1"],
            &[b"Own=2; own2=3; own=1"],
            &[b"  own=1  "],
            &[&long],
        ] {
            assert_eq!(cookie(&headers(lines), "own"), Some("1"), "{lines:?}");
        }
        for lines in [&[b"own".as_slice()][..], &[b"ow\xe7n=1"], &[b"own=\xe7"], &[]] {
            assert_eq!(cookie(&headers(lines), "own"), None, "{lines:?}");
        }
    }

    #[test]
    fn a_value_may_hold_an_equals_sign_and_nothing_is_decoded() {
        let headers = headers(&[b"a=b=c%3B; d="]);
        assert_eq!(cookies(&headers).collect::<Vec<_>>(), [("a", "b=c%3B"), ("d", "")]);
    }

    proptest! {
        #[test]
        fn whatever_stands_around_it_a_cookie_is_found(
            before in prop::collection::vec(0x20_u8..=0xff, 0..40),
            after in prop::collection::vec(0x20_u8..=0xff, 0..40),
        ) {
            prop_assume!(!before.contains(&0x7f) && !after.contains(&0x7f));
            prop_assume!(!before.windows(4).any(|bytes| bytes == b"own="));
            let line = [before.as_slice(), b";own=1;", &after].concat();
            let headers = headers(&[&line]);
            prop_assert_eq!(cookie(&headers, "own"), Some("1"));
        }
    }
}
