//! The main tasks as a person does them: `blogctl dev` as a separate process, and a real browser.

mod api_docs;

use blogctl::config::{DEV_CLIENT_ID, DEV_TENANT_ID};

use crate::support::{
    browser::Browser,
    dev::Dev,
    idp::IdpControl,
    needs,
    system::{TestSystem, client_certificate},
    web::system_with_roles,
};

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
    browser
        .fill("content", "One paragraph.\n\nAnd <b>another</b> one.")
        .await;
    browser.picture("new-post").await;
    browser.click("Publish").await;
    // Checks first what only the new page has, because a busy browser may still show the form.
    assert!(browser.text(".flash[role=status]").await.contains("ublished"));
    assert_eq!(browser.text("h1").await, "A first post");
    assert!(
        browser
            .text("article .content")
            .await
            .contains("And <b>another</b> one."),
        "markup is shown, not obeyed"
    );
    browser.picture("post").await;

    browser.click("Posts").await;
    let newest = browser.text("article.post-card").await;
    assert!(
        newest.contains("A first post") && newest.contains("Alice Archer"),
        "{newest}"
    );
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
async fn a_rejected_form_keeps_its_text() {
    let Some(driver) = needs(DRIVER) else { return };
    let dev = Dev::start();
    let browser = Browser::open(&driver).await;
    browser.go(&dev.site("/posts/new")).await;
    pick(&browser, "Alice Archer").await;

    browser.fill("title", "   ").await;
    browser.fill("content", "Much thought went into this.").await;
    browser.click("Publish").await;
    assert_eq!(browser.text("#title-error").await, "Enter a title");
    assert_eq!(browser.value("content").await, "Much thought went into this.");
    assert!(!browser.has("#content-error").await, "only the wrong field is marked");
    browser.picture("rejected").await;

    // Back to the form, and back from another page: the text is still there, and nothing is sent again.
    browser.driver.back().await.expect("back");
    browser.find("form.post-form").await;
    assert_eq!(browser.value("content").await, "Much thought went into this.");
    browser.go(&dev.site("/posts/new")).await;
    browser.click("Posts").await;
    browser.find("article.post-card").await;
    browser.driver.back().await.expect("back");
    browser.gone("article.post-card").await;
    assert_eq!(browser.value("content").await, "Much thought went into this.");
    browser.driver.refresh().await.expect("reloaded");
    assert_eq!(browser.value("content").await, "Much thought went into this.");
    browser.fill("title", "At last").await;
    browser.click("Publish").await;
    browser.find("article .content").await;
    assert_eq!(browser.text("h1").await, "At last");
    browser.go(&dev.site("/posts/new")).await;
    assert_eq!(browser.value("content").await, "", "a published post leaves no draft");
    browser.close(&[]).await;
}

#[actix_web::test]
async fn an_admin_edits_other_posts_and_a_reader_is_not_offered_to_write() {
    let Some(driver) = needs(DRIVER) else { return };
    let system = system_with_roles(true);
    let alice = Browser::open(&driver).await;
    alice.go(&system.web.url("/posts/new")).await;
    pick(&alice, "Alice Archer").await;
    alice.fill("title", "عنوان بالعربية").await;
    alice.fill("content", "Words of hers.").await;
    alice.click("Publish").await;
    alice.find("article .content").await;
    let post = alice.path().await;
    let direction = "return getComputedStyle(document.querySelector('h1')).direction";
    let direction = alice.driver.execute(direction, vec![]).await.expect("a value");
    assert_eq!(direction.json(), "rtl", "a title keeps the direction of its script");
    alice.picture("right-to-left").await;
    alice.close(&[]).await;

    let chiara = Browser::open(&driver).await;
    chiara.go(&system.web.url(&post)).await;
    pick(&chiara, "Chiara Conti").await;
    chiara.click("Edit").await;
    assert!(chiara.text(".notice").await.contains("a post by Alice Archer"));
    chiara.picture("admin-edit").await;
    chiara.fill("content", "Moderated.").await;
    chiara.click("Save changes").await;
    chiara.find(".flash[role=status]").await;
    assert!(chiara.text("article").await.contains("Moderated."));
    assert_eq!(chiara.text("article .author").await, "Alice Archer");

    let bob = Browser::open(&driver).await;
    bob.go(&system.web.url("/")).await;
    sign_in(&bob, "Bob Brandt").await;
    for path in ["/", "/posts", &*post] {
        bob.go(&system.web.url(path)).await;
        bob.find("#account").await;
        assert!(
            !bob.has("a[href='/posts/new']").await && !bob.has("a[href$='/edit']").await,
            "{path}"
        );
    }
    bob.go(&system.web.url("/posts/new")).await;
    bob.find("main[data-error='403']").await;
    assert!(bob.text("main").await.contains("Blog.Writer"));
    bob.picture("read-only").await;
    bob.close(&[403]).await;

    chiara.click("Delete").await;
    chiara.find("form[method=post] button.danger").await;
    chiara.picture("admin-delete").await;
    chiara.click("Delete post").await;
    chiara.find(".flash[role=status]").await;
    chiara.close(&[]).await;
}

