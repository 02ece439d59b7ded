//! A Redis of a test's own, which can be stopped and started again.

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

/// Runs until dropped.
pub struct RedisServer {
    port: u16,
    tls: Option<[PathBuf; 2]>,
    child: Option<Child>,
    folder: TempDir,
}

impl RedisServer {
    /// `None` where there is none to test with; `tests/run` says so.
    pub fn start() -> Option<Self> {
        Self::with(None)
    }

    /// The same over TLS, with this certificate and key in PEM.
    pub fn with(tls: Option<[PathBuf; 2]>) -> Option<Self> {
        super::needs("BLOGCTL_TEST_REDIS_SERVER")?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut server = Self {
            port: 0,
            tls,
            child: None,
            folder,
        };
        // It cannot pick a free port itself: somebody else may be faster.
        for _ in 0..5 {
            let free = TcpListener::bind("127.0.0.1:0")
                .and_then(|socket| socket.local_addr())
                .expect("a free port");
            server.port = free.port();
            if server.resume() {
                return Some(server);
            }
        }
        panic!("redis-server does not start");
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// With the password that it wants.
    pub fn url(&self) -> String {
        let scheme = if self.tls.is_some() { "rediss" } else { "redis" };
        format!("{scheme}://:{PASSWORD}@localhost:{}/0", self.port)
    }

    /// What names it in the settings.
    pub fn settings(&self) -> RedisSettings {
        settings(&self.url())
    }

    /// To look at what it holds.
    pub fn connection(&self) -> redis::Connection {
        let client = redis::Client::open(self.url()).expect("an address");
        client.get_connection().expect("a connection")
    }

    /// Answers nobody, but takes connections as before.
    pub fn pause(&self) {
        self.signal("STOP");
    }

    /// Answers again.
    pub fn go_on(&self) {
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

    /// Forgets everything, and answers nobody.
    pub fn stop(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().expect("it runs");
            child.wait().expect("it ends");
        }
    }

    /// Starts again, empty, on the same port. `false` when it could not.
    pub fn resume(&mut self) -> bool {
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

/// Settings that name the Redis at `url`.
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
