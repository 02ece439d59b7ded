//! A separate PgBouncer in front of the PostgreSQL server of the tests.
//!
//! ```ignore
//! let Some(pooler) = PgBouncer::start(&postgres.settings.url, "transaction") else { return };
//! let url = pooler.url(&postgres.settings.url);
//! ```

use std::{
    fs,
    net::{TcpListener, TcpStream},
    os::unix::fs::{MetadataExt, PermissionsExt},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use url::Url;

use super::needs;

/// Server connections for each database: few, so that clients must share them.
const SERVER_CONNECTIONS: usize = 3;

/// A running PgBouncer, stopped when dropped.
pub struct PgBouncer {
    port: u16,
    child: Child,
    _folder: TempDir,
}

impl PgBouncer {
    /// Starts it in front of the server of `url`, for all its databases. `None` if PgBouncer is not installed.
    pub fn start(url: &str, pool_mode: &str) -> Option<Self> {
        Self::with(url, pool_mode, SERVER_CONNECTIONS, "")
    }

    /// Like [`Self::start`], with more lines of configuration.
    pub fn with(url: &str, pool_mode: &str, server_connections: usize, more: &str) -> Option<Self> {
        let program = needs("BLOGCTL_TEST_PGBOUNCER")?;
        let url = Url::parse(url).expect("a URL");
        let folder = tempfile::tempdir().expect("a temporary folder");
        // It does not run as root.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("a folder of ours");
        let settings = folder.path().join("pgbouncer.ini");
        // It cannot pick a free port itself, so another process may take the port first.
        for _ in 0..5 {
            let free = TcpListener::bind("127.0.0.1:0")
                .and_then(|socket| socket.local_addr())
                .expect("a free port");
            let text = format!(
                "[databases]\n* = host={} port={} user={} password='{}'\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
                 listen_port = {}\nunix_socket_dir =\nauth_type = any\npool_mode = {pool_mode}\n\
                 default_pool_size = {server_connections}\nmax_client_conn = 500\n{more}\n",
                url.host_str().expect("a host"),
                url.port().unwrap_or(5432),
                url.username(),
                url.password().unwrap_or_default(),
                free.port(),
            );
            fs::write(&settings, text).expect("written");
            let mut command = Command::new(&program);
            if folder.path().metadata().expect("a folder").uid() == 0 {
                command.args(["-u", "postgres"]);
            }
            let child = command
                .arg("-q")
                .arg(&settings)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            let mut child = child.spawn().expect("pgbouncer runs");
            if listens(free.port(), &mut child) {
                return Some(Self {
                    port: free.port(),
                    child,
                    _folder: folder,
                });
            }
            let _ = child.kill();
            let _ = child.wait();
        }
        panic!("pgbouncer does not start");
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// The URL of the same database, through the pooler.
    pub fn url(&self, url: &str) -> String {
        let mut url = Url::parse(url).expect("a URL");
        url.set_host(Some("127.0.0.1")).expect("a host");
        url.set_port(Some(self.port)).expect("a port");
        url.into()
    }
}

fn listens(port: u16, child: &mut Child) -> bool {
    let deadline = Instant::now() + Duration::from_secs(10);
    while Instant::now() < deadline {
        if child.try_wait().is_ok_and(|ended| ended.is_some()) {
            return false;
        }
        if TcpStream::connect(("127.0.0.1", port)).is_ok() {
            return true;
        }
        thread::sleep(Duration::from_millis(10));
    }
    false
}

impl Drop for PgBouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
