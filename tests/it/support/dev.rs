//! `blogctl dev` as a separate process on free ports, in a new folder.
//!
//! ```ignore
//! let dev = Dev::start();
//! Browser::new().get(&dev.site("/"));
//! ```

use std::path::Path;

use tempfile::TempDir;

use super::binary::{Running, blogctl};

/// A running `blogctl dev`, stopped when dropped.
pub struct Dev {
    pub running: Running,
    site: String,
    api: String,
    idp: String,
    metrics: Option<String>,
    /// Deleted when dropped, after the process has ended.
    folder: Option<TempDir>,
}

impl Dev {
    /// Starts it in a new folder, and waits until it prints its addresses.
    pub fn start() -> Self {
        Self::start_in_new_folder(&[])
    }

    /// Starts it in a new folder with more arguments.
    pub fn start_in_new_folder(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut dev = Self::start_in(folder.path(), arguments);
        dev.folder = Some(folder);
        dev
    }

    /// Starts it in `folder` with more arguments.
    pub fn start_in(folder: &Path, arguments: &[&str]) -> Self {
        let mut command = blogctl(folder);
        command
            .args(["dev", "--idp-port", "0", "--api-port", "0", "--client-port", "0"])
            .args(arguments);
        let mut running = Running::start(&mut command);
        let site = origin(&running.url_after("Web site"));
        let api = origin(&running.url_after("API"));
        let idp = origin(&running.url_after("Identity provider"));
        Self {
            running,
            site,
            api,
            idp,
            metrics: None,
            folder: None,
        }
    }

    /// Starts it in a new folder, with metrics on a free port.
    pub fn with_metrics() -> Self {
        Self::with_metrics_and(&[])
    }

    /// The same with more arguments.
    pub fn with_metrics_and(arguments: &[&str]) -> Self {
        let metrics = ["--set", "metrics.enabled=true", "--set", "metrics.port=0"];
        let mut dev = Self::start_in_new_folder(&[&metrics, arguments].concat());
        dev.metrics = Some(dev.running.url_after("Metrics"));
        dev
    }

    /// The address of the metrics.
    pub fn metrics(&self) -> &str {
        self.metrics.as_deref().expect("they are enabled")
    }

    pub fn site(&self, path: &str) -> String {
        format!("{}{path}", self.site)
    }

    pub fn api(&self, path: &str) -> String {
        format!("{}{path}", self.api)
    }

    /// The address of the key vault, which runs with `--credential key-vault`.
    pub fn vault(&mut self) -> String {
        origin(&self.running.url_after("Key vault"))
    }

    pub fn idp(&self, path: &str) -> String {
        format!("{}{path}", self.idp)
    }
}

fn origin(url: &str) -> String {
    url.trim_end_matches('/').to_owned()
}
