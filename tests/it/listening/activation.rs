//! Sockets from systemd: `LISTEN_PID`, `LISTEN_FDS` and descriptors from 3 on.

use std::{
    fs::{self, File},
    net::{TcpListener, TcpStream, UdpSocket},
    os::{fd::OwnedFd, unix::net::UnixListener},
    path::Path,
    process::{Command, Stdio},
};

use super::{configure, get};
use crate::{
    hostile::Connection,
    support::binary::{Running, blogctl},
};

/// What systemd does: descriptors 3 and, if `second` is one, 4, and the variables. `variables` are assignments for the shell,
/// in which `$$` is the process ID of `serve-api`.
fn activated(folder: &Path, first: OwnedFd, second: Option<OwnedFd>, variables: &str) -> Command {
    let program = blogctl(folder).get_program().to_owned();
    let mut command = Command::new("sh");
    let script = format!("exec 3<&0 4<&1 0</dev/null 1>&2; export {variables}; exec \"$0\" serve-api --port 0");
    command
        .current_dir(folder)
        .args(["-c", &script])
        .arg(program)
        .stdin(first)
        .stdout(second.map_or_else(Stdio::null, Stdio::from))
        .stderr(Stdio::piped());
    configure(&mut command);
    command
}

fn tcp() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    (listener, port)
}

#[test]
fn the_api_serves_on_a_socket_from_systemd_and_the_log_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let (listener, port) = tcp();
    let mut command = activated(folder.path(), listener.into(), None, "LISTEN_PID=$$ LISTEN_FDS=1");
    let mut running = Running::watch(&mut command);
    running.wait_for("systemd passed a socket to listen on, so api.host, api.port and api.socket_path are not used");
    assert_eq!(running.url_after("listening on"), format!("http://127.0.0.1:{port}"));
    let mut connection = Connection::to(&format!("http://127.0.0.1:{port}"));
    connection.get("/health/live");
    assert_eq!(connection.status(), 200);
}

#[test]
fn it_serves_on_all_of_them_and_leaves_the_file_of_a_unix_socket_to_systemd() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("api.sock");
    let (listener, port) = tcp();
    let unix = UnixListener::bind(&socket).expect("a socket");
    let mut command = activated(
        folder.path(),
        listener.into(),
        Some(unix.into()),
        "LISTEN_PID=$$ LISTEN_FDS=2",
    );
    let mut running = Running::watch(&mut command);
    running.wait_for("systemd passed 2 sockets");
    running.wait_for(&format!("listening on unix:{}", socket.display()));
    assert_eq!(get(&socket, "/health/live"), 200);
    let mut connection = Connection::to(&format!("http://127.0.0.1:{port}"));
    connection.get("/health/live");
    assert_eq!(connection.status(), 200);
    running.signal("TERM");
    let (exit, output) = running.wait_for_exit();
    assert!(exit.success(), "{output}");
    assert!(socket.exists(), "systemd still listens there");
}

#[test]
fn sockets_of_another_process_are_ignored() {
    for variables in [
        "LISTEN_PID=1 LISTEN_FDS=1",
        "LISTEN_FDS=1",
        "LISTEN_PID=$$",
        "LISTEN_PID=$$ LISTEN_FDS=",
        "LISTEN_PID= LISTEN_FDS=1",
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let (listener, port) = tcp();
        let mut running = Running::watch(&mut activated(folder.path(), listener.into(), None, variables));
        let url = running.url_after("listening on");
        assert!(!url.ends_with(&format!(":{port}")), "{variables}: {url}");
    }
}

#[test]
fn invalid_variables_are_errors() {
    for (variables, expected) in [
        ("LISTEN_PID=$$ LISTEN_FDS=0", "LISTEN_FDS is not a number of sockets"),
        ("LISTEN_PID=$$ LISTEN_FDS=17", "LISTEN_FDS is not a number of sockets"),
        ("LISTEN_PID=$$ LISTEN_FDS=-1", "LISTEN_FDS is not a number of sockets"),
        (
            "LISTEN_PID=$$ LISTEN_FDS=99999999999999999999",
            "LISTEN_FDS is not a number of sockets",
        ),
        ("LISTEN_PID=$$ LISTEN_FDS=two", "LISTEN_FDS is not a number of sockets"),
        ("LISTEN_PID=self LISTEN_FDS=1", "LISTEN_PID is not a process ID"),
        ("LISTEN_PID=$$ LISTEN_FDS=3", "socket 2 from systemd cannot be used"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let (listener, _) = tcp();
        let running = Running::watch(&mut activated(folder.path(), listener.into(), None, variables));
        let (exit, output) = running.wait_for_exit();
        assert_eq!(exit.code(), Some(1), "{variables}: {output}");
        assert!(output.contains(expected), "{variables}: {output}");
    }
}

#[test]
fn a_descriptor_that_is_not_a_listening_stream_socket_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("file"), "").expect("a file");
    let file = File::open(folder.path().join("file")).expect("a file");
    let datagrams = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    let (listener, port) = tcp();
    let connected = TcpStream::connect(("127.0.0.1", port)).expect("connected");
    let _accepted = listener.accept().expect("accepted");
    for (descriptor, expected, hint) in [
        (
            OwnedFd::from(file),
            "socket 1 from systemd cannot be used",
            "ListenStream=",
        ),
        (
            datagrams.into(),
            "socket 1 from systemd cannot be used",
            "ListenStream=",
        ),
        (connected.into(), "socket 1 from systemd does not listen", "Accept=no"),
    ] {
        let running = Running::watch(&mut activated(
            folder.path(),
            descriptor,
            None,
            "LISTEN_PID=$$ LISTEN_FDS=1",
        ));
        let (exit, output) = running.wait_for_exit();
        assert_eq!(exit.code(), Some(1), "{output}");
        assert!(output.contains(expected) && output.contains(hint), "{output}");
    }
}
