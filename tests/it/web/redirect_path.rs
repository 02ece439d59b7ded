//! A redirect URI with another path than `/callback`, as in MSAL samples: the site accepts the callback there.

use url::Url;

use crate::support::{
    system::TestSystem,
    web::{ALICE, Browser},
};

const PATH: &str = "/getAToken";

fn system() -> TestSystem {
    TestSystem::with(|settings| {
        let uri = format!("http://localhost:{}{PATH}", settings.client.port);
        settings.client.redirect_uri = Some(uri.parse().expect("a URL"));
        for app in &mut settings.idp.apps {
            if app.client_id == settings.client.client_id {
                app.redirect_uris = vec![uri.clone()];
            }
        }
    })
}

#[test]
fn a_sign_in_ends_at_the_path_of_the_redirect_uri() {
    let system = system();
    let browser = Browser::new();
    let page = browser.sign_in(&system, ALICE, "/posts");
    assert_eq!((page.status, page.url.path()), (200, "/posts"));
    assert!(page.visited.iter().any(|url| url.path() == PATH), "{:?}", page.visited);
    assert_eq!(
        browser.get(&system.web.url("/callback")).status,
        404,
        "no page of this site"
    );
}

#[test]
fn the_rules_of_the_callback_apply_to_the_path_of_the_redirect_uri() {
    let system = system();
    let browser = Browser::new();
    let url: Url = system
        .web
        .url(&format!("{PATH}?code=c&state=s"))
        .parse()
        .expect("a URL");
    let page = browser.request("GET", &url, None, &[]);
    assert_eq!(
        (page.status, page.error(), page.header("referrer-policy")),
        (400, "sign-in", "strict-origin")
    );
    let page = browser.request("HEAD", &url, None, &[]);
    assert_eq!(
        (page.status, page.header("allow")),
        (405, "GET"),
        "a HEAD request must not redeem the code"
    );
    let page = browser.request("GET", &url, None, &[("Sec-Purpose", "prefetch")]);
    assert_eq!(page.status, 503);
    assert_eq!(
        browser.get(&system.web.url("/")).header("referrer-policy"),
        "same-origin"
    );
    // Routes see the path decoded, in any notation.
    let url: Url = system.web.url("/%67etAToken?code=c&state=s").parse().expect("a URL");
    let page = browser.request("GET", &url, None, &[]);
    assert_eq!((page.status, page.header("referrer-policy")), (400, "strict-origin"));
    // A sign-in never returns to this path.
    let page = browser.sign_in(&system, ALICE, &format!("{PATH}?code=c"));
    assert_eq!((page.status, page.url.path()), (200, "/"));
}

#[test]
fn the_page_about_another_address_names_the_path_to_register() {
    let system = system();
    let url: Url = system.web.url("/login").parse().expect("a URL");
    let page = Browser::new().request("GET", &url, None, &[("Host", "blog.example.com")]);
    assert_eq!(page.status, 421);
    assert!(page.text().contains("blog.example.com/getAToken"), "{}", page.text());
}
