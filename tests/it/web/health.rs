//! What machines that watch the site are told.

use crate::support::{system::TestSystem, web::Browser};

#[test]
fn health_names_what_does_not_answer() {
    let system = TestSystem::start();
    let page = Browser::new().get(&system.web.url("/health"));
    assert_eq!((page.status, page.header("content-type")), (200, "application/json"));
    assert!(page.body.contains("\"entra\":\"ok\"") && page.body.contains("\"api\":\"ok\""), "{}", page.body);
}

#[test]
fn the_site_is_ready_to_explain_itself_while_the_others_are_down() {
    let TestSystem { idp, api, web, settings, folder } = TestSystem::start();
    idp.stop();
    api.stop();
    let browser = Browser::new();
    assert_eq!(browser.get(&web.url("/health/live")).status, 200);
    assert_eq!(browser.get(&web.url("/health/ready")).status, 200);
    let page = browser.get(&web.url("/health"));
    assert_eq!(page.status, 503);
    assert!(page.body.contains("\"entra\":\"unavailable\"") && page.body.contains("\"api\":\"unavailable\""));
    assert!(!page.body.contains("http"), "no address: {}", page.body);
    drop((settings, folder));
}
