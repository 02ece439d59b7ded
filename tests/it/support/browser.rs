//! A headless Chromium, driven through WebDriver as a person would: by what is written on links and buttons.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use thirtyfour::{
    ChromiumLikeCapabilities, LoggingPrefsLogLevel, common::capabilities::chrome::ChromeCapabilities, prelude::*,
};

/// How long a page may take to show what a test waits for; the machine may be busy.
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

    /// Waits for an element and gives its text.
    pub async fn text(&self, css: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.find(css).await.text().await {
                Ok(text) => return text,
                // Of the page before, which went away in between.
                Err(_) if Instant::now() < deadline => {}
                Err(error) => panic!("no text of {css}: {error}"),
            }
        }
    }

    /// Whether there is such an element on the page that is shown now.
    pub async fn has(&self, css: &str) -> bool {
        !self.driver.find_all(By::Css(css)).await.expect("a page").is_empty()
    }

    /// Waits until there is no such element any more: another page is shown.
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

    /// Clicks the link or button on which `label` is written.
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

    /// Replaces what stands in a field.
    pub async fn fill(&self, name: &str, text: &str) {
        let field = self.find(&format!("[name={name}]")).await;
        field.clear().await.expect("cleared");
        field.send_keys(text).await.expect("typed");
    }

    /// What stands in a field.
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

    /// Keeps a picture of the page among the build's files, to be looked at.
    pub async fn picture(&self, name: &str) {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("screenshots");
        fs::create_dir_all(&folder).expect("a folder");
        self.driver
            .screenshot(&folder.join(format!("{name}.png")))
            .await
            .expect("a screenshot");
    }

    /// Ends the browser. The console must have shown no error and no violation of the content security policy, other
    /// than the browser's own note that a page in `expected` was answered with an error status.
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
