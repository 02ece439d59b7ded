//! A separate PostgreSQL with the durability of a real one, which a test kills, freezes and restarts. (The server that all
//! tests share runs without durability.)
//!
//! ```ignore
//! let Some(mut server) = PostgresServer::start(folder.path()) else { return };
//! server.kill();                                                // as if the machine's memory had run out
//! server.restart();
//! ```

use std::{
    fs,
    net::TcpListener,
    os::unix::{fs::chown, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use diesel::{Connection as _, PgConnection, RunQueryDsl as _};
use rustix::process::{Pid, Signal, geteuid, kill_process};

use super::needs;

const DEADLINE: Duration = Duration::from_mins(1);

/// A running PostgreSQL, killed when dropped.
pub struct PostgresServer {
    pub port: u16,
    programs: PathBuf,
    data: PathBuf,
    account: Option<(u32, u32)>,
    child: Option<Child>,
}

impl PostgresServer {
    /// Starts it with its data in `folder`, and creates the database `blog`. `None` if PostgreSQL is not installed.
    pub fn start(folder: &Path) -> Option<Self> {
        let programs = PathBuf::from(needs("BLOGCTL_TEST_POSTGRES_BIN")?);
        let account = account();
        let data = folder.join("postgres");
        fs::create_dir(&data).expect("a folder");
        if let Some((user, group)) = account {
            chown(&data, Some(user), Some(group)).expect("its folder");
            allow_passage(folder);
        }
        let mut server = Self {
            port: 0,
            programs,
            data,
            account,
            child: None,
        };
        let made = server
            .command("initdb")
            .args([
                "--auth=trust",
                "--username=postgres",
                "--encoding=UTF8",
                "--locale=C.UTF-8",
                "--no-sync",
            ])
            .status();
        assert!(made.expect("initdb runs").success(), "initdb fails");
        server.restart();
        let mut admin = PgConnection::establish(&server.url_of("postgres")).expect("the server");
        diesel::sql_query("CREATE DATABASE blog")
            .execute(&mut admin)
            .expect("a database");
        Some(server)
    }

    /// The URL of the database `blog`, on `port`: the server's or that of a proxy.
    pub fn url_at(port: u16) -> String {
        format!("postgres://postgres@127.0.0.1:{port}/blog")
    }

    /// Kills the server with all its processes.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        if let Some(mut child) = self.child.take() {
            let _ = child.wait();
        }
    }

    /// Starts it again on another port; it recovers from its write-ahead log.
    pub fn restart(&mut self) {
        let deadline = Instant::now() + DEADLINE;
        // It cannot pick a free port itself, so another process may take the port first. Also its shared memory may still be
        // in use for a moment.
        while !self.try_restart() {
            assert!(Instant::now() < deadline, "PostgreSQL does not start again");
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Whether the server still runs. It ends when it cannot write its log.
    pub fn is_running(&mut self) -> bool {
        self.child
            .as_mut()
            .is_some_and(|child| child.try_wait().is_ok_and(|ended| ended.is_none()))
    }

    /// Sends a signal to all its processes.
    pub fn signal(&self, signal: Signal) {
        let Some(child) = &self.child else { return };
        let main = child.id();
        // The main process first, so that it starts no other meanwhile.
        for id in std::iter::once(main).chain(children(main)) {
            if let Some(pid) = Pid::from_raw(id.cast_signed()) {
                let _ = kill_process(pid, signal);
            }
        }
    }

    fn try_restart(&mut self) -> bool {
        let free = TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr());
        self.port = free.expect("a free port").port();
        let mut command = self.command("postgres");
        command.args(["-p", &self.port.to_string()]);
        for setting in [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            "max_connections=100",
            "max_wal_size=64MB",
            "min_wal_size=32MB",
            "shared_buffers=32MB",
        ] {
            command.args(["-c", setting]);
        }
        self.child = Some(command.spawn().expect("postgres runs"));
        let deadline = Instant::now() + DEADLINE;
        while self.is_running() && Instant::now() < deadline {
            if PgConnection::establish(&self.url_of("postgres")).is_ok() {
                return true;
            }
            thread::sleep(Duration::from_millis(20));
        }
        false
    }

    fn url_of(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// A program of PostgreSQL, under its own account if this one is root's.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.arg("-D").arg(&self.data).current_dir("/").env("LC_ALL", "C");
        if let Some((user, group)) = self.account {
            command.uid(user).gid(group);
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        // A frozen process ends, too.
        self.kill();
    }
}

/// User and group of PostgreSQL, which does not run as root.
fn account() -> Option<(u32, u32)> {
    if !geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("the accounts");
    let line = users.lines().find(|line| line.starts_with("postgres:"));
    let fields: Vec<_> = line.expect("an account postgres").split(':').collect();
    Some((
        fields[2].parse().expect("a number"),
        fields[3].parse().expect("a number"),
    ))
}

/// Lets the account reach its data through a folder of this account.
fn allow_passage(folder: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(folder, fs::Permissions::from_mode(0o711)).expect("a folder of ours");
}

/// The ids of the children of a process (Linux).
fn children(parent: u32) -> Vec<u32> {
    let entries = fs::read_dir("/proc").expect("processes").flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    ids.filter(|id| {
        let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        // The name in brackets may contain anything.
        let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields);
        fields.split(' ').nth(1).is_some_and(|id| id.parse() == Ok(parent))
    })
    .collect()
}
