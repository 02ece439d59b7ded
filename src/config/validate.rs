//! Checks of values. Each one returns yes or no; the constants describe what it accepts, for messages.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv6Addr},
};

use log::LevelFilter;
use url::Url;

use super::{environment::Environment, secret_text::secret_kind};
use crate::{guid, loopback::is_secure};

/// What [`host`] accepts.
pub const A_HOST: &str = "an IP address or a host name";
/// What [`guid`] accepts.
pub const A_GUID: &str = "a GUID such as 7d9c2f4e-1b3a-4c5d-8e6f-0a1b2c3d4e5f";
/// What [`secure_url`] accepts.
pub const A_SECURE_URL: &str = "an https URL (http on localhost only), without user name, query or fragment";
/// What [`usable_url`] accepts.
pub const A_USABLE_URL: &str =
    "an https URL (http on localhost only; in development on any host), without user name, query or fragment";
/// What [`usable_address`] accepts.
pub const A_USABLE_ADDRESS: &str =
    "an https URL (http on localhost only; in development on any host), without user name or fragment";
/// What [`log_filter`] accepts.
pub const A_LOG_FILTER: &str =
    "error, warn, info, debug, trace or off, or a list of target=level such as info,blogctl::entra=debug";

/// A GUID with hyphens and without braces.
pub fn guid(text: &str) -> bool {
    guid::parse(text).is_some()
}

/// A URL that uses TLS or stays on this machine.
pub fn secure_url(url: &Url) -> bool {
    plain_url(url) && is_secure(url)
}

/// A URL that uses TLS or stays on this machine; in development also plain HTTP on any host.
pub fn usable_url(environment: Environment, url: &Url) -> bool {
    plain_url(url) && environment.may_use(url)
}

/// Like [`usable_url`], but a query is allowed.
pub fn usable_address(environment: Environment, url: &Url) -> bool {
    let mut without_query = url.clone();
    without_query.set_query(None);
    usable_url(environment, &without_query)
}

/// `http` or `https` with a host, without user name, password, query and fragment.
pub fn plain_url(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
}

/// Scheme, host and port, with nothing after them.
pub fn origin(url: &Url) -> bool {
    plain_url(url) && url.path() == "/"
}

/// What [`redirect_path`] accepts.
pub const A_REDIRECT_PATH: &str = "use /callback, or another path of letters, digits and - . _ ~ that is not a page of the site, such as \
                                   /getAToken or /auth/redirect, and register the same address in Entra ID";
/// Pages of the site. A test in `web` checks that no route is missing.
const SITE_PAGES: [&str; 6] = [
    "/",
    "/login",
    "/logout",
    "/profile",
    "/front-channel-logout",
    "/robots.txt",
];
/// First segments of the other paths of the site.
const SITE_FOLDERS: [&str; 3] = ["posts", "static", "health"];
/// Longest path of a redirect URI, in bytes. Entra ID accepts 256 for the whole URI.
const MAX_REDIRECT_PATH: usize = 200;

/// Whether the site can receive the response of a sign-in at this path: it is not a page of the site, and every proxy and browser
/// interprets it in the same way.
pub fn redirect_path(path: &str) -> bool {
    let is_plain = path.len() <= MAX_REDIRECT_PATH
        && path.starts_with('/')
        && !path.contains("//")
        && path
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte));
    let first = path.split('/').nth(1).unwrap_or_default();
    is_plain && !SITE_PAGES.contains(&path) && !SITE_FOLDERS.contains(&first)
}

/// An IP address, or text that can be a host name.
pub fn host(text: &str) -> bool {
    let in_brackets = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    text.parse::<IpAddr>().is_ok()
        || in_brackets.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
        || (!text.is_empty()
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_')))
}

/// A level, or `target=level` parts separated by commas. Stricter than env_logger, which treats a mistyped level as the name of a
/// target.
pub fn log_filter(text: &str) -> bool {
    text.split(',').all(|part| {
        let level = part.split_once('=').map_or(part, |(_, level)| level);
        level.trim().parse::<LevelFilter>().is_ok()
    })
}

/// A SHA-1 or SHA-256 digest in hex, with any separators; also as openssl prints it, after `Fingerprint=`.
pub fn thumbprint(text: &str) -> bool {
    let text = text.rsplit_once('=').map_or(text, |(_, digits)| digits);
    let digits: Vec<char> = text.chars().filter(char::is_ascii_alphanumeric).collect();
    matches!(digits.len(), 40 | 64) && digits.iter().all(char::is_ascii_hexdigit)
}

/// Fewest [`bits`] of a key that counts as random. A key with 128 random bits has more.
const ENOUGH_BITS: f64 = 96.0;
/// Words in examples that a random key never contains.
const EXAMPLES: [&str; 8] = [
    "secret",
    "changeme",
    "change-me",
    "example",
    "password",
    "your-",
    "cookie key",
    "12345678",
];

/// Why a key can be guessed, if it can; the reason does not reveal the key.
///
/// zxcvbn would accept any passphrase of this length: docs/decisions/0073.
pub fn weakness(key: &str) -> Option<&'static str> {
    let lower = key.to_lowercase();
    if EXAMPLES.iter().any(|word| lower.contains(word)) {
        return Some("contains words from examples, so it can be guessed");
    }
    if bits(key) < ENOUGH_BITS {
        return Some("has too many repetitions to be random");
    }
    if is_made_of_words(key) {
        return Some("consists of words, so it can be guessed");
    }
    follows_rows(&lower).then_some("follows the rows of a keyboard or the alphabet, so it can be guessed")
}

