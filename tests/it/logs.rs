//! The log of a server that runs as a separate process.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStderr, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use blogctl::config::DEV_TENANT_ID;
use serde_json::Value;

use crate::support::{
    binary::{Running, blogctl},
    dev::Dev,
    idp::agent,
    web::{ALICE, Browser},
};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// Longest wait for anything; only a failing test reaches it.
const DEADLINE: Duration = Duration::from_mins(1);

fn serve_api(format: &str) -> (Running, String, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut running = Running::start(&mut serve_api_in(folder.path(), format));
    let url = running.url_after("listening on");
    // In JSON, a quotation mark follows.
    let url = url.split('"').next().expect("a URL").trim_end_matches('/').to_owned();
    (running, url, folder)
}

fn serve_api_in(folder: &std::path::Path, format: &str) -> Command {
    let mut command = blogctl(folder);
    command.args(["serve-api", "--port", "0", "--set", &format!("log.format={format}")]);
    for setting in [
        &format!("entra.tenant_id={DEV_TENANT_ID}"),
        "entra.authority_host=http://localhost:1",
        "api.app_id_uri=api://00000000-0000-4000-8000-000000000001",
    ] {
        command.args(["--set", setting]);
    }
    command
}

/// A server whose log only the test reads, when it wants to.
struct Unread {
    child: Child,
    log: Option<BufReader<ChildStderr>>,
    url: String,
    _folder: tempfile::TempDir,
}

impl Unread {
    /// Reads only up to the line with the address.
    fn start(format: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = serve_api_in(folder.path(), format);
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        let mut log = BufReader::new(child.stderr.take().expect("piped"));
        let mut line = String::new();
        while !line.contains("listening on") {
            line.clear();
            assert!(log.read_line(&mut line).expect("a log") > 0, "it ended");
        }
        let (_, url) = line.split_once("http").expect("a URL");
        let url = url
            .split(|c: char| c.is_whitespace() || c == '"')
            .next()
            .expect("a URL");
        Self {
            child,
            log: Some(log),
            url: format!("http{}", url.trim_end_matches('/')),
            _folder: folder,
        }
    }

    /// Sends requests until the log exceeds the pipe and the queue.
    fn overflow(&self) {
        let long = "x".repeat(1500);
        for n in 0..1500 {
            assert_eq!(ask(&self.url, &format!("/{n}/{long}"), false), 404);
        }
    }

    /// Stops the server; its log stays unread.
    fn stopped(&mut self) -> ExitStatus {
        let pid = self.child.id().to_string();
        assert!(
            Command::new("kill")
                .args(["-s", "TERM", &pid])
                .status()
                .expect("kill runs")
                .success()
        );
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child") {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "a reader that is stuck keeps it from stopping"
            );
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ask(url: &str, path: &str, traced: bool) -> u16 {
    let mut request = agent()
        .get(format!("{url}{path}"))
        .header("X-Request-ID", "the-request");
    if traced {
        request = request.header("traceparent", format!("00-{TRACE}-b7ad6b7169203331-01"));
    }
    request.call().expect("an answer").status().as_u16()
}

#[test]
fn each_line_of_a_request_has_its_id_and_trace() {
    let (running, url, _folder) = serve_api("json");
    for n in 0..200 {
        assert_eq!(ask(&url, &format!("/nothing/{n}?secret=hunter2"), true), 404);
    }
    // The last lines of a stopping process are not lost.
    running.signal("TERM");
    let (status, log) = running.wait_for_exit();
    assert!(status.success());
    assert!(!log.contains("hunter2"), "no query is logged");
    let lines: Vec<Value> = log.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let of_requests: Vec<&Value> = lines
        .iter()
        .filter(|line| line["attributes"]["request_id"] == "the-request")
        .collect();
    assert_eq!(of_requests.len(), 400, "rejection and access line for each");
    assert!(
        of_requests.iter().all(|line| line["trace_id"] == TRACE),
        "{:?}",
        of_requests.first()
    );
    assert_eq!(lines.last().expect("a line")["body"], "stopped");
}

#[test]
fn a_request_without_a_trace_has_none_in_its_lines() {
    let (running, url, _folder) = serve_api("text");
    assert_eq!(ask(&url, "/nothing%0Atrace_id=forged", false), 404);
    running.signal("TERM");
    let (_, log) = running.wait_for_exit();
    let own: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("request_id=the-request"))
        .collect();
    assert_eq!(own.len(), 2, "{log}");
    assert!(own.iter().all(|line| !line.contains(" trace_id=")), "{own:?}");
}

