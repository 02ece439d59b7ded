//! Two PostgreSQL servers for failover: a primary, and a standby that replicates from it.
//!
//! ```ignore
//! let Some(cluster) = PostgresCluster::start() else { return };
//! cluster.kill_primary();
//! cluster.promote_standby();
//! ```

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use diesel::{Connection as _, PgConnection, RunQueryDsl as _, connection::SimpleConnection as _};
use tempfile::TempDir;

use super::{needs, pebble::free_port};

/// Longest wait; only a failing test reaches it.
const GUARD: Duration = Duration::from_mins(1);

/// A primary and its standby, stopped when dropped. Both trust every connection of this machine.
pub struct PostgresCluster {
    programs: PathBuf,
    folder: TempDir,
    primary: u16,
    standby: u16,
}

impl PostgresCluster {
    /// `None` where the tests have no PostgreSQL.
    pub fn start() -> Option<Self> {
        needs("BLOGCTL_TEST_POSTGRES_URL")?;
        let folder = tempfile::tempdir().expect("a temporary folder");
        // PostgreSQL does not run as root.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).expect("a folder of ours");
        let cluster = Self {
            programs: programs(),
            folder,
            primary: free_port(),
            standby: free_port(),
        };
        let (primary, standby) = (cluster.data("primary"), cluster.data("standby"));
        cluster.run(
            "initdb",
            &["-D", &primary, "-U", "postgres", "--auth=trust", "--no-sync"],
        );
        cluster.launch("primary", cluster.primary);
        let port = cluster.primary.to_string();
        cluster.run(
            "pg_basebackup",
            &[
                "-D",
                &standby,
                "-h",
                "127.0.0.1",
                "-p",
                &port,
                "-U",
                "postgres",
                "-R",
                "-c",
                "fast",
                "--no-sync",
            ],
        );
        cluster.launch("standby", cluster.standby);
        Some(cluster)
    }

    /// The URL of both servers.
    pub fn url(&self) -> String {
        format!(
            "postgres://postgres@127.0.0.1:{},127.0.0.1:{}/postgres",
            self.primary, self.standby
        )
    }

    /// The URL of the primary alone.
    pub fn primary_url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.primary)
    }

    /// Makes the primary accept or refuse writes, also on open connections.
    pub fn set_read_only(&self, is_read_only: bool) {
        let mut admin = PgConnection::establish(&self.primary_url()).expect("the primary");
        let value = if is_read_only { "on" } else { "off" };
        admin
            .batch_execute(&format!("ALTER SYSTEM SET default_transaction_read_only = {value}"))
            .expect("set");
        admin.batch_execute("SELECT pg_reload_conf()").expect("reloaded");
    }

    /// Waits until the standby has everything that the primary has committed.
    pub fn wait_for_standby(&self) {
        let mut primary = PgConnection::establish(&self.primary_url()).expect("the primary");
        let since = Instant::now();
        loop {
            let behind = diesel::sql_query(
                "SELECT 1 FROM pg_stat_replication WHERE replay_lsn >= pg_current_wal_lsn() AND state = 'streaming'",
            )
            .execute(&mut primary)
            .expect("asked");
            if behind == 1 {
                return;
            }
            assert!(since.elapsed() < GUARD, "the standby does not follow");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends the primary as a crash does.
    pub fn kill_primary(&self) {
        self.run(
            "pg_ctl",
            &["-D", &self.data("primary"), "-m", "immediate", "-w", "stop"],
        );
    }

    /// Makes the standby the primary.
    pub fn promote_standby(&self) {
        self.run("pg_ctl", &["-D", &self.data("standby"), "-w", "promote"]);
    }

    fn data(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    fn launch(&self, name: &str, port: u16) {
        let options = format!(
            "-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off -c shared_buffers=16MB \
             -c max_connections=60"
        );
        let log = self.data(&format!("{name}.log"));
        self.run(
            "pg_ctl",
            &["-D", &self.data(name), "-w", "-s", "-l", &log, "-o", &options, "start"],
        );
    }

    fn run(&self, program: &str, arguments: &[&str]) {
        let status = self.command(program, arguments).status().expect(program);
        assert!(status.success(), "{program} {arguments:?}: {status}");
    }

    fn command(&self, program: &str, arguments: &[&str]) -> Command {
        let path = self.programs.join(program);
        let mut command = if rustix::process::geteuid().is_root() {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(path);
            command
        } else {
            Command::new(path)
        };
        command
            .args(arguments)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }
}

impl Drop for PostgresCluster {
    fn drop(&mut self) {
        for name in ["standby", "primary"] {
            // A server that a test has ended is not an error.
            let _ = self
                .command("pg_ctl", &["-D", &self.data(name), "-m", "immediate", "-w", "stop"])
                .status();
        }
    }
}

/// The folder of the newest PostgreSQL.
fn programs() -> PathBuf {
    let installed = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let folders = installed.map(|entry| entry.path().join("bin"));
    let newest = folders.filter(|folder| folder.join("initdb").exists()).max();
    newest.unwrap_or_else(|| Path::new("").to_owned())
}
