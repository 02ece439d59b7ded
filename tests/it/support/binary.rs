//! The real binary as a separate process: run to its end, or started, watched and stopped.
//!
//! ```ignore
//! let output = CommandOutput::run(folder.path(), &["config", "--json"]);
//! assert_eq!(output.code, Some(0), "{output:?}");
//!
//! let mut api = Running::start(blogctl(folder.path()).args(["serve-api", "--port", "0"]));
//! let url = api.url_after("listening on");
//! ```

use std::{
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, ExitStatus, Output, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

/// Longest wait for anything. Only a failing test reaches it.
const DEADLINE: Duration = Duration::from_mins(1);

/// `blogctl` in `folder`, with an environment that holds no settings of this process.
pub fn blogctl(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_blogctl"));
    command.current_dir(folder).env_clear().stdin(Stdio::null());
    for kept in ["PATH", "HOME", "TMPDIR", "LLVM_PROFILE_FILE"] {
        if let Some(value) = std::env::var_os(kept) {
            command.env(kept, value);
        }
    }
    command
}

/// Exit code and output of a process that has ended.
#[derive(Debug)]
pub struct CommandOutput {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl CommandOutput {
    /// Runs `blogctl arguments…` in `folder` to its end.
    pub fn run(folder: &Path, arguments: &[&str]) -> Self {
        Self::from_command(blogctl(folder).args(arguments))
    }

    pub fn from_command(command: &mut Command) -> Self {
        let Output { status, stdout, stderr } = command.output().expect("it runs");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        Self {
            code: status.code(),
            stdout: text(stdout),
            stderr: text(stderr),
        }
    }
}

/// A running process, killed when dropped.
pub struct Running {
    child: Child,
    lines: Receiver<String>,
    seen: Vec<String>,
}

impl Running {
    pub fn start(command: &mut Command) -> Self {
        Self::watch(command.stdout(Stdio::piped()).stderr(Stdio::piped()))
    }

    /// Starts it, and reads those of its outputs that are pipes.
    pub fn watch(command: &mut Command) -> Self {
        let mut child = command.spawn().expect("it starts");
        let (send, lines) = mpsc::channel();
        let stdout = child
            .stdout
            .take()
            .map(|output| Box::new(output) as Box<dyn Read + Send>);
        let stderr = child
            .stderr
            .take()
            .map(|output| Box::new(output) as Box<dyn Read + Send>);
        for output in [stdout, stderr].into_iter().flatten() {
            let send = send.clone();
            thread::spawn(move || {
                for line in BufReader::new(output).lines().map_while(Result::ok) {
                    // The receiver is gone when the test has ended.
                    let _ = send.send(line);
                }
            });
        }
        Self {
            child,
            lines,
            seen: Vec::new(),
        }
    }

    /// Waits for a line that contains `text`, and returns the line.
    pub fn wait_for(&mut self, text: &str) -> String {
        let deadline = Instant::now() + DEADLINE;
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(line) = self.lines.recv_timeout(left) else {
                panic!("no line with {text:?} in\n{}", self.seen.join("\n"));
            };
            self.seen.push(line.clone());
            if line.contains(text) {
                return line;
            }
        }
    }

    /// Waits for a line that contains `text`, and returns the URL after it.
    pub fn url_after(&mut self, text: &str) -> String {
        let line = self.wait_for(text);
        let (_, url) = line.split_once("http").expect("a URL");
        format!("http{}", url.split_whitespace().next().unwrap_or_default())
    }

    /// Sends a signal, such as `INT`.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("sh")
            .args(["-c", "kill -s \"$0\" \"$1\"", name, &pid])
            .status()
            .expect("sh runs");
        assert!(sent.success(), "signal {name} was not sent");
    }

    /// The id of the process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory in KiB (Linux).
    pub fn resident_kib(&self) -> u64 {
        self.status("VmRSS:")
    }

    /// Number of open sockets (Linux).
    pub fn sockets(&self) -> usize {
        let descriptors = std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("it runs");
        let targets = descriptors.filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok());
        targets
            .filter(|target| target.to_string_lossy().starts_with("socket:"))
            .count()
    }

    /// Peak of resident memory in KiB (Linux).
    pub fn peak_kib(&self) -> u64 {
        self.status("VmHWM:")
    }

    fn status(&self, name: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .expect("a line about memory");
        line.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// Waits until the process exits; returns its status and all its output.
    pub fn wait_for_exit(mut self) -> (ExitStatus, String) {
        let deadline = Instant::now() + DEADLINE;
        while let Ok(line) = self
            .lines
            .recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {
            self.seen.push(line);
        }
        // Both outputs are closed, or the deadline has passed and the process is killed.
        if Instant::now() >= deadline {
            let _ = self.child.kill();
        }
        (self.child.wait().expect("it has ended"), self.seen.join("\n"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
