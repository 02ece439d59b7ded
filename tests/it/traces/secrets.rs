//! What must never be in a span.

use super::traced;
use crate::support::{
    collector::Collector,
    web::{ALICE, Browser},
};

#[test]
fn no_token_code_cookie_query_or_content_is_exported() {
    let collector = Collector::start();
    let system = traced(&collector, |settings| {
        // With a refresh at each page.
        settings.idp.access_token_seconds = 1;
    });
    let browser = Browser::new();
    let picker = browser.get(&system.web.url("/login?next=%2Fposts"));
    let page = browser.pick(&picker, ALICE);
    assert_eq!(page.status, 200, "{}", page.body);
    let form = browser.get(&system.web.url("/posts/new")).form("Publish");
    let published = browser.submit(&form.with("title", "Unspeakable").with("content", "Ineffable"));
    assert_eq!(published.status, 200, "{}", published.body);
    browser.get(&system.web.url("/posts?q=inaudible"));

    let mut secrets: Vec<String> = [
        "eyJ",
        "BEGIN",
        "Bearer",
        "Unspeakable",
        "Ineffable",
        "inaudible",
        "code=",
    ]
    .map(str::to_owned)
    .into();
    for url in page.visited.iter().chain(&picker.visited) {
        let pairs = url
            .query_pairs()
            .filter(|(name, _)| ["code", "state", "nonce", "code_challenge"].contains(&name.as_ref()));
        secrets.extend(pairs.map(|(_, value)| value.into_owned()));
    }
    assert!(secrets.len() >= 11, "{secrets:?}");
    secrets.push(browser.cookie("blogctl").expect("a session"));
    let alice = &system.settings.idp.users[0];
    secrets.extend([alice.name.clone(), alice.email.clone(), alice.oid.clone()]);
    drop(system);
    let spans = collector.spans();
    assert!(spans.len() > 20, "it was traced at all");
    for span in &spans {
        let query = span.attributes.values().find(|value| value.contains('?'));
        assert_eq!(query, None, "{span:?}");
    }
    for export in collector.exports() {
        let text = String::from_utf8_lossy(&export.body);
        for secret in &secrets {
            assert!(!text.contains(secret.as_str()), "{secret}");
        }
        for header in ["authorization", "cookie", "traceparent"] {
            assert_eq!(export.headers.get(header), None, "{header}");
        }
    }
}
