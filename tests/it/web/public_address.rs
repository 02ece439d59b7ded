//! One public URL: a visitor at another address learns this before signing in.

use crate::support::{
    attacks,
    system::TestSystem,
    web::{ALICE, Browser, Page},
};
use blogctl::config::Settings;
use url::Url;

const PUBLIC: &str = "https://blog.example.com";

/// The site behind a proxy on this machine, at [`PUBLIC`] for browsers.
fn behind_a_proxy(is_trusted: bool) -> TestSystem {
    TestSystem::with(|settings: &mut Settings| {
        settings.client.public_url = Some(Url::parse(PUBLIC).expect("a URL"));
        if is_trusted {
            settings.server.trusted_proxies = vec!["127.0.0.0/8".parse().expect("a network")];
        }
    })
}

fn ask(system: &TestSystem, path: &str, headers: &[(&str, &str)]) -> Page {
    Browser::new().request("GET", &Url::parse(&system.web.url(path)).expect("a URL"), None, headers)
}

/// Whether the page redirects to Entra ID with the redirect URI.
fn leads_to_entra(page: &Page) -> bool {
    let redirect = |url: Url| {
        url.query_pairs()
            .find(|(name, _)| name == "redirect_uri")
            .map(|pair| pair.1.into_owned())
    };
    page.status == 303 && redirect(page.location()).as_deref() == Some("https://blog.example.com/callback")
}

#[test]
fn a_sign_in_at_another_address_is_explained_before_entra_rejects_it() {
    let system = behind_a_proxy(false);
    let page = ask(&system, "/login?next=/posts/new", &[("Host", "10.0.0.7:5000")]);
    assert_eq!((page.status, page.error()), (421, "421"));
    let text = page.text();
    for part in [
        "AADSTS50011",
        "https://10.0.0.7:5000",
        PUBLIC,
        "client.public_url",
        "server.trusted_proxies",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(
        text.contains("href=\"https://blog.example.com/login?next=%2Fposts%2Fnew\""),
        "{text}"
    );
    assert!(
        page.set_cookies.is_empty(),
        "no sign-in is under way: {:?}",
        page.set_cookies
    );
    assert!(leads_to_entra(&ask(&system, "/login", &[("Host", "blog.example.com")])));
    // Probes use IP addresses, and do not sign in.
    for path in ["/health/live", "/health/ready", "/"] {
        assert_eq!(ask(&system, path, &[("Host", "10.0.0.7:5000")]).status, 200, "{path}");
    }
}

#[test]
fn no_host_header_changes_the_sites_urls() {
    let system = behind_a_proxy(false);
    for (host, status) in [
        ("evil.example", 421),
        ("blog.example.com.evil.example", 421),
        ("evil.example:443", 421),
        ("blog.example.com@evil.example", 400),
        ("evil.example/", 400),
        ("\"><script>alert(1)</script>", 400),
    ] {
        let page = ask(&system, "/login", &[("Host", host)]);
        let is_rejected = page.status == status && page.header("location").is_empty() && page.set_cookies.is_empty();
        attacks::record("site: host header", host, is_rejected);
        assert!(is_rejected, "{host}: {} {:?}", page.status, page.headers);
        assert!(!page.body.contains("<script"), "{host}: {}", page.body);
        let pages = ask(&system, "/posts", &[("Host", host)]);
        let expected = if status == 400 {
            (400, "")
        } else {
            (303, "/login?next=%2Fposts")
        };
        assert_eq!((pages.status, pages.header("location")), expected, "{host}");
    }
    for name in ["X-Forwarded-Host", "X-Host", "Forwarded", "X-Original-Host"] {
        let value = if name == "Forwarded" {
            "host=evil.example;proto=http"
        } else {
            "evil.example"
        };
        let page = ask(&system, "/login", &[("Host", "blog.example.com"), (name, value)]);
        attacks::record(
            "site: host header",
            &format!("{name} of a stranger"),
            leads_to_entra(&page),
        );
        assert!(leads_to_entra(&page), "{name}: {} {:?}", page.status, page.headers);
    }
}

#[test]
fn a_trusted_proxy_passes_on_the_browsers_address() {
    let system = behind_a_proxy(true);
    let by = |host: &str, proto: &str| {
        let headers = [
            ("Host", "site.internal:5000"),
            ("X-Forwarded-Host", host),
            ("X-Forwarded-Proto", proto),
        ];
        ask(&system, "/login", &headers)
    };
    let page = by("blog.example.com", "https");
    assert!(leads_to_entra(&page), "{} {:?}", page.status, page.headers);
    let cookie = page.set_cookies.first().expect("a cookie");
    assert!(
        cookie.starts_with("__Host-blogctl-sign-in-") && cookie.contains("Secure"),
        "{cookie}"
    );
    assert!(page.header("strict-transport-security").starts_with("max-age="));

    let plain = by("blog.example.com", "http");
    assert_eq!(plain.status, 421);
    assert!(plain.text().contains("http://blog.example.com"), "{}", plain.text());
    assert_eq!(by("evil.example", "https").status, 421);
    assert_eq!(by("blog.example.com", "gopher").status, 400);
    assert_eq!(
        ask(&system, "/login", &[("Host", "site.internal:5000")]).status,
        421,
        "a proxy that says nothing"
    );
}

#[test]
fn every_loopback_name_leads_to_a_sign_in() {
    let system = TestSystem::start();
    let browser = Browser::new();
    let by_number = format!("http://127.0.0.1:{}/login?next=/profile", system.web.port);
    let picker = browser.get(&by_number);
    assert!(
        picker
            .visited
            .iter()
            .any(|url| url.as_str() == system.web.url("/login?next=%2Fprofile")),
        "{picker:?}"
    );
    let page = browser.pick(&picker, ALICE);
    assert_eq!(
        (page.status, page.url.as_str()),
        (200, system.web.url("/profile").as_str())
    );
}
