//! Tokens from the Azure CLI, for the developer who ran `az login`. For laptops, never for servers.

use std::{
    io::{self, Read},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use chrono::{Local, NaiveDateTime, Utc};
use secrecy::SecretString;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::AzureError;
use crate::azure::{retry::sanitize, token_cache::Token};

/// `az` is a Python program: it needs a second or two to start, may wait for the network, and may hang.
const TIMEOUT: Duration = Duration::from_secs(15);
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// Assumed when the output names no expiry time.
const UNKNOWN_LIFETIME_SECONDS: i64 = 5 * 60;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TokenOutput {
    access_token: SecretString,
    /// Seconds since 1970. Azure CLI 2.54 and later.
    #[serde(rename = "expires_on")]
    expires_at: Option<i64>,
    /// Local time. Older versions have only this.
    expires_on: Option<String>,
}

/// A token for `resource`, from `tenant` if the required tenant is known.
pub(super) fn token(resource: &str, tenant: Option<&str>) -> Result<Token, AzureError> {
    let failed = |reason: &str| AzureError::Cli {
        reason: reason.to_owned(),
    };
    let mut command = Command::new("az");
    command.args([
        "account",
        "get-access-token",
        "--output",
        "json",
        "--resource",
        resource,
    ]);
    if let Some(tenant) = tenant {
        command.args(["--tenant", tenant]);
    }
    let (status, stdout, stderr) = run(&mut command, TIMEOUT).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => failed("the program az is not installed"),
        io::ErrorKind::TimedOut => failed("it did not finish within 15 seconds"),
        _ => failed(&error.to_string()),
    })?;
    if !status.success() {
        let text = String::from_utf8_lossy(&stderr);
        let line = text
            .lines()
            .find(|line| !line.trim().is_empty())
            .unwrap_or("it failed without a message");
        return Err(failed(&sanitize(line)));
    }
    parse(&stdout).ok_or_else(|| failed("its output is not a token in JSON"))
}

const MAX_OUTPUT_BYTES: u64 = 1024 * 1024;

/// Exit status, stdout and stderr.
type Output = (ExitStatus, Zeroizing<Vec<u8>>, Zeroizing<Vec<u8>>);

/// Runs the command until it exits; kills it after `timeout`.
fn run(command: &mut Command, timeout: Duration) -> io::Result<Output> {
    let deadline = Instant::now() + timeout;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (stdout, stderr) = (
        read_in_background(child.stdout.take()),
        read_in_background(child.stderr.take()),
    );
    let outcome = wait_for_exit(&mut child, deadline).and_then(|status| {
        let left = || deadline.saturating_duration_since(Instant::now());
        let late = |_| io::Error::from(io::ErrorKind::TimedOut);
        Ok((
            status,
            stdout.recv_timeout(left()).map_err(late)?,
            stderr.recv_timeout(left()).map_err(late)?,
        ))
    });
    if outcome.is_err() {
        // It may have exited by now.
        let _ = child.kill();
        let _ = child.wait();
    }
    outcome
}

/// Reads on a thread: the command would block on a full pipe, and a process that it started may keep the pipe open after it
/// exits.
fn read_in_background(pipe: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Zeroizing<Vec<u8>>> {
    let (send, received) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Zeroizing::new(Vec::new());
        if let Some(mut pipe) = pipe {
            // After a read error, the bytes read so far are used. A token has about 3 KB; longer output is cut off.
            let _ = pipe.by_ref().take(MAX_OUTPUT_BYTES).read_to_end(&mut bytes);
        }
        // After the timeout, the receiver is gone.
        let _ = send.send(bytes);
    });
    received
}

fn wait_for_exit(child: &mut Child, deadline: Instant) -> io::Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if Instant::now() >= deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        thread::sleep(POLL_INTERVAL);
    }
}

fn parse(json: &[u8]) -> Option<Token> {
    let TokenOutput {
        access_token,
        expires_at,
        expires_on,
    } = serde_json::from_slice(json).ok()?;
    let local = |text: String| {
        let time = NaiveDateTime::parse_from_str(&text, "%Y-%m-%d %H:%M:%S%.f").ok()?;
        Some(time.and_local_timezone(Local).earliest()?.timestamp())
    };
    let expires_at = expires_at
        .or_else(|| expires_on.and_then(local))
        .unwrap_or_else(|| Utc::now().timestamp() + UNKNOWN_LIFETIME_SECONDS);
    Token::new(access_token, expires_at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_does_not_exit_is_killed() {
        let outcome = run(Command::new("sleep").arg("600"), Duration::from_millis(50));
        assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::TimedOut);
        let (status, stdout, stderr) = run(
            Command::new("sh").args(["-c", "echo out; echo err >&2"]),
            Duration::from_mins(1),
        )
        .unwrap();
        assert_eq!(
            (status.success(), &stdout[..], &stderr[..]),
            (true, &b"out\n"[..], &b"err\n"[..])
        );
    }

    #[test]
    fn a_program_that_never_stops_writing_is_cut_off() {
        let outcome = run(
            Command::new("sh").args(["-c", "yes; exit 0"]),
            Duration::from_millis(300),
        );
        let length = outcome.map_or(0, |(_, stdout, _)| stdout.len());
        assert!(u64::try_from(length).unwrap() <= MAX_OUTPUT_BYTES, "{length}");
    }

    #[test]
    fn the_output_of_old_and_new_versions_is_read() {
        for good in [
            r#"{"accessToken":"t","expires_on":4102444800,"expiresOn":"2100-01-01 00:00:00.000000"}"#,
            r#"{"accessToken":"t","expiresOn":"2100-01-01 00:00:00.000000"}"#,
            r#"{"accessToken":"t"}"#,
        ] {
            assert!(parse(good.as_bytes()).is_some(), "{good}");
        }
        for bad in [
            r#"{"expires_on":4102444800}"#,
            r#"{"accessToken":"t","expires_on":1}"#,
            "",
            "az: error",
        ] {
            assert!(parse(bad.as_bytes()).is_none(), "{bad}");
        }
    }
}
