//! A separate Redis for each test, which the test can pause, stop and restart.
//!
//! ```ignore
//! let Some(mut redis) = RedisServer::start() else { return };
//! let system = TestSystem::with(|settings| settings.redis = redis.settings());
//! redis.stop();
//! ```

use std::{
    net::TcpListener,
    path::PathBuf,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use blogctl::config::{RedisSettings, Settings, Sources};
use tempfile::TempDir;

const PASSWORD: &str = "hunter2-of-redis";

/// A running Redis, stopped when dropped.
pub struct RedisServer {
    port: u16,
    tls: Option<[PathBuf; 2]>,
    child: Option<Child>,
    folder: TempDir,
}

impl RedisServer {
    /// `None` if Redis is not installed; `tests/run` says so.
    pub fn start() -> Option<Self> {
        Self::with(None)
    }

    /// With `tls`, serves TLS with this certificate and key (PEM).
    pub fn with(tls: Option<[PathBuf; 2]>) -> Option<Self> {
        super::needs("BLOGCTL_TEST_REDIS_SERVER")?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut server = Self {
            port: 0,
            tls,
            child: None,
            folder,
        };
        // It cannot pick a free port itself, so another process may take the port first.
        for _ in 0..5 {
            let free = TcpListener::bind("127.0.0.1:0")
                .and_then(|socket| socket.local_addr())
                .expect("a free port");
            server.port = free.port();
            if server.restart() {
                return Some(server);
            }
        }
        panic!("redis-server does not start");
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL, with its password.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "rediss" } else { "redis" };
        format!("{scheme}://:{PASSWORD}@localhost:{}/0", self.port)
    }

    /// Settings that use this Redis.
    pub fn settings(&self) -> RedisSettings {
        settings(&self.url())
    }

    /// A connection to read and change its data.
    pub fn connection(&self) -> redis::Connection {
        let client = redis::Client::open(self.url()).expect("an address");
        client.get_connection().expect("a connection")
    }

    /// Stops answering, but still accepts connections.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    /// Answers again after [`Self::pause`].
    pub fn unpause(&self) {
        self.signal("CONT");
    }

    fn signal(&self, name: &str) {
        let pid = self.child.as_ref().expect("it runs").id().to_string();
        let sent = Command::new("sh")
            .args(["-c", "kill -s \"$0\" \"$1\"", name, &pid])
            .status()
            .expect("sh runs");
        assert!(sent.success(), "signal {name} was not sent");
    }

    /// Stops the process; its data are lost.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it runs");
            child.wait().expect("it ends");
        }
    }

    /// Starts again, empty, on the same port. `false` if that fails.
    pub fn restart(&mut self) -> bool {
        let program = std::env::var_os("BLOGCTL_TEST_REDIS_SERVER").expect("there was one");
        let mut command = Command::new(program);
        command.args([
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--appendonly",
            "no",
            "--requirepass",
            PASSWORD,
        ]);
        command.arg("--dir").arg(self.folder.path());
        match &self.tls {
            None => command.args(["--port", &self.port.to_string()]),
            Some([certificate, key]) => {
                command.args([
                    "--port",
                    "0",
                    "--tls-port",
                    &self.port.to_string(),
                    "--tls-auth-clients",
                    "no",
                ]);
                command
                    .arg("--tls-cert-file")
                    .arg(certificate)
                    .arg("--tls-key-file")
                    .arg(key)
            }
        };
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        self.child = Some(child.expect("redis-server runs"));
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            if std::net::TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return true;
            }
            if self
                .child
                .as_mut()
                .is_some_and(|child| child.try_wait().is_ok_and(|ended| ended.is_some()))
            {
                return false;
            }
            thread::sleep(Duration::from_millis(10));
        }
        false
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Settings that use the Redis at `url`.
pub fn settings(url: &str) -> RedisSettings {
    let flag = blogctl::config::Flag {
        name: "test".to_owned(),
        setting: "redis.url".to_owned(),
        value: url.to_owned(),
    };
    let sources = Sources {
        flags: vec![flag],
        ..Sources::default()
    };
    Settings::load(&sources, blogctl::config::Role::Any)
        .expect("settings")
        .settings
        .redis
}
