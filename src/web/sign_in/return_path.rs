//! The page to open after a sign-in: a path on this site, never on another one (open redirect).

use url::Url;

/// Longest accepted path, in bytes: up to eight of them are in cookies, which browsers send with every request.
const MAX_LENGTH: usize = 300;

/// Pages that are part of signing in and out: returning to one would loop. `Addresses::return_path` adds the path of
/// the redirect URI.
const EXCLUDED: [&str; 3] = ["/login", "/callback", "/logout"];

/// A path on this site, with its query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReturnPath(String);

impl ReturnPath {
    /// The home page.
    pub fn home() -> Self {
        Self("/".to_owned())
    }

    /// Accepts a path that every browser resolves on this site; `None` for anything doubtful.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = text.len() <= MAX_LENGTH && text.bytes().all(|b| b.is_ascii_graphic() && b != b'\\' && b != b'#');
        if !plain || !text.starts_with('/') {
            return None;
        }
        let path = text.split('?').next()?;
        if path.contains("//") || !path.split('/').all(is_ordinary) {
            return None;
        }
        if EXCLUDED.contains(&path) || !stays_on_the_site(text) {
            return None;
        }
        Some(Self(text.to_owned()))
    }

    /// The path without its query.
    pub fn without_query(&self) -> &str {
        self.0.split_once('?').map_or(&self.0, |(path, _)| path)
    }

    /// As text, such as `/posts/new`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Rejects encoded slashes, dots and control characters: no path of this site has them, and some intermediaries decode
/// them.
fn is_ordinary(segment: &str) -> bool {
    let lower = segment.to_ascii_lowercase();
    let hidden = ["%2f", "%5c", "%2e", "%0", "%1"].iter().any(|bad| lower.contains(bad));
    !hidden && segment != "." && segment != ".."
}

/// Resolves the path as browsers do (WHATWG URL).
fn stays_on_the_site(text: &str) -> bool {
    let Ok(site) = Url::parse("https://site.invalid/") else {
        return false;
    };
    site.join(text).is_ok_and(|url| url.origin() == site.origin())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_of_this_site_are_accepted() {
        for path in [
            "/",
            "/posts",
            "/posts/new",
            "/posts/17/edit",
            "/posts?after=MTIz_-x&q=a%20b",
            "/posts?q=a/b//c",
        ] {
            assert_eq!(ReturnPath::parse(path).as_ref().map(ReturnPath::as_str), Some(path));
        }
    }

    #[test]
    fn no_spelling_of_another_site_is_accepted() {
        let long = format!("/{}", "a".repeat(MAX_LENGTH));
        let attempts = [
            "",
            " ",
            "evil.example",
            "evil.example/posts",
            "//evil.example",
            "///evil.example",
            "////evil.example",
            "/\\evil.example",
            "\\\\evil.example",
            "\\/evil.example",
            "/\\/evil.example",
            "//\\evil.example",
            "\\evil.example",
            "/posts\\..\\evil",
            "http://evil.example",
            "https://evil.example",
            "HTTPS://evil.example",
            "https:evil.example",
            "https:/evil.example",
            "https:///evil.example",
            "http:\\\\evil.example",
            "javascript:alert(1)",
            "JaVaScRiPt:alert(1)",
            "data:text/html,x",
            "vbscript:x",
            "mailto:a@evil.example",
            "ftp://evil.example",
            "//evil.example/%2f..",
            "/%2fevil.example",
            "/%2Fevil.example",
            "%2f%2fevil.example",
            "/%2f%2fevil.example",
            "/%5cevil.example",
            "/%5Cevil.example",
            "/%5c%5cevil.example",
            "/.//evil.example",
            "/..//evil.example",
            "/./evil",
            "/../evil",
            "/%2e%2e/evil",
            "/%2e/%2e//evil.example",
            "/posts//evil.example",
            "\t//evil.example",
            "/\t/evil.example",
            "/\n/evil.example",
            "/\r/evil.example",
            "/\0/evil.example",
            "/\u{b}/evil.example",
            " //evil.example",
            "/ /evil.example",
            "/%09/evil.example",
            "/%0a/evil.example",
            "/%0d%0aLocation:%20https://evil.example",
            "/posts\r\nSet-Cookie: a=b",
            "//user@evil.example",
            "//evil.example:443/",
            "//[::1]/",
            "//127.0.0.1",
            "/\u{2215}evil",
            "/\u{ff0f}evil.example",
            "/posts#//evil",
            "@evil.example",
            "/login",
            "/login?next=/login",
            "/callback?code=x",
            "/logout",
            "?next=/",
            "#",
            "posts",
            ".",
            "..",
            "./posts",
            &long,
        ];
        assert!(attempts.len() >= 50);
        for attempt in attempts {
            assert_eq!(ReturnPath::parse(attempt), None, "{attempt:?}");
        }
    }
}
