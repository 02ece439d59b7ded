//! Under which address a browser came, and whether it is the site's own.
//!
//! Everything that the site says of itself (redirect URI, cookies, HSTS, which origin's forms are taken) follows from
//! `client.public_url` and never from a request. A browser that came by another address would sign in there for nothing:
//! its sign-in would come back to the public URL, where it has no cookie.

use actix_web::{
    HttpRequest,
    http::header::{HOST, HeaderName},
};
use url::Url;

use crate::{loopback::is_loopback, serve::TrustedProxies};

const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// How a browser came.
#[derive(Debug, PartialEq, Eq)]
pub enum OriginCheck {
    /// By the site's own address, or it does not say.
    Matches,
    /// By another name of this machine, such as `127.0.0.1` for `localhost`: cookies would be lost, but it is plain where
    /// it should go.
    LoopbackAlias,
    /// By an address that is not the site's, such as `http://10.0.0.7:5000`.
    Mismatch(String),
    /// By something that is no address.
    Invalid,
}

/// How the browser that sent `request` came to the site at `public_url`.
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
    // Without a proxy that says, nobody knows whether the browser used TLS.
    let scheme = forwarded(FORWARDED_PROTO).map_or_else(|| public_url.scheme().to_owned(), str::to_ascii_lowercase);
    let Some(used) = origin(&scheme, host) else {
        return OriginCheck::Invalid;
    };
    // A proxy may leave the port out; one that is named is where the browser looks for the site.
    let is_own_port = !names_a_port(host) || used.port_or_known_default() == public_url.port_or_known_default();
    if used.host() == public_url.host() && used.scheme() == public_url.scheme() && is_own_port {
        OriginCheck::Matches
    } else if is_loopback(&used) && is_loopback(public_url) && is_own_port {
        OriginCheck::LoopbackAlias
    } else {
        OriginCheck::Mismatch(used.origin().ascii_serialization())
    }
}

/// Of a host as a request names it, IPv6 in brackets.
fn names_a_port(host: &str) -> bool {
    host.rsplit_once(':')
        .is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// `None` when the two are more, or less, than an origin.
fn origin(scheme: &str, host: &str) -> Option<Url> {
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

    /// By these headers, from a proxy that is trusted or a stranger.
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

    fn elsewhere(origin: &str) -> OriginCheck {
        OriginCheck::Mismatch(origin.to_owned())
    }

    const BLOG: &str = "https://blog.example.com/";

    #[test]
    fn the_name_that_the_browser_used_must_be_the_sites_own() {
        for (host, expected) in [
            ("blog.example.com", OriginCheck::Matches),
            ("BLOG.example.com", OriginCheck::Matches),
            ("blog.example.com:443", OriginCheck::Matches),
            ("blog.example.com:8443", elsewhere("https://blog.example.com:8443")),
            ("blog.example.com.", elsewhere("https://blog.example.com.")),
            ("evil.example", elsewhere("https://evil.example")),
            (
                "blog.example.com.evil.example",
                elsewhere("https://blog.example.com.evil.example"),
            ),
            ("10.0.0.7:5000", elsewhere("https://10.0.0.7:5000")),
            ("localhost", elsewhere("https://localhost")),
            ("user@blog.example.com", OriginCheck::Invalid),
            ("blog.example.com/path", OriginCheck::Invalid),
            ("blog.example.com?q", OriginCheck::Invalid),
            ("blog.example.com#f", OriginCheck::Invalid),
            ("a b", OriginCheck::Invalid),
            ("", OriginCheck::Invalid),
        ] {
            assert_eq!(came(BLOG, &[("Host", host)], false), expected, "{host:?}");
        }
        assert_eq!(came(BLOG, &[], false), OriginCheck::Matches, "no browser");
    }

    #[test]
    fn names_of_this_machine_are_told_from_each_other() {
        let local = "http://localhost:5000/";
        assert_eq!(came(local, &[("Host", "localhost:5000")], false), OriginCheck::Matches);
        assert_eq!(
            came(local, &[("Host", "localhost")], false),
            OriginCheck::Matches,
            "a proxy left the port out"
        );
        for port in ["localhost:8080", "127.0.0.1:8080"] {
            assert_eq!(
                came(local, &[("Host", port)], false),
                elsewhere(&format!("http://{port}")),
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
            elsewhere("http://laptop:5000")
        );
    }

    #[test]
    fn what_is_forwarded_counts_from_a_trusted_proxy_only() {
        let inside = ("Host", "127.0.0.1:5000");
        let headers = [
            inside,
            ("X-Forwarded-Host", "blog.example.com"),
            ("X-Forwarded-Proto", "https"),
        ];
        assert_eq!(came(BLOG, &headers, true), OriginCheck::Matches);
        assert_eq!(came(BLOG, &headers, false), elsewhere("https://127.0.0.1:5000"));

        let forged = [
            ("Host", "blog.example.com"),
            ("X-Forwarded-Host", "evil.example"),
            ("X-Forwarded-Proto", "http"),
        ];
        assert_eq!(came(BLOG, &forged, false), OriginCheck::Matches, "a stranger's word");
        assert_eq!(came(BLOG, &forged, true), elsewhere("http://evil.example"));

        let plain = [("Host", "blog.example.com"), ("X-Forwarded-Proto", "http")];
        assert_eq!(
            came(BLOG, &plain, true),
            elsewhere("http://blog.example.com"),
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