/// Letters with separators between words, and nothing else. A random key has digits and no spaces.
fn is_made_of_words(key: &str) -> bool {
    let has_spaces = key.contains(char::is_whitespace);
    let is_set_apart = has_spaces || key.contains(['-', '_', '.']);
    let is_of_word = |c: char| {
        if has_spaces {
            c.is_alphabetic()
        } else {
            c.is_lowercase()
        }
    };
    is_set_apart
        && key
            .chars()
            .all(|c| is_of_word(c) || c.is_whitespace() || "-_.,'".contains(c))
}

/// Neighbouring characters: the alphabet and the rows of keyboards.
const ROWS: [&str; 5] = [
    "abcdefghijklmnopqrstuvwxyz",
    "qwertyuiop",
    "qwertzuiop",
    "asdfghjkl",
    "zxcvbnm",
];
/// Shortest part of a row that counts. Three neighbours also occur in random keys.
const SHORTEST_RUN: usize = 4;

/// Whether at least half of the text consists of parts of rows, in either direction. 40 characters of random base64 rarely
/// contain one.
fn follows_rows(lower: &str) -> bool {
    let chars: Vec<char> = lower.chars().collect();
    let is_neighbour = |one: char, next: char| {
        let follows = |row: &str| {
            row.contains(&*String::from_iter([one, next])) || row.contains(&*String::from_iter([next, one]))
        };
        ROWS.iter().any(|row| follows(row))
            || (one.is_ascii_digit() && next.is_ascii_digit() && (one as u32).abs_diff(next as u32) == 1)
    };
    let runs = chars.chunk_by(|one, next| is_neighbour(*one, *next));
    let in_rows: usize = runs.map(<[char]>::len).filter(|length| *length >= SHORTEST_RUN).sum();
    2 * in_rows >= chars.len()
}

/// Shannon entropy of the characters, in bits: an upper bound of what an attacker has to guess.
#[expect(clippy::cast_precision_loss, reason = "a key has some dozen characters")]
fn bits(key: &str) -> f64 {
    let mut counts: BTreeMap<char, usize> = BTreeMap::new();
    for c in key.chars() {
        *counts.entry(c).or_default() += 1;
    }
    let length = key.chars().count() as f64;
    counts
        .values()
        .map(|&count| -(count as f64) * (count as f64 / length).log2())
        .sum()
}

/// Printable text without blanks.
pub fn word(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(|c| c.is_whitespace() || c.is_control())
}

