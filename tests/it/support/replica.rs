//! One role as a separate process that a test kills, stops, freezes and restarts. Each start has a new port, as a new pod has
//! a new address; the load balancer follows.
//!
//! ```ignore
//! let api = Replica::new("serve-api", folder.path(), &arguments, &balancer);
//! api.start();
//! api.kill();
//! ```

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use blogctl::config::Settings;
use parking_lot::Mutex;
use rustix::process::{Pid, Signal, kill_process};

use super::{
    binary::{Running, blogctl},
    load_balancer::{Backend, LoadBalancer},
};

/// Longest wait for a replica to get ready.
const DEADLINE: Duration = Duration::from_mins(1);

/// A process of one role, killed when dropped.
pub struct Replica {
    pub backend: Arc<Backend>,
    command: &'static str,
    folder: PathBuf,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
    running: Mutex<Option<Running>>,
}

impl Replica {
    /// Starts nothing yet. `settings` have the form `section.key=value`, `environment` is for secrets.
    pub fn new(
        command: &'static str,
        folder: &Path,
        settings: &[String],
        environment: &[(&str, &str)],
        balancer: &LoadBalancer,
    ) -> Self {
        let arguments = settings
            .iter()
            .flat_map(|setting| ["--set".to_owned(), setting.clone()]);
        let environment = environment
            .iter()
            .map(|&(name, value)| (name.to_owned(), value.to_owned()));
        Self {
            backend: balancer.add(),
            command,
            folder: folder.to_owned(),
            arguments: arguments.collect(),
            environment: environment.collect(),
            running: Mutex::new(None),
        }
    }

    /// Starts the process, and waits until the load balancer sends requests to it.
    pub fn start(&self) {
        self.start_without_waiting();
        self.wait_until_ready();
    }

    /// Starts the process, and waits until it listens.
    pub fn start_without_waiting(&self) {
        let mut command: Command = blogctl(&self.folder);
        command.args([self.command, "--port", "0"]).args(&self.arguments);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let mut running = Running::start(&mut command);
        let url = running.url_after("listening on");
        let url = url::Url::parse(&url).expect("a URL");
        self.backend.set_port(url.port().expect("a port"));
        *self.running.lock() = Some(running);
    }

    /// Waits until the load balancer sends requests to it.
    pub fn wait_until_ready(&self) {
        let deadline = Instant::now() + DEADLINE;
        while !self.backend.is_ready() {
            assert!(Instant::now() < deadline, "{} does not get ready", self.command);
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends the process at once, as the kernel does when memory runs out.
    pub fn kill(&self) {
        drop(self.running.lock().take());
    }

    /// Sends a signal, such as [`Signal::STOP`].
    pub fn signal(&self, signal: Signal) {
        let _ = kill_process(self.pid(), signal);
    }

    /// Sends SIGTERM, and waits until the process has ended well; returns the errors in its log.
    pub fn terminate(&self) -> String {
        let running = self.running.lock().take().expect("it runs");
        running.signal("TERM");
        let (status, output) = running.wait_for_exit();
        assert_eq!(status.code(), Some(0), "{output}");
        let errors = output.lines().filter(|line| line.contains(" ERROR "));
        errors.collect::<Vec<_>>().join("\n")
    }

    /// The id of the process.
    pub fn pid(&self) -> Pid {
        let id = self.running.lock().as_ref().expect("it runs").id();
        Pid::from_raw(id.cast_signed()).expect("a process id")
    }
}

/// The settings (`section.key=value`) of both roles that belong to the system of `settings`, without database and Redis.
pub fn arguments(settings: &Settings) -> Vec<String> {
    let cookie_key = "9vQ2mZ7xLk4TbR8cWn5YpD1sHf6GjA3eUq0oXiVtMzKwBhNrEyCdSaPl7u2J";
    vec![
        "server.environment=development".to_owned(),
        "server.workers=2".to_owned(),
        format!("entra.tenant_id={}", settings.entra.tenant_id),
        format!("entra.authority_host=http://localhost:{}", settings.idp.port),
        format!("client.client_id={}", settings.client.client_id),
        "client.cert_path=client.pem".to_owned(),
        format!("client.api_scope={}", settings.client.api_scope),
        format!("client.api_base_url={}", settings.client.api_base_url),
        format!("client.cookie_key={cookie_key}"),
        format!("api.app_id_uri={}", settings.api.app_id_uri),
        format!(
            "api.client_id={}",
            settings.api.client_id.as_deref().unwrap_or_default()
        ),
    ]
}
