//! Checks whether a browser opened the site under its own address.
//!
//! The site's redirect URI, cookies, HSTS and accepted form origin follow from `client.public_url`, never from a
//! request. A sign-in under another address would fail: Entra ID would send the browser to the public
//! URL, for which it has no cookie.

use actix_web::{
    HttpRequest,
    http::header::{HOST, HeaderName},
};
use url::Url;

use crate::{loopback::is_loopback, serve::TrustedProxies};

const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// How the address that the browser used compares with the site's own.
#[derive(Debug, PartialEq, Eq)]
pub enum OriginCheck {
    /// It is the site's own, or the request names none.
    Matches,
    /// It is another name of this machine, such as `127.0.0.1` for `localhost`. Cookies would be lost, but a redirect
    /// solves that.
    LoopbackAlias,
    /// It is not the site's, such as `http://10.0.0.7:5000`.
    Mismatch(String),
    /// It is not an address.
    Invalid,
}

/// Compares the origin of `request` with that of `public_url`.
pub fn check_origin(request: &HttpRequest, public_url: &Url, proxies: &TrustedProxies) -> OriginCheck {
    let peer = request.peer_addr().map(|peer| peer.ip());
    let forwarded = |header| proxies.forwarded(peer, request.headers(), &header);
    let named = request
        .headers()
        .get(HOST)
        .map(|host| host.to_str().unwrap_or_default());
    let Some(host) = forwarded(FORWARDED_HOST).or(named) else {
        return OriginCheck::Matches;
    };
    // Only a proxy can say whether the browser used TLS.
    let scheme = forwarded(FORWARDED_PROTO).map_or_else(|| public_url.scheme().to_owned(), str::to_ascii_lowercase);
    let Some(used) = origin(&scheme, host) else {
        return OriginCheck::Invalid;
    };
    // A proxy may omit the port. If there is one, it is the port that the browser used.
    let is_own_port = !names_a_port(host) || used.port_or_known_default() == public_url.port_or_known_default();
    if used.host() == public_url.host() && used.scheme() == public_url.scheme() && is_own_port {
        OriginCheck::Matches
    } else if is_loopback(&used) && is_loopback(public_url) && is_own_port {
        OriginCheck::LoopbackAlias
    } else {
        OriginCheck::Mismatch(used.origin().ascii_serialization())
    }
}