#[actix_web::test]
async fn a_second_user_cannot_change_the_first_users_post() {
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
    // If the provider's session were still alive, this would sign in without a prompt.
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
    assert!(
        page.contains("Certificates & secrets"),
        "the page says where to fix it: {page}"
    );
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
    browser.go(&dev.site("/posts/new")).await;
    browser.fill("content", "A text without a title.").await;
    browser.click("Publish").await;
    browser.find("#title-error").await;
    let tools = browser.driver.cdp();
    for scheme in ["light", "dark"] {
        let media = serde_json::json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        tools
            .send_raw("Emulation.setEmulatedMedia", media)
            .await
            .expect("emulated");
        for (size, width, height) in [("narrow", 320, 900), ("wide", 1400, 900)] {
            let metrics =
                serde_json::json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
            tools
                .send_raw("Emulation.setDeviceMetricsOverride", metrics)
                .await
                .expect("emulated");
            for (name, path) in [
                ("home", "/"),
                ("posts", "/posts"),
                ("post", "/posts/1"),
                ("rejected", "/posts/new"),
                ("edit", "/posts/1/edit"),
                ("delete", "/posts/1/delete"),
                ("not-yours", "/posts/2/edit"),
                ("missing", "/nothing"),
                ("profile", "/profile"),
            ] {
                browser.go(&dev.site(path)).await;
                let overflow = browser
                    .driver
                    .execute(
                        "return document.documentElement.scrollWidth - window.innerWidth",
                        vec![],
                    )
                    .await
                    .expect("a number")
                    .json()
                    .as_i64();
                assert!(
                    overflow.is_some_and(|px| px <= 0),
                    "{path} at {width} px overflows by {overflow:?} px"
                );
                browser.picture(&format!("{name}-{scheme}-{size}")).await;
            }
        }
    }
    browser.close(&[403, 404]).await;
}

#[actix_web::test]
async fn a_long_text_survives_the_end_of_the_session() {
    let Some(driver) = needs(DRIVER) else { return };
    let dev = Dev::start();
    let browser = Browser::open(&driver).await;
    browser.go(&dev.site("/posts/new")).await;
    pick(&browser, "Alice Archer").await;
    let sentences: Vec<_> = (1..=40)
        .map(|n| format!("Sentence {n} of something that took an hour to write."))
        .collect();
    let long = sentences.join(" ");
    browser.fill("title", "Written slowly").await;
    browser.fill("content", &long).await;
    // Ends the session on the site and at the provider.
    browser.driver.delete_all_cookies().await.expect("no cookies");
    browser.click("Publish").await;
    browser.find("main a[href^='/login']").await;
    assert_eq!(
        browser.value("content").await.trim(),
        long.trim(),
        "shown again at once"
    );
    browser.picture("session-ended").await;
    browser
        .find("main a[href^='/login']")
        .await
        .click()
        .await
        .expect("a click");
    pick(&browser, "Alice Archer").await;
    assert_eq!(browser.value("title").await, "Written slowly");
    assert_eq!(
        browser.value("content").await.trim(),
        long.trim(),
        "and after the sign-in"
    );
    browser.click("Publish").await;
    browser.find("article .content").await;
    assert!(
        browser
            .text("article .content")
            .await
            .contains("Sentence 40 of something")
    );
    browser.close(&[401]).await;
}

