//! A PgBouncer of a test's own, in front of the test server.

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

/// Connections to the server that it lends to all of its clients, for each database: few, so that they are shared.
const SERVER_CONNECTIONS: usize = 3;

/// Runs until dropped.
pub struct PgBouncer {
    port: u16,
    child: Child,
    _folder: TempDir,
}

impl PgBouncer {
    /// In front of the server of `url`, for any of its databases. `None` where there is none to test with.
    pub fn start(url: &str, pool_mode: &str) -> Option<Self> {
        Self::with(url, pool_mode, SERVER_CONNECTIONS, "")
    }

    /// The same with further lines of its settings.
    pub fn with(url: &str, pool_mode: &str, server_connections: usize, more: &str) -> Option<Self> {
        let program = needs("BLOGCTL_TEST_PGBOUNCER")?;
        let url = Url::parse(url).expect("a URL");
        let folder = tempfile::tempdir().expect("a temporary folder");
        // It runs as another user than root.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("a folder of ours");
        let settings = folder.path().join("pgbouncer.ini");
        // It cannot pick a free port itself: somebody else may be faster.
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

    /// The address of the database that `url` names on the server, through this.
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
