//! Notifications to systemd, received as systemd does: on a datagram socket.

use std::{
    net::TcpListener,
    os::{fd::OwnedFd, unix::net::UnixDatagram},
    path::Path,
    process::{Command, Stdio},
};

use tempfile::TempDir;

use super::{HANG_GUARD, serve_api};
use crate::support::{
    api::TestApi,
    binary::{Running, blogctl},
};

/// `NOTIFY_SOCKET`.
struct ServiceManager {
    socket: UnixDatagram,
    folder: TempDir,
}

impl ServiceManager {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let socket = UnixDatagram::bind(folder.path().join("notify")).expect("a socket");
        socket.set_read_timeout(Some(HANG_GUARD)).expect("a time limit");
        Self { socket, folder }
    }

    /// The assignments of the next message.
    fn receive(&self) -> Vec<String> {
        let mut buffer = [0; 4096];
        let length = self.socket.recv(&mut buffer).expect("a notification");
        let text = std::str::from_utf8(&buffer[..length]).expect("UTF-8");
        text.lines().map(str::to_owned).collect()
    }

    /// Receives until a message contains an assignment that begins with `start`. Returns all assignments, that one last.
    fn receive_until(&self, start: &str) -> Vec<String> {
        let mut all = Vec::new();
        loop {
            let message = self.receive();
            let is_it = message.iter().any(|assignment| assignment.starts_with(start));
            all.extend(message);
            if is_it {
                return all;
            }
        }
    }

    /// The assignments of all messages that have arrived.
    fn waiting(&self) -> Vec<String> {
        let mut all = Vec::new();
        let mut buffer = [0; 4096];
        self.socket.set_nonblocking(true).expect("an option");
        while let Ok(length) = self.socket.recv(&mut buffer) {
            let text = std::str::from_utf8(&buffer[..length]).expect("UTF-8");
            all.extend(text.lines().map(str::to_owned));
        }
        self.socket.set_nonblocking(false).expect("an option");
        all
    }

    fn watch(&self, command: &mut Command) {
        command
            .env("NOTIFY_SOCKET", self.folder.path().join("notify"))
            .env("WATCHDOG_USEC", "900000");
    }
}

/// The settings with which the API can fetch signing keys.
fn with_keys(command: &mut Command, api: &TestApi) {
    let entra = &api.settings.entra;
    let authority = entra.authority_host.as_ref().expect("the emulator");
    command
        .env("BLOG_ENTRA__TENANT_ID", &entra.tenant_id)
        .env("BLOG_ENTRA__AUTHORITY_HOST", authority.as_str());
}

#[test]
fn systemd_learns_when_the_api_is_ready_alive_and_stopping() {
    let system = TestApi::start();
    let manager = ServiceManager::new();
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = serve_api(folder.path());
    with_keys(command.args(["--port", "0"]), &system);
    manager.watch(&mut command);
    let mut running = Running::start(&mut command);
    let url = running.url_after("listening on");
    let ready = manager.receive();
    assert_eq!(ready, ["READY=1".to_owned(), format!("STATUS=serving on {url}")]);
    for _ in 0..3 {
        assert_eq!(manager.receive(), ["WATCHDOG=1"]);
    }
    running.signal("TERM");
    let stopping = manager.receive_until("STOPPING=1");
    assert!(
        stopping.last().is_some_and(|last| last.starts_with("STATUS=stopping")),
        "{stopping:?}"
    );
    let (exit, output) = running.wait_for_exit();
    assert!(exit.success(), "{output}");
}

/// The listening socket is shared with the server, as with socket activation, so that the test can make it deaf while every
/// thread of the server still runs.
#[test]
fn the_watchdog_is_not_fed_while_the_server_does_not_answer() {
    let system = TestApi::start();
    let manager = ServiceManager::new();
    let folder = tempfile::tempdir().expect("a folder");
    // Named, because the system forgets a port that it has picked when the socket stops listening.
    let port = TcpListener::bind("127.0.0.1:0")
        .and_then(|free| free.local_addr())
        .expect("a free port");
    let listener = TcpListener::bind(port).expect("the port is still free");
    let mut command = activated(folder.path(), listener.try_clone().expect("a descriptor").into());
    with_keys(&mut command, &system);
    manager.watch(&mut command);
    let mut running = Running::watch(&mut command);
    running.wait_for("listening on");
    manager.receive_until("READY=1");
    manager.receive_until("WATCHDOG=1");

    rustix::net::shutdown(&listener, rustix::net::Shutdown::Both).expect("it listens no more");
    manager.receive_until("STATUS=not answering: ");
    running.wait_for("does not answer its own probe");
    for _ in 0..3 {
        running.wait_for("still no answer");
    }
    // Everything that was sent before those lines were logged has arrived.
    let sent = manager.waiting();
    assert!(!sent.iter().any(|assignment| assignment == "WATCHDOG=1"), "{sent:?}");
    rustix::net::listen(&listener, 16).expect("it listens again");
    manager.receive_until("WATCHDOG=1");
    manager.receive_until("STATUS=serving on ");
}

fn activated(folder: &Path, listener: OwnedFd) -> Command {
    let serve = serve_api(folder);
    let program = blogctl(folder).get_program().to_owned();
    let script = "exec 3<&0 0</dev/null; export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$0\" serve-api";
    let mut command = Command::new("sh");
    command.current_dir(folder).args(["-c", script]).arg(program);
    for (name, value) in serve.get_envs() {
        if let Some(value) = value {
            command.env(name, value);
        }
    }
    command
        .env("BLOG_LOG__LEVEL", "info,blogctl::systemd=debug")
        .stdin(listener)
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    command
}

#[test]
fn without_a_service_manager_or_with_one_that_is_gone_the_server_serves() {
    for socket in ["", "/nonexistent/notify", "@blogctl-test-that-does-not-listen"] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = serve_api(folder.path());
        command
            .args(["--port", "0"])
            .env("NOTIFY_SOCKET", socket)
            .env("WATCHDOG_USEC", "abc");
        let mut running = Running::start(&mut command);
        running.wait_for("listening on");
        running.signal("TERM");
        let (exit, output) = running.wait_for_exit();
        assert!(exit.success(), "{socket}: {output}");
    }
}
