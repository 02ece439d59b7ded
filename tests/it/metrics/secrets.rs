//! Nothing secret is in the metrics.

use std::fs;

use crate::support::{
    dev::Dev,
    idp::agent,
    metrics::Scrape,
    web::{ALICE, Browser},
};

#[test]
fn no_secret_and_no_user_is_in_the_metrics() {
    let folder = tempfile::tempdir().expect("a folder");
    let settings = ["metrics.enabled=true", "metrics.port=0", "idp.access_token_seconds=1"];
    let arguments: Vec<_> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
    let mut dev = Dev::start_in(folder.path(), &arguments);
    let metrics = dev.running.url_after("Metrics");
    let browser = Browser::new();
    let picker = browser.get(&dev.site("/login?next=%2Fposts"));
    let page = browser.pick(&picker, ALICE);
    assert_eq!(page.status, 200, "{}", page.body);
    assert_eq!(
        browser.get(&dev.site("/profile?secret=hunter2")).status,
        200,
        "with a refresh"
    );
    agent().get(dev.api("/v1/posts/hunter2")).call().expect("a response");
    let mut secrets: Vec<String> = ["eyJ", "BEGIN", "hunter2", "Alice", "alice", "127.0.0.1", "localhost"]
        .map(str::to_owned)
        .to_vec();
    secrets.push(ALICE.to_owned());
    for url in page.visited.iter().chain(&picker.visited) {
        let pairs = url
            .query_pairs()
            .filter(|(name, _)| ["code", "state", "nonce"].contains(&name.as_ref()));
        secrets.extend(pairs.map(|(_, value)| value.into_owned()));
    }
    secrets.push(browser.cookie("blogctl").expect("a session"));
    let key = fs::read_to_string(folder.path().join(".blogctl/cookie.key")).expect("a key");
    secrets.push(key.trim().to_owned());
    secrets.push(folder.path().display().to_string());
    let scrape = Scrape::until(&metrics, "a refresh", |scrape| {
        scrape.value("blogctl_token_refreshes_total", &[("outcome", "success")]) >= 1.0
    });
    for secret in secrets {
        let line = scrape.text.lines().find(|line| line.contains(&secret));
        assert_eq!(line, None, "{secret}");
    }
}
