//! One role as a separate process with metrics, so that no other test changes them. The identity provider runs in this process.
//!
//! ```ignore
//! let api = RoleProcess::api(&["api.limit_failures_per_minute=1"]);
//! assert_eq!(api.scrape().value("blogctl_rate_limited_total", &[]), 0.0);
//! ```

use std::net::TcpListener;

use blogctl::{config::Settings, serve};
use tempfile::TempDir;

use super::{
    api::Client,
    binary::{Running, blogctl},
    idp::IdpControl,
    metrics::Scrape,
    replica::arguments,
    system::{TestServer, settings_for},
    web::{Browser, Page},
};

/// The process, killed when dropped.
pub struct RoleProcess {
    _running: Running,
    pub settings: Settings,
    pub folder: TempDir,
    idp: TestServer,
    url: String,
    metrics: String,
}

impl RoleProcess {
    /// Starts `serve-api` with these settings (`section.key=value`) in addition.
    pub fn api(settings: &[&str]) -> Self {
        Self::start("serve-api", settings)
    }

    /// Starts `serve-client`. There is no API.
    pub fn client(settings: &[&str]) -> Self {
        Self::start("serve-client", settings)
    }

    fn start(command: &str, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let [idp, api, web] = [(); 3].map(|()| serve::listen("127.0.0.1", 0).expect("a free port"));
        let settings = settings_for(folder.path(), &idp, &api, &web);
        let port = |listener: &TcpListener| listener.local_addr().expect("bound").port();
        let own_port = port(if command == "serve-api" { &api } else { &web });
        // The process binds it now.
        drop((api, web));
        let mut process = blogctl(folder.path());
        process.args([command, "--port", &own_port.to_string()]);
        let mut own = arguments(&settings);
        own.extend(["metrics.enabled=true", "metrics.port=0", "database.url=blog.db"].map(str::to_owned));
        for setting in own.iter().map(String::as_str).chain(more.iter().copied()) {
            process.args(["--set", setting]);
        }
        let idp = TestServer::idp(idp, settings.clone());
        let mut running = Running::start(&mut process);
        let metrics = running.url_after("metrics on");
        let url = running.url_after("listening on");
        Self {
            _running: running,
            settings,
            folder,
            idp,
            url: url.trim_end_matches('/').to_owned(),
            metrics,
        }
    }

    /// The address of a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// The metrics now.
    pub fn scrape(&self) -> Scrape {
        Scrape::of(&self.metrics)
    }

    /// The metrics, once they meet the condition.
    pub fn scrape_until(&self, what: &str, is_met: impl Fn(&Scrape) -> bool) -> Scrape {
        Scrape::until(&self.metrics, what, is_met)
    }

    /// Controls the identity provider.
    pub fn control(&self) -> IdpControl {
        IdpControl::new(&self.idp)
    }

    /// A client of the API with a valid token.
    pub fn alice(&self) -> Client {
        Client::at(&self.url, &self.control().token().mint())
    }

    /// Signs in on the site as a user of the emulator, and ends at `next`.
    pub fn sign_in(&self, browser: &Browser, oid: &str, next: &str) -> Page {
        let picker = browser.get(&self.url(&format!("/login?next={next}")));
        browser.pick(&picker, oid)
    }
}