/// Whether `host`, with IPv6 in brackets, ends with a port.
fn names_a_port(host: &str) -> bool {
    host.rsplit_once(':')
        .is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// `None` when scheme and host do not form an origin.
fn origin(scheme: &str, host: &str) -> Option<Url> {
    // The parser would take a backslash for a slash, remove tabs and decode %2E.
    let is_authority = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:[]".contains(&byte);
    if !host.bytes().all(is_authority) {
        return None;
    }
    let url = Url::parse(&format!("{scheme}://{host}/")).ok()?;
    let is_origin = matches!(scheme, "http" | "https")
        && url.path() == "/"
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    is_origin.then_some(url)
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;
    use proptest::prelude::*;

    use super::*;

    /// The check of a request with these headers, from a trusted proxy or from a stranger.
    fn came(public_url: &str, headers: &[(&'static str, &str)], is_trusted: bool) -> OriginCheck {
        let mut request = TestRequest::default().peer_addr("10.0.0.1:1".parse().expect("an address"));
        for header in headers {
            request = request.append_header(*header);
        }
        let proxies = if is_trusted {
            vec!["10.0.0.0/8".parse().expect("a network")]
        } else {
            Vec::new()
        };
        let public_url = Url::parse(public_url).expect("a URL");
        check_origin(&request.to_http_request(), &public_url, &TrustedProxies::new(&proxies))
    }

    fn mismatch(origin: &str) -> OriginCheck {
        OriginCheck::Mismatch(origin.to_owned())
    }

    const BLOG: &str = "https://blog.example.com/";

    #[test]
    fn the_name_that_the_browser_used_must_be_the_sites_own() {
        for (host, expected) in [
            ("blog.example.com", OriginCheck::Matches),
            ("BLOG.example.com", OriginCheck::Matches),
            ("blog.example.com:443", OriginCheck::Matches),
            ("blog.example.com:8443", mismatch("https://blog.example.com:8443")),
            ("blog.example.com.", mismatch("https://blog.example.com.")),
            ("evil.example", mismatch("https://evil.example")),
            (
                "blog.example.com.evil.example",
                mismatch("https://blog.example.com.evil.example"),
            ),
            ("10.0.0.7:5000", mismatch("https://10.0.0.7:5000")),
            ("localhost", mismatch("https://localhost")),
            ("user@blog.example.com", OriginCheck::Invalid),
            ("blog.example.com/path", OriginCheck::Invalid),
            ("blog.example.com?q", OriginCheck::Invalid),
            ("blog.example.com#f", OriginCheck::Invalid),
            ("a b", OriginCheck::Invalid),
            ("\\blog.example.com", OriginCheck::Invalid),
            ("blog%2Eexample.com", OriginCheck::Invalid),
            ("blog\t.example.com", OriginCheck::Invalid),
            ("", OriginCheck::Invalid),
        ] {
            assert_eq!(came(BLOG, &[("Host", host)], false), expected, "{host:?}");
        }
        assert_eq!(came(BLOG, &[], false), OriginCheck::Matches, "not a browser");
    }

    #[test]
    fn names_of_this_machine_are_distinguished() {
        let local = "http://localhost:5000/";
        assert_eq!(came(local, &[("Host", "localhost:5000")], false), OriginCheck::Matches);
        assert_eq!(
            came(local, &[("Host", "localhost")], false),
            OriginCheck::Matches,
            "a proxy omitted the port"
        );
        for port in ["localhost:8080", "127.0.0.1:8080"] {
            assert_eq!(
                came(local, &[("Host", port)], false),
                mismatch(&format!("http://{port}")),
                "{port}"
            );
        }
        for other in ["127.0.0.1:5000", "[::1]:5000", "127.1.2.3", "[::1]"] {
            assert_eq!(
                came(local, &[("Host", other)], false),
                OriginCheck::LoopbackAlias,
                "{other}"
            );
        }
        assert_eq!(
            came(local, &[("Host", "laptop:5000")], false),
            mismatch("http://laptop:5000")
        );
    }

    #[test]
    fn forwarded_headers_count_from_a_trusted_proxy_only() {
        let inside = ("Host", "127.0.0.1:5000");
        let headers = [
            inside,
            ("X-Forwarded-Host", "blog.example.com"),
            ("X-Forwarded-Proto", "https"),
        ];
        assert_eq!(came(BLOG, &headers, true), OriginCheck::Matches);
        assert_eq!(came(BLOG, &headers, false), mismatch("https://127.0.0.1:5000"));

        let forged = [
            ("Host", "blog.example.com"),
            ("X-Forwarded-Host", "evil.example"),
            ("X-Forwarded-Proto", "http"),
        ];
        assert_eq!(came(BLOG, &forged, false), OriginCheck::Matches, "from a stranger");
        assert_eq!(came(BLOG, &forged, true), mismatch("http://evil.example"));

        let plain = [("Host", "blog.example.com"), ("X-Forwarded-Proto", "http")];
        assert_eq!(
            came(BLOG, &plain, true),
            mismatch("http://blog.example.com"),
            "cookies would not come back"
        );
        let chain = [
            inside,
            ("X-Forwarded-Host", "blog.example.com, inner.example"),
            ("X-Forwarded-Proto", "https,http"),
        ];
        assert_eq!(
            came(BLOG, &chain, true),
            OriginCheck::Matches,
            "the browser's own proxy comes first"
        );
        assert_eq!(
            came(BLOG, &[inside, ("X-Forwarded-Proto", "gopher")], true),
            OriginCheck::Invalid
        );
    }

    proptest! {
        #[test]
        fn no_host_causes_a_panic_or_passes_for_another(
            host in "([ -~]{0,3}(blog|BLOG)[.]example[.]com(:443|:80)?[ -~]{0,3}|[ -~]{0,40})",
        ) {
            let check = came(BLOG, &[("Host", &host)], false);
            let is_own = |port: &str| port.is_empty() || port.parse() == Ok(443_u16);
            let is_blog = match host.to_ascii_lowercase().strip_prefix("blog.example.com") {
                Some(rest) => rest.is_empty() || rest.strip_prefix(':').is_some_and(is_own),
                None => false,
            };
            prop_assert_eq!(check == OriginCheck::Matches, is_blog, "{:?}", host);
        }
    }
}
