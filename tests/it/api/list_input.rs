//! Malicious input to lists: invalid cursors, and search texts that look like query syntax.

use url::form_urlencoded;

use super::lists::{titles, write_numbered};
use crate::support::api::each_api;

#[test]
fn an_invalid_cursor_is_rejected() {
    each_api(|api| {
        let alice = api.alice();
        write_numbered(&alice, 0..3);
        let path = alice.get("/v1/posts?limit=1").next_page().expect("more");
        let good = path.split_once("after=").expect("a cursor").1.to_owned();
        let truncated: Vec<String> = (0..good.len()).map(|length| good[..length].to_owned()).collect();
        let other_alphabet = good.replace(['A', 'B'], "%2B");
        let of_a_newer_version = format!("Ag{}", &good[2..]);
        let bad = [
            "garbage",
            "null",
            "%00",
            "..%2F..",
            "%F0%9F%A6%80",
            "1%20OR%201%3D1",
            "MTcwMDAwMDAwMDAwMDAwMF8x",
            "eyJpZCI6MX0",
            &other_alphabet,
            &of_a_newer_version,
            &format!("{good}="),
            &format!("{good}AA"),
            &format!("%20{good}"),
            &good.to_lowercase(),
            &"A".repeat(3000),
        ];
        for cursor in bad.into_iter().chain(truncated.iter().map(String::as_str)) {
            let wrong = alice.get(&format!("/v1/posts?limit=1&after={cursor}")).wrong_fields();
            assert_eq!(
                wrong,
                [("after".to_owned(), "must be a cursor from a Link header".to_owned())],
                "{cursor}"
            );
        }
        // A cursor to a deleted post still works.
        let newest = alice.get("/v1/posts?limit=1").json()[0]["id"].clone();
        assert_eq!(alice.delete(&format!("/v1/posts/{newest}")).status, 204);
        assert_eq!(titles(&alice.get(&path)), ["post 1"]);
    });
}

#[test]
fn no_search_text_acts_as_query_syntax_or_fails() {
    each_api(|api| {
        let alice = api.alice();
        alice.write("Rust and C", "near the column: title");
        let mut hostile: Vec<String> = [
            "\"",
            "\"\"",
            "\"a",
            "*",
            "a*",
            "**",
            "NEAR(",
            "NEAR(a b, 5)",
            "NEAR/2",
            "-",
            "-a",
            "--",
            "a -b",
            "title:",
            "title:rust",
            "{title content}: rust",
            "^rust",
            "rust AND",
            "AND",
            "OR OR",
            "NOT",
            "(",
            ")",
            "((",
            "a)(b",
            "+",
            "a + b",
            "'",
            "''",
            "'); DROP TABLE blog_posts; --",
            "' OR '1'='1",
            "; SELECT 1",
            "\\",
            "\\'",
            "%",
            "_",
            "a|b",
            "a & b",
            "!a",
            "a <-> b",
            "a:*",
            ":*",
            "<2>",
            "$1",
            "?1",
            ":name",
            "@x",
            "🦀",
            "👩‍🚀🦀",
            "é",
            "e\u{301}",
            "\u{200b}",
            "\u{202e}abc",
            "\u{fffd}",
            "\u{10ffff}",
            "ﷺ",
            "İ",
            "ß",
            "中文",
            "한국어",
            ".",
            "...",
            "a.b.c",
            "http://x/y?z=1",
            "a@b.c",
            "1e999",
            "-0",
            "0x10",
            "NULL",
        ]
        .map(str::to_owned)
        .to_vec();
        hostile.extend(["\"", "(", "-", "*", "🦀", "a ", "NEAR("].map(|text| text.repeat(200 / text.chars().count())));
        for text in &hostile {
            let query: String = form_urlencoded::byte_serialize(text.as_bytes()).collect();
            for more in ["", "&author=me", "&skip=1&limit=1"] {
                let found = alice.get(&format!("/v1/posts?q={query}{more}"));
                assert_eq!(found.status, 200, "{text:?}{more}: {}", found.text);
            }
        }
        for long in [
            "a".repeat(201),
            "a".repeat(8000),
            "%F0%9F%A6%80".repeat(201),
            "%22".repeat(2600),
        ] {
            let wrong = alice.get(&format!("/v1/posts?q={long}")).wrong_fields();
            assert_eq!(wrong[0].0, "q");
        }
        for control in ["%00", "a%00b", "%1B%5B31m", "a%0Ab", "%7F", "%C2%85"] {
            assert_eq!(
                alice.get(&format!("/v1/posts?q={control}")).wrong_fields()[0].0,
                "q",
                "{control}"
            );
        }
        // Even bytes that are not UTF-8.
        for bytes in ["%FF", "%C3", "%ED%A0%80", "%F5%80%80%80"] {
            assert_eq!(alice.get(&format!("/v1/posts?q={bytes}")).status, 200, "{bytes}");
        }
        assert_eq!(
            titles(&alice.get("/v1/posts?q=rust")),
            ["Rust and C"],
            "everything is still there"
        );
    });
}
