//! Tokens of the developer who ran `az login`: for laptops, never for servers.

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
use crate::azure::{retry::printable, token_cache::Token};

/// It starts a Python program, which takes a second or two, and may wait for the network or for ever.
const LONGEST: Duration = Duration::from_secs(15);
const LOOK: Duration = Duration::from_millis(20);
/// For answers that name no end.
const UNKNOWN_LIFETIME_SECONDS: i64 = 5 * 60;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TokenAnswer {
    access_token: SecretString,
    /// Seconds since 1970; since Azure CLI 2.54.
    #[serde(rename = "expires_on")]
    until: Option<i64>,
    /// Local time, in older ones.
    expires_on: Option<String>,
}

/// A token for `resource`, of `tenant` where it is known whose it must be.
pub(super) fn token(resource: &str, tenant: Option<&str>) -> Result<Token, AzureError> {
    let wrong = |reason: &str| AzureError::Cli {
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
    let (status, stdout, stderr) = run(&mut command, LONGEST).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => wrong("there is no program az"),
        io::ErrorKind::TimedOut => wrong("it has not ended within 15 seconds"),
        _ => wrong(&error.to_string()),
    })?;
    if !status.success() {
        let text = String::from_utf8_lossy(&stderr);
        let line = text
            .lines()
            .find(|line| !line.trim().is_empty())
            .unwrap_or("it failed without a word");
        return Err(wrong(&printable(line)));
    }
    parse(&stdout).ok_or_else(|| wrong("its answer is not a token in JSON"))
}

const MAX_OUTPUT_BYTES: u64 = 1024 * 1024;

type Ended = (ExitStatus, Zeroizing<Vec<u8>>, Zeroizing<Vec<u8>>);

/// Runs it to its end, or until `longest` is over.
fn run(command: &mut Command, longest: Duration) -> io::Result<Ended> {
    let end = Instant::now() + longest;
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (stdout, stderr) = (read(child.stdout.take()), read(child.stderr.take()));
    let outcome = status(&mut child, end).and_then(|status| {
        let left = || end.saturating_duration_since(Instant::now());
        let late = |_| io::Error::from(io::ErrorKind::TimedOut);
        Ok((
            status,
            stdout.recv_timeout(left()).map_err(late)?,
            stderr.recv_timeout(left()).map_err(late)?,
        ))
    });
    if outcome.is_err() {
        // It may have ended by now.
        let _ = child.kill();
        let _ = child.wait();
    }
    outcome
}

/// A pipe that is not read would stop it; what it has started may keep one open after its end.
fn read(pipe: Option<impl Read + Send + 'static>) -> mpsc::Receiver<Zeroizing<Vec<u8>>> {
    let (send, received) = mpsc::channel();
    thread::spawn(move || {
        let mut bytes = Zeroizing::new(Vec::new());
        if let Some(mut pipe) = pipe {
            // What was read until an error is what there is. A token is some 3 KB; a longer answer is cut off.
            let _ = pipe.by_ref().take(MAX_OUTPUT_BYTES).read_to_end(&mut bytes);
        }
        // Nobody listens any more when it took too long.
        let _ = send.send(bytes);
    });
    received
}

fn status(child: &mut Child, end: Instant) -> io::Result<ExitStatus> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(status);
        }
        if Instant::now() >= end {
            return Err(io::ErrorKind::TimedOut.into());
        }
        thread::sleep(LOOK);
    }
}

fn parse(json: &[u8]) -> Option<Token> {
    let TokenAnswer {
        access_token,
        until,
        expires_on,
    } = serde_json::from_slice(json).ok()?;
    let local = |text: String| {
        let time = NaiveDateTime::parse_from_str(&text, "%Y-%m-%d %H:%M:%S%.f").ok()?;
        Some(time.and_local_timezone(Local).earliest()?.timestamp())
    };
    let until = until
        .or_else(|| expires_on.and_then(local))
        .unwrap_or_else(|| Utc::now().timestamp() + UNKNOWN_LIFETIME_SECONDS);
    Token::until(access_token, until)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_does_not_end_is_ended() {
        let ended = run(Command::new("sleep").arg("600"), Duration::from_millis(50));
        assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::TimedOut);
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
        let ended = run(
            Command::new("sh").args(["-c", "yes; exit 0"]),
            Duration::from_millis(300),
        );
        let length = ended.map_or(0, |(_, stdout, _)| stdout.len());
        assert!(u64::try_from(length).unwrap() <= MAX_OUTPUT_BYTES, "{length}");
    }

    #[test]
    fn the_answers_of_old_and_new_versions_are_read() {
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