/// A word that can be an App ID URI, or a scope that begins with one. Both are shown to everybody, in the API's description and
/// in the address bar, so neither a user, a query nor a fragment, which may hold a secret, is taken.
pub fn public_uri(text: &str) -> bool {
    word(text) && !text.contains(['@', '?', '#']) && secret_kind(text).is_none_or(|kind| !kind.is_certain())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_everybody_sees_holds_no_user_and_no_query() {
        for good in [
            "api://a9100000-0000-4000-8000-000000008000",
            "api://a9100000-0000-4000-8000-000000008000/access_as_user",
            "https://contoso.onmicrosoft.com/blog",
            "https://contoso.onmicrosoft.com/blog/.default",
            "urn:contoso:blog",
        ] {
            assert!(public_uri(good), "{good}");
        }
        for bad in [
            "postgres://u:hunter2@h/b",
            "postgres://hunter2@h/b",
            "jdbc:postgresql://h/b?user=u&password=hunter2",
            "https://h/#hunter2",
            "api://a b",
            "",
        ] {
            assert!(!public_uri(bad), "{bad}");
        }
    }

    fn url(text: &str) -> Url {
        Url::parse(text).expect("a URL")
    }

    #[test]
    fn plain_http_is_taken_on_loopback_only() {
        for good in [
            "https://a.example",
            "http://localhost:9000",
            "http://127.0.0.1",
            "http://[::1]:1",
            "http://x.localhost",
        ] {
            assert!(secure_url(&url(good)), "{good}");
        }
        for bad in [
            "http://a.example",
            "http://localhost.a.example",
            "http://128.0.0.1",
            "https://u:p@a.example",
            "https://u@a.example",
            "ftp://localhost",
            "https://a.example/?q",
            "https://a.example/#f",
            "file:///etc/passwd",
        ] {
            assert!(!secure_url(&url(bad)), "{bad}");
        }
    }

    #[test]
    fn only_development_takes_plain_http_on_another_host() {
        for text in [
            "http://idp:9000",
            "http://api.blog.svc.cluster.local:8000",
            "http://10.0.0.1",
        ] {
            let url = url(text);
            assert!(usable_url(Environment::Development, &url), "{text}");
            assert!(!usable_url(Environment::Production, &url), "{text}");
            let mut with_query = url.clone();
            with_query.set_query(Some("appid=1"));
            assert!(usable_address(Environment::Development, &with_query), "{text}");
            assert!(!usable_address(Environment::Production, &with_query), "{text}");
            assert!(!usable_url(Environment::Development, &with_query), "{text}");
        }
        for text in [
            "http://u:p@idp:9000",
            "http://idp:9000/#f",
            "ftp://idp:9000",
            "redis://idp",
            "file:///etc/passwd",
        ] {
            assert!(!usable_address(Environment::Development, &url(text)), "{text}");
        }
        for environment in [Environment::Development, Environment::Production] {
            assert!(usable_url(environment, &url("https://login.example")));
            assert!(usable_url(environment, &url("http://localhost:9000")));
        }
    }

    #[test]
    fn a_redirect_path_belongs_to_no_page_and_reads_in_one_way() {
        for good in [
            "/callback",
            "/getAToken",
            "/auth/redirect",
            "/signin-oidc",
            "/.auth/login/aad/callback",
            "/a/",
        ] {
            assert!(redirect_path(good), "{good}");
        }
        for bad in [
            "",
            "/",
            "callback",
            "/login",
            "/logout",
            "/profile",
            "/posts",
            "/posts/",
            "/posts/new",
            "/static/x",
            "/health",
            "/health/live",
            "/front-channel-logout",
            "/robots.txt",
            "//a",
            "/a//b",
            "/%61",
            "/a%2fb",
            "/{id}",
            "/a b",
            "/é",
            "/a;b",
            &format!("/{}", "a".repeat(MAX_REDIRECT_PATH)),
        ] {
            assert!(!redirect_path(bad), "{bad}");
        }
    }

    #[test]
    fn a_mistyped_log_level_is_not_taken_for_a_target() {
        for good in [
            "info",
            "WARN",
            "off",
            "info,blogctl=trace",
            "blogctl::access=debug , warn",
        ] {
            assert!(log_filter(good), "{good}");
        }
        for bad in ["infoo", "", "info,", "blogctl=loud", "blogctl"] {
            assert!(!log_filter(bad), "{bad}");
        }
    }

    #[test]
    fn a_thumbprint_is_hex_of_either_length() {
        assert!(thumbprint(&"aB".repeat(20)) && thumbprint(&"0f:".repeat(32)) && thumbprint(&"AA ".repeat(20)));
        for bad in ["", "zz", &"ab".repeat(19), &"g0".repeat(20), &"ab".repeat(33)] {
            assert!(!thumbprint(bad), "{bad}");
        }
    }

    #[test]
    fn random_keys_of_each_usual_form_have_enough_bits_and_repetition_has_not() {
        for good in [
            "9f86d081884c7d659a2feaa0c55ad015",
            "q83vEjRWeJCrze8SNFZ4kKvN7xI0VniQq83vEjRWeJCrze8SNFZ4kKvN7xI0VniQ",
            "dZ7!kq2_Xw9-Lm4+Rt6=Bn8~Hs1.Gv3,",
        ] {
            assert_eq!(weakness(good), None, "{good}: {}", bits(good));
        }
        for bad in [
            "qwertyuiopasdfghjklzxcvbnmqwertyuiop",
            "POIUYTREWQ-asdfghjkl-mnbvcxz-2345678",
            "0123456789abcdef0123456789abcdef",
            "zyxwvutsrqponmlkjihgfedcba7654321",
            "correct horse battery staple correct horse",
            "Correct Horse Battery Staple, and another one",
            "correct-horse-battery-staple-correct-horse",
        ] {
            assert!(weakness(bad).is_some(), "{bad}");
        }
        for bad in [
            "a".repeat(64),
            "ab".repeat(20),
            "abc".repeat(11),
            format!("change-me {}", "x8Kq".repeat(10)),
        ] {
            assert!(weakness(&bad).is_some(), "{bad}: {}", bits(&bad));
        }
    }

    #[test]
    fn no_random_key_is_taken_for_words_or_rows() {
        use base64::{
            Engine as _,
            engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
        };
        for _ in 0..2000 {
            let mut random = [0; 48];
            openssl::rand::rand_bytes(&mut random).expect("randomness");
            let hex = random
                .iter()
                .fold(String::new(), |hex, byte| hex + format!("{byte:02x}").as_str());
            for key in [STANDARD.encode(random), URL_SAFE_NO_PAD.encode(random), hex] {
                let short: String = key.chars().take(32).collect();
                for key in [key, short] {
                    assert!(!is_made_of_words(&key) && !follows_rows(&key.to_lowercase()), "{key}");
                }
            }
        }
    }
}