#[actix_web::test]
async fn sign_ins_in_several_tabs_all_work() {
    let Some(driver) = needs(DRIVER) else { return };
    let dev = Dev::start();
    let browser = Browser::open(&driver).await;
    let mut tabs = vec![browser.driver.window().await.expect("a tab")];
    for _ in 0..2 {
        tabs.push(browser.driver.new_tab().await.expect("another tab"));
    }
    let pages = ["/posts", "/profile", "/posts/new"];
    // All three tabs show the account picker.
    for (tab, page) in tabs.iter().zip(pages) {
        browser.driver.switch_to_window(tab.clone()).await.expect("that tab");
        browser.go(&dev.site(page)).await;
        browser.find("button[data-user]").await;
    }
    for (tab, page) in tabs.iter().zip(pages).rev() {
        browser.driver.switch_to_window(tab.clone()).await.expect("that tab");
        pick(&browser, "Bob Brandt").await;
        assert_eq!(browser.path().await, page, "each comes to its own page");
    }
    for tab in &tabs {
        browser.driver.switch_to_window(tab.clone()).await.expect("that tab");
        browser.go(&dev.site("/profile")).await;
        browser.find("#api").await;
    }
    browser.close(&[]).await;
}

#[actix_web::test]
async fn a_sign_out_at_the_provider_signs_out_here() {
    let Some(driver) = needs(DRIVER) else { return };
    let dev = Dev::start();
    let browser = Browser::open(&driver).await;
    browser.go(&dev.site("/")).await;
    sign_in(&browser, "Alice Archer").await;
    // As if another application had sent the browser there.
    browser
        .go(&dev.idp(&format!("/{DEV_TENANT_ID}/oauth2/v2.0/logout")))
        .await;
    let frame = browser.find("iframe").await;
    frame.enter_frame().await.expect("the site's answer, in its frame");
    browser.driver.enter_default_frame().await.expect("the page");
    browser.go(&dev.site("/")).await;
    browser.find("header a[href^='/login']").await;
    assert!(!browser.has("#account").await, "the session here has ended, too");
    browser.close(&[]).await;
}

#[actix_web::test]
async fn a_step_up_that_the_api_demands_returns_to_the_page() {
    let Some(driver) = needs(DRIVER) else { return };
    let system = TestSystem::with(|settings| settings.api.required_acrs = vec!["c1".to_owned()]);
    let browser = Browser::open(&driver).await;
    browser.go(&system.web.url("/posts/new")).await;
    pick(&browser, "Alice Archer").await;
    browser.fill("title", "With a second factor").await;
    browser.fill("content", "Kept over the detour.").await;
    browser.click("Publish").await;
    // The API demands a stronger sign-in: the page shows the text, and it is still there after the second sign-in, which
    // needs no input.
    browser
        .find("main a[href^='/login']")
        .await
        .click()
        .await
        .expect("a click");
    browser.gone("main a[href^='/login']").await;
    assert_eq!(browser.value("content").await, "Kept over the detour.");
    browser.click("Publish").await;
    browser.find("article .content").await;
    assert_eq!(browser.text("h1").await, "With a second factor");
    browser.go(&system.web.url("/posts")).await;
    browser.find("article.post-card").await;
    browser.close(&[401]).await;
}

/// Signs in from any page of the site.
async fn sign_in(browser: &Browser, name: &str) {
    browser.click("Sign in").await;
    pick(browser, name).await;
    assert_eq!(browser.text("#account").await, name);
}

/// Picks a user in the provider's account picker.
async fn pick(browser: &Browser, name: &str) {
    browser.find("button[data-user]").await;
    browser.click(name).await;
    browser.find("#account").await;
}
