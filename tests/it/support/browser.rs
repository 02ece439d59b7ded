//! A headless Chromium that tests drive through WebDriver, as a person would: by the text on links and buttons.
//!
//! ```ignore
//! let Some(driver) = needs("BLOGCTL_TEST_CHROMEDRIVER") else { return };
//! let browser = Browser::open(&driver).await;
//! browser.go(&dev.site("/posts/new")).await;
//! browser.fill("title", "A first post").await;
//! browser.click("Publish").await;
//! browser.close(&[]).await;                                     // fails on errors in the console
//! ```

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use thirtyfour::{
    ChromiumLikeCapabilities, LoggingPrefsLogLevel, common::capabilities::chrome::ChromeCapabilities, prelude::*,
};

/// Longest wait for an element; the machine may be busy.
const PATIENCE: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(50);

/// One browser with a fresh profile. [`Browser::close`] ends it and checks its console.
pub struct Browser {
    pub driver: WebDriver,
}

impl Browser {
    /// Opens a browser through the chromedriver at `driver_url`.
    pub async fn open(driver_url: &str) -> Self {
        let mut capabilities = ChromeCapabilities::new();
        for argument in [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1100,900",
        ] {
            capabilities.add_arg(argument).expect("an argument");
        }
        capabilities
            .set_logging_prefs("browser", LoggingPrefsLogLevel::All)
            .expect("a log level");
        let driver = WebDriver::new(driver_url, capabilities)
            .await
            .expect("chromedriver opens a browser");
        Self { driver }
    }

    pub async fn go(&self, url: &str) {
        self.driver.goto(url).await.expect("the page opens");
    }

    /// Waits for an element.
    pub async fn find(&self, css: &str) -> WebElement {
        match self.driver.query(By::Css(css)).wait(PATIENCE, POLL).first().await {
            Ok(element) => element,
            Err(error) => panic!("no {css}: {error}\n{}", self.describe().await),
        }
    }

    /// Waits for an element and returns its text.
    pub async fn text(&self, css: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.find(css).await.text().await {
                Ok(text) => return text,
                // The element belonged to the previous page.
                Err(_) if Instant::now() < deadline => {}
                Err(error) => panic!("no text of {css}: {error}"),
            }
        }
    }

    /// Whether the current page has such an element.
    pub async fn has(&self, css: &str) -> bool {
        !self.driver.find_all(By::Css(css)).await.expect("a page").is_empty()
    }

    /// Waits until the element is gone, because another page is shown.
    pub async fn gone(&self, css: &str) {
        let deadline = Instant::now() + PATIENCE;
        while self.has(css).await {
            assert!(
                Instant::now() < deadline,
                "still there: {css}\n{}",
                self.describe().await
            );
            tokio::time::sleep(POLL).await;
        }
    }

    /// Clicks the link or button that contains the text `label`.
    pub async fn click(&self, label: &str) {
        let path =
            format!("//a[contains(normalize-space(.),'{label}')] | //button[contains(normalize-space(.),'{label}')]");
        match self
            .driver
            .query(By::XPath(path))
            .wait(PATIENCE, POLL)
            .and_clickable()
            .first()
            .await
        {
            Ok(element) => element.click().await.expect("a click"),
            Err(error) => panic!("nothing says {label:?}: {error}\n{}", self.describe().await),
        }
    }

    /// Replaces the text of a field.
    pub async fn fill(&self, name: &str, text: &str) {
        let field = self.find(&format!("[name={name}]")).await;
        field.clear().await.expect("cleared");
        field.send_keys(text).await.expect("typed");
    }

    /// The text of a field.
    pub async fn value(&self, name: &str) -> String {
        self.find(&format!("[name={name}]"))
            .await
            .value()
            .await
            .expect("a value")
            .unwrap_or_default()
    }

    pub async fn path(&self) -> String {
        self.driver.current_url().await.expect("an address").path().to_owned()
    }

    /// Saves a screenshot of the page in the build folder.
    pub async fn picture(&self, name: &str) {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("screenshots");
        fs::create_dir_all(&folder).expect("a folder");
        self.driver
            .screenshot(&folder.join(format!("{name}.png")))
            .await
            .expect("a screenshot");
    }

    /// Closes the browser. Fails if its console shows an error or a violation of the content security policy, except the
    /// browser's own message about a response with a status in `expected`.
    pub async fn close(self, expected: &[u16]) {
        let entries = self.driver.browser_log().await.expect("the console's log");
        let excused = |message: &str| {
            message.contains("Failed to load resource")
                && expected
                    .iter()
                    .any(|status| message.contains(&format!("status of {status}")))
        };
        let bad: Vec<_> = entries
            .iter()
            .filter(|entry| matches!(entry.level.as_str(), "SEVERE" | "WARNING") && !excused(&entry.message))
            .map(|entry| &entry.message)
            .collect();
        self.driver.quit().await.expect("the browser ends");
        assert!(bad.is_empty(), "the browser's console says: {bad:#?}");
    }

    async fn describe(&self) -> String {
        let url = self
            .driver
            .current_url()
            .await
            .map(|url| url.path().to_owned())
            .unwrap_or_default();
        let body = match self.driver.find(By::Css("body")).await {
            Ok(body) => body.text().await.unwrap_or_default(),
            Err(_) => String::new(),
        };
        format!("the page {url} says:\n{body}")
    }
}
