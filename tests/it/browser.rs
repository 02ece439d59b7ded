//! The main job as a person does it: `blogctl dev` as a process of its own, and a real browser.

use blogctl::config::DEV_CLIENT_ID;

use crate::support::{browser::Browser, dev::Dev, idp::IdpControl, needs, system::client_certificate, web::ALICE};

const DRIVER: &str = "BLOGCTL_TEST_CHROMEDRIVER";

#[actix_web::test]
async fn a_person_signs_in_and_writes_changes_and_deletes_a_post() {
    let Some(driver) = needs(DRIVER) else { return };
    let dev = Dev::start();
    let browser = Browser::open(&driver).await;

    browser.go(&dev.site("/")).await;
    browser.picture("home").await;
    sign_in(&browser, "Alice Archer").await;

    browser.click("New post").await;
    browser.fill("title", "A first post").await;
    browser.fill("content", "One paragraph.\n\nAnd <b>another</b> one.").await;
    browser.picture("new-post").await;
    browser.click("Publish").await;
    // First what the form's own page has not: a busy browser may still show that one.
    assert!(browser.text(".flash[role=status]").await.contains("ublished"));
    assert_eq!(browser.text("h1").await, "A first post");
    assert!(browser.text("article .content").await.contains("And <b>another</b> one."), "markup is shown, not obeyed");
    browser.picture("post").await;

    browser.click("Posts").await;
    let newest = browser.text("article.post-card").await;
    assert!(newest.contains("A first post") && newest.contains("Alice Archer"), "{newest}");
    assert!(browser.has("article.post-card .badge-own").await);
    browser.picture("posts").await;

    browser.click("A first post").await;
    browser.click("Edit").await;
    assert_eq!(browser.value("title").await, "A first post");
    browser.fill("title", "A better title").await;
    browser.click("Save changes").await;
    browser.find(".flash[role=status]").await;
    assert_eq!(browser.text("h1").await, "A better title");

    browser.click("Delete").await;
    browser.find("form[method=post] button[type=submit]").await;
    browser.picture("delete").await;
    browser.click("Delete post").await;
    browser.find(".flash[role=status]").await;
    assert!(!browser.text("main").await.contains("A better title"));
    browser.close(&[]).await;
}

#[actix_web::test]
async fn what_was_typed_is_kept_when_it_is_refused() {
    let Some(driver) = needs(DRIVER) else { return };
    let dev = Dev::start();
    let browser = Browser::open(&driver).await;
    browser.go(&dev.site("/posts/new")).await;
    pick(&browser, "Alice Archer").await;

    browser.fill("title", "   ").await;
    browser.fill("content", "Much thought went into this.").await;
    browser.click("Publish").await;
    browser.find("#title-error").await;
    assert_eq!(browser.value("content").await, "Much thought went into this.");
    assert!(!browser.has("#content-error").await, "only the wrong field is marked");
    browser.picture("refused").await;
    browser.close(&[422]).await;
}

#[actix_web::test]
async fn a_second_user_cannot_change_what_the_first_wrote() {
    let Some(driver) = needs(DRIVER) else { return };
    let dev = Dev::start();
    let alice = Browser::open(&driver).await;
    alice.go(&dev.site("/posts/new")).await;
    pick(&alice, "Alice Archer").await;
    alice.fill("title", "Hands off").await;
    alice.fill("content", "Mine.").await;
    alice.click("Publish").await;
    alice.find("article .content").await;
    let post = alice.path().await;
    alice.close(&[]).await;

    let bob = Browser::open(&driver).await;
    bob.go(&dev.site(&post)).await;
    pick(&bob, "Bob Brandt").await;
    bob.find("article .content").await;
    assert_eq!(bob.text("h1").await, "Hands off");
    assert!(!bob.has(&format!("a[href='{post}/edit']")).await);
    assert!(!bob.has(&format!("a[href='{post}/delete']")).await);
    for page in ["edit", "delete"] {
        bob.go(&dev.site(&format!("{post}/{page}"))).await;
        bob.find("main[data-error='403']").await;
    }
    bob.picture("forbidden").await;
    bob.close(&[403]).await;
}