#[test]
fn no_log_line_contains_a_secret_at_any_level() {
    let folder = tempfile::tempdir().expect("a folder");
    let arguments = [
        "--set",
        "log.level=trace,ureq_proto::util=trace",
        "--set",
        "idp.access_token_seconds=1",
        "--credential",
        "key-vault",
    ];
    let mut dev = Dev::start_in(folder.path(), &[&arguments[..], &["--vault-port", "0"]].concat());
    let browser = Browser::new();
    let picker = browser.get(&dev.site("/login?next=%2Fposts"));
    let page = browser.pick(&picker, ALICE);
    assert_eq!(page.status, 200, "{}", page.body);
    assert_eq!(browser.get(&dev.site("/profile")).status, 200, "with a refresh");
    let mut secrets = vec!["eyJ".to_owned(), "BEGIN".to_owned()];
    for url in page.visited.iter().chain(&picker.visited) {
        let pairs = url
            .query_pairs()
            .filter(|(name, _)| ["code", "state", "nonce"].contains(&name.as_ref()));
        secrets.extend(pairs.map(|(_, value)| value.into_owned()));
    }
    assert!(secrets.len() >= 5, "{secrets:?}");
    secrets.push(browser.cookie("blogctl").expect("a session"));
    let key = std::fs::read_to_string(folder.path().join(".blogctl/cookie.key")).expect("a key");
    secrets.push(key.trim().to_owned());
    dev.running.wait_for("Ctrl-C");
    dev.running.signal("INT");
    let (_, log) = dev.running.wait_for_exit();
    assert!(
        log.contains("/callback") && log.contains("TRACE"),
        "it was logged at all"
    );
    for secret in secrets {
        let line = log.lines().find(|line| line.contains(&secret));
        assert_eq!(line, None, "{secret}");
    }
}

#[test]
fn a_server_answers_and_stops_although_its_log_is_not_read() {
    let mut server = Unread::start("text");
    server.overflow();
    assert_eq!(ask(&server.url, "/health/live", false), 200);
    assert!(server.stopped().success());
}

#[test]
fn one_line_says_how_many_log_lines_were_lost() {
    let mut server = Unread::start("json");
    server.overflow();
    let log = server.log.take().expect("not read yet");
    let (send, lines) = mpsc::channel();
    thread::spawn(move || log.lines().map_while(Result::ok).try_for_each(|line| send.send(line)));
    let mut reported = Vec::new();
    let deadline = Instant::now() + DEADLINE;
    // Lines that arrive while the queue is still full are lost, too.
    'asking: loop {
        assert!(Instant::now() < deadline, "it logs again");
        assert_eq!(ask(&server.url, "/marker", false), 404);
        while let Ok(line) = lines.recv_timeout(Duration::from_millis(100)) {
            if line.contains("/marker") {
                break 'asking;
            }
            let line: Value = serde_json::from_str(&line).expect("every line is whole");
            reported.extend(
                line["attributes"]["lost_lines"]
                    .as_u64()
                    .map(|lost| (lost, line["body"].clone())),
            );
        }
    }
    assert_eq!(reported.len(), 1, "{reported:?}");
    let (lost, message) = &reported[0];
    assert!(
        *lost > 0 && message.as_str().expect("text").contains(" lost: "),
        "{reported:?}"
    );
}

#[test]
fn a_closed_log_pipe_stops_nothing() {
    let mut server = Unread::start("text");
    drop(server.log.take());
    for _ in 0..100 {
        assert_eq!(ask(&server.url, "/nothing", false), 404);
    }
    assert!(server.stopped().success());
}

#[test]
fn a_failing_command_ends_although_its_output_is_not_read() {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    // The pipe is full before the command starts.
    let mut fill = std::fs::File::from(std::os::fd::OwnedFd::from(writer.try_clone().expect("another handle")));
    let filler = thread::spawn(move || while fill.write_all(&[b'x'; 4096]).is_ok() {});
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = blogctl(folder.path());
    command
        .args(["config", "--set", "client.port=none"])
        .stdout(Stdio::null())
        .stderr(writer);
    let status = command.spawn().expect("it starts").wait().expect("it ends");
    assert_eq!(status.code(), Some(2));
    drop((command, reader));
    filler.join().expect("it ends with the reader");
}

#[test]
fn the_web_framework_logs_nothing_by_default() {
    for (level, is_told) in [("info", false), ("info,actix_server=info", true), ("debug", true)] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut command = serve_api_in(folder.path(), "text");
        let mut running = Running::start(command.args(["--set", &format!("log.level={level}")]));
        running.wait_for("listening on");
        running.signal("TERM");
        let (status, log) = running.wait_for_exit();
        assert!(status.success());
        assert_eq!(log.contains("actix_server"), is_told, "{level}:\n{log}");
    }
}
