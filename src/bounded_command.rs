//! Runs another program within a time limit, without a shell and without input. Its output may be a secret: nothing of it is
//! logged here, and it is wiped from memory.

use std::{
    io::{self, Read},
    os::unix::process::CommandExt as _,
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use zeroize::Zeroizing;

const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// Longest part of a message that is repeated, in characters.
const MAX_MESSAGE_CHARS: usize = 300;

/// What a program has written, and how it ended.
pub(crate) struct Output {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Zeroizing<Vec<u8>>,
    stderr: Zeroizing<Vec<u8>>,
}

impl Output {
    /// The first line that the program wrote to stderr, shortened, without control characters. `None` if there is none.
    pub(crate) fn message(&self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.stderr);
        let line = text.lines().find(|line| !line.trim().is_empty())?;
        let plain = line.trim().chars().map(|c| if c.is_control() { ' ' } else { c });
        Some(plain.take(MAX_MESSAGE_CHARS).collect())
    }
}

/// Runs the program until it exits and its pipes are closed. After `timeout`, kills it and the processes that it has started.
/// Of stdout and stderr, `max_bytes` each are kept, and the rest is not read.
///
/// # Errors
/// When the program cannot be started, or [`io::ErrorKind::TimedOut`].
pub(crate) fn run(command: &mut Command, timeout: Duration, max_bytes: u64) -> io::Result<Output> {
    let deadline = Instant::now() + timeout;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A separate process group, so that its children can be killed with it.
        .process_group(0)
        .spawn()?;
    let (stdout, stderr) = (
        read_in_background(child.stdout.take(), max_bytes),
        read_in_background(child.stderr.take(), max_bytes),
    );
    // Until `wait` below, the exited program keeps its number, so that no other process group can get it.
    let outcome = wait_for_exit(&child, deadline).and_then(|()| {
        let left = || deadline.saturating_duration_since(Instant::now());
        let late = |_| io::Error::from(io::ErrorKind::TimedOut);
        Ok((
            stdout.recv_timeout(left()).map_err(late)?,
            stderr.recv_timeout(left()).map_err(late)?,
        ))
    });
    if outcome.is_err()
        && let Some(group) = pid(&child)
    {
        // Its processes may have exited by now.
        let _ = kill_process_group(group, Signal::KILL);
    }
    let status = child.wait()?;
    let (stdout, stderr) = outcome?;
    Ok(Output { status, stdout, stderr })
}

fn pid(child: &Child) -> Option<Pid> {
    i32::try_from(child.id()).ok().and_then(Pid::from_raw)
}

/// Reads on a thread: the program would block on a full pipe, and a process that it started may keep the pipe open after it
/// exits.
fn read_in_background(pipe: Option<impl Read + Send + 'static>, max_bytes: u64) -> mpsc::Receiver<Zeroizing<Vec<u8>>> {
    let (send, received) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Zeroizing::new(Vec::new());
        if let Some(mut pipe) = pipe {
            // After a read error, the bytes read so far are used.
            let _ = pipe.by_ref().take(max_bytes).read_to_end(&mut bytes);
        }
        // After the timeout, the receiver is gone.
        let _ = send.send(bytes);
    });
    received
}

/// Leaves the exit status for `Child::wait`.
fn wait_for_exit(child: &Child, deadline: Instant) -> io::Result<()> {
    let id = pid(child).ok_or(io::ErrorKind::InvalidInput)?;
    let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
    while waitid(WaitId::Pid(id), options)?.is_none() {
        if Instant::now() >= deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        thread::sleep(POLL_INTERVAL);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_BYTES: u64 = 1000;

    fn shell(script: &str, timeout: Duration) -> io::Result<Output> {
        run(Command::new("sh").args(["-c", script]), timeout, MAX_BYTES)
    }

    #[test]
    fn a_program_that_does_not_exit_is_killed_together_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pid");
        // The child keeps the pipe open, but the program itself exits.
        let script = format!("sleep 600 & echo $! > {}", path.display());
        let outcome = shell(&script, Duration::from_secs(2));
        assert_eq!(outcome.err().unwrap().kind(), io::ErrorKind::TimedOut);
        let pid: i32 = std::fs::read_to_string(&path).unwrap().trim().parse().unwrap();
        let deadline = Instant::now() + Duration::from_secs(30);
        let state = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // Gone, or a zombie that its new parent has not yet collected.
        while !(state().is_empty() || state().contains(") Z ")) {
            assert!(Instant::now() < deadline, "the child still runs: {}", state());
            thread::sleep(POLL_INTERVAL);
        }
        let outcome = run(Command::new("sleep").arg("600"), Duration::from_millis(50), MAX_BYTES);
        assert_eq!(outcome.err().unwrap().kind(), io::ErrorKind::TimedOut);
    }

    #[test]
    fn output_and_status_are_returned() {
        let output = shell(
            "echo out; printf '\\n\\033[2Jerr\\nmore' >&2; exit 3",
            Duration::from_mins(1),
        )
        .unwrap();
        assert_eq!((output.status.code(), &output.stdout[..]), (Some(3), &b"out\n"[..]));
        assert_eq!(output.message().as_deref(), Some(" [2Jerr"));
        assert_eq!(shell("true", Duration::from_mins(1)).unwrap().message(), None);
    }

    #[test]
    fn a_program_that_never_stops_writing_is_cut_off() {
        let outcome = shell("yes; exit 0", Duration::from_secs(5));
        let length = outcome.map_or(0, |output| output.stdout.len());
        assert!(u64::try_from(length).unwrap() <= MAX_BYTES, "{length}");
    }
}