#[actix_web::test]
async fn signing_out_ends_the_session_of_the_site_and_of_the_provider() {
    let Some(driver) = needs(DRIVER) else { return };
    let dev = Dev::start();
    let browser = Browser::open(&driver).await;
    browser.go(&dev.site("/")).await;
    sign_in(&browser, "Chiara Conti").await;
    browser.click("Profile").await;
    browser.find("#api").await;
    assert!(browser.text("main").await.contains("chiara@contoso.example"));
    browser.picture("profile").await;

    browser.click("Sign out").await;
    browser.find("header a[href^='/login']").await;
    assert!(!browser.has("#account").await);
    // Were the provider's session still alive, this would sign in without asking who it is.
    browser.click("Sign in").await;
    browser.find("button[data-user='chiara@contoso.example']").await;
    browser.close(&[]).await;
}

#[actix_web::test]
async fn a_certificate_that_is_not_registered_is_explained() {
    let Some(driver) = needs(DRIVER) else { return };
    let dev = Dev::start();
    let (another, _) = client_certificate();
    IdpControl::at(&dev.idp("")).replace_certificates(DEV_CLIENT_ID, &[another]);
    let browser = Browser::open(&driver).await;
    browser.go(&dev.site("/")).await;
    browser.click("Sign in").await;
    browser.click("Alice Archer").await;
    browser.find("main[data-error='sign-in']").await;
    let page = browser.text("main").await;
    assert!(page.contains("AADSTS700027"), "{page}");
    assert!(page.contains("Certificates & secrets"), "the page says where to mend it: {page}");
    browser.picture("unregistered-certificate").await;
    browser.close(&[502, 500, 403, 401, 400]).await;
}

#[actix_web::test]
async fn pages_fit_a_narrow_screen_in_light_and_dark() {
    let Some(driver) = needs(DRIVER) else { return };
    let dev = Dev::start();
    let browser = Browser::open(&driver).await;
    browser.go(&dev.site("/")).await;
    sign_in(&browser, "Alice Archer").await;
    let tools = browser.driver.cdp();
    for scheme in ["light", "dark"] {
        let media = serde_json::json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        tools.send_raw("Emulation.setEmulatedMedia", media).await.expect("emulated");
        for (size, width, height) in [("narrow", 320, 700), ("wide", 1400, 900)] {
            let metrics =
                serde_json::json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
            tools.send_raw("Emulation.setDeviceMetricsOverride", metrics).await.expect("emulated");
            for (name, path) in [("home", "/"), ("posts", "/posts"), ("new", "/posts/new"), ("profile", "/profile")] {
                browser.go(&dev.site(path)).await;
                let overflow = browser
                    .driver
                    .execute("return document.documentElement.scrollWidth - window.innerWidth", vec![])
                    .await
                    .expect("a number")
                    .json()
                    .as_i64();
                assert!(overflow.is_some_and(|px| px <= 0), "{path} at {width} px overflows by {overflow:?} px");
                browser.picture(&format!("{name}-{scheme}-{size}")).await;
            }
        }
    }
    browser.close(&[]).await;
}

/// From any page of the site, signed out.
async fn sign_in(browser: &Browser, name: &str) {
    browser.click("Sign in").await;
    pick(browser, name).await;
    assert_eq!(browser.text("#account").await, name);
}

/// On the provider's account picker.
async fn pick(browser: &Browser, name: &str) {
    browser.find("button[data-user]").await;
    browser.click(name).await;
    browser.find("#account").await;
}

#[actix_web::test]
async fn a_call_is_tried_on_the_page_of_the_api_with_a_pasted_token() {
    let Some(driver) = needs(DRIVER) else { return };
    let dev = Dev::start();
    let token = IdpControl::at(&dev.idp("")).token().user(ALICE).mint();
    let browser = Browser::open(&driver).await;
    browser.go(&dev.api("/v1/docs")).await;
    browser.find("#operations-posts-listPosts").await;
    browser.picture("api").await;

    browser.click("Authorize").await;
    browser.find("#auth-bearer-value").await.send_keys(&token).await.expect("pasted");
    browser.find(".auth-btn-wrapper button.authorize[type=submit]").await.click().await.expect("a click");
    browser.find(".btn-done").await.click().await.expect("a click");
    browser.find("#operations-users-getProfile .opblock-summary-control").await.click().await.expect("a click");
    browser.find("#operations-users-getProfile button.execute").await.click().await.expect("a click");
    let answer = browser.text("#operations-users-getProfile .live-responses-table .response").await;
    assert!(answer.contains("200") && answer.contains("Alice Archer"), "{answer}");
    browser.picture("api-tried").await;
    // The console holds no violation of the page's policy, or closing complains.
    browser.close(&[]).await;
}
