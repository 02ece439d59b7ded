//! The docs page of the API in a real browser: a call with a pasted token, and an accessibility check with axe.

use std::path::Path;

use super::DRIVER;
use crate::support::{api::TestApi, browser::Browser, dev::Dev, idp::IdpControl, needs, web::ALICE};

#[actix_web::test]
async fn a_pasted_token_works_on_the_docs_page() {
    let Some(driver) = needs(DRIVER) else { return };
    let dev = Dev::start();
    let token = IdpControl::at(&dev.idp("")).token().user(ALICE).mint();
    let browser = Browser::open(&driver).await;
    browser.go(&dev.api("/v1/docs")).await;
    browser.find("#operations-posts-listPosts").await;
    browser.picture("api").await;

    browser.click("Authorize").await;
    // As copied from a tool that shows the header.
    browser
        .find("#auth-bearer-value")
        .await
        .send_keys(format!("Bearer {token} "))
        .await
        .expect("pasted");
    browser
        .find(".auth-btn-wrapper button.authorize[type=submit]")
        .await
        .click()
        .await
        .expect("a click");
    browser.find(".btn-done").await.click().await.expect("a click");
    browser
        .find("#operations-users-getProfile .opblock-summary-control")
        .await
        .click()
        .await
        .expect("a click");
    browser
        .find("#operations-users-getProfile button.execute")
        .await
        .click()
        .await
        .expect("a click");
    let answer = browser
        .text("#operations-users-getProfile .live-responses-table .response")
        .await;
    assert!(answer.contains("200") && answer.contains("Alice Archer"), "{answer}");
    browser.picture("api-tried").await;
    // Closing the browser fails if the console shows a policy violation.
    browser.close(&[]).await;
}

#[actix_web::test]
async fn axe_finds_no_violations_on_the_docs_page() {
    let (Some(driver), Some(tools)) = (needs(DRIVER), needs("BLOGCTL_TEST_CLIENTS")) else {
        return;
    };
    let axe = std::fs::read_to_string(Path::new(&tools).join("node_modules/axe-core/axe.min.js")).expect("axe-core");
    let api = TestApi::start();
    for scheme in ["light", "dark"] {
        let browser = Browser::open(&driver).await;
        let media = serde_json::json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        browser
            .driver
            .cdp()
            .send_raw("Emulation.setEmulatedMedia", media)
            .await
            .expect("emulated");
        browser.go(&api.url("/v1/docs")).await;
        browser.find("#operations-posts-listPosts").await;
        browser.picture(&format!("api-{scheme}")).await;
        assert_eq!(violations(&browser, &axe).await, Vec::<String>::new(), "{scheme}");

        for operation in [
            "posts-listPosts",
            "posts-createPost",
            "posts-changePost",
            "service-getHealth",
        ] {
            let summary = format!("#operations-{operation} .opblock-summary-control");
            browser.find(&summary).await.click().await.expect("a click");
            browser
                .find(&format!("#operations-{operation} .opblock-body .execute"))
                .await;
        }
        assert_eq!(
            violations(&browser, &axe).await,
            Vec::<String>::new(),
            "{scheme}, with operations open"
        );
        browser
            .driver
            .execute("window.scrollTo(0, 0)", Vec::new())
            .await
            .expect("scrolled");
        browser.click("Authorize").await;
        browser.find("#auth-bearer-value").await;
        browser.picture(&format!("api-{scheme}-authorize")).await;
        assert!(!browser.text(".modal-ux").await.contains("client_secret"), "{scheme}");
        assert_eq!(
            violations(&browser, &axe).await,
            Vec::<String>::new(),
            "{scheme}, with the dialog open"
        );
        browser.close(&[]).await;
    }
}

/// The findings of axe, one line per rule and element.
async fn violations(browser: &Browser, axe: &str) -> Vec<String> {
    let run = "const done = arguments[arguments.length - 1];
        window.requestAnimationFrame(() => window.requestAnimationFrame(() => axe.run(document, { resultTypes: ['violations'] }).then((result) =>
            done(result.violations.flatMap((rule) => rule.nodes.map((node) => `${rule.id}: ${node.html}`))))));";
    let found = browser
        .driver
        .execute_async(&format!("{axe};{run}"), Vec::new())
        .await
        .expect("axe runs");
    let texts = found.json().as_array().cloned().expect("a list");
    texts
        .into_iter()
        .map(|text| text.as_str().unwrap_or_default().to_owned())
        .collect()
}
