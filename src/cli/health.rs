//! `blogctl health`

use std::{
    io::{self, Write as _},
    process::ExitCode,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};

use super::settings::SettingsArguments;
use crate::{
    config::{ConfigError, ConfigErrorKind, Role, Settings},
    probe::{self, Target},
};

/// Ask the server on this machine whether it is alive, or ready
///
/// For health checks of containers and for scripts. Exit code 0 means healthy, 1 everything else; one line says why. Reads
/// the settings of the role, so that it finds the server's host, port, TLS and Unix socket. It uses no proxy and follows no
/// redirect. It does not check the certificate of HTTPS, because the connection does not leave this machine.
///
/// Without --role it checks each role whose required settings are set, and all of them must be healthy.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Flags of serve-api and serve-client such as --port are not known here; settings are, also with --set.

Examples:
  blogctl health                       each role that the settings configure
  blogctl health --role api --ready    can the API serve requests
  blogctl health --role client --set client.port=5050")]
pub struct Arguments {
    /// The server to ask; by default each one whose required settings are set
    #[arg(long, value_enum)]
    role: Option<ServedRole>,
    /// Ask whether it can serve requests (/health/ready), not only whether it responds (/health/live)
    #[arg(long)]
    ready: bool,
    /// Longest wait, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=60))]
    timeout: u64,
}

/// A role with a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum ServedRole {
    /// serve-api
    Api,
    /// serve-client
    Client,
}

impl ServedRole {
    const ALL: [Self; 2] = [Self::Api, Self::Client];

    fn name(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Client => "client",
        }
    }

    fn role(self) -> Role {
        match self {
            Self::Api => Role::Api,
            Self::Client => Role::Client,
        }
    }

    /// Whether an error concerns where the server is. Other settings may be invalid, or belong to files that only the server
    /// may read.
    fn is_about_address(self, error: &ConfigError) -> bool {
        let keys = ["host", "port", "socket_path"].map(|key| format!("{}.{key}", self.name()));
        error.kind == ConfigErrorKind::UnreadableFile
            || keys.contains(&error.setting)
            || error.setting.starts_with("server.tls.")
    }

    fn target(self, settings: &Settings) -> Result<Target, String> {
        let (host, port, socket) = match self {
            Self::Api => (&settings.api.host, settings.api.port, &settings.api.socket_path),
            Self::Client => (
                &settings.client.host,
                settings.client.port,
                &settings.client.socket_path,
            ),
        };
        if let Some(path) = socket {
            return Ok(Target::Unix(path.clone()));
        }
        if port == 0 {
            let name = self.name();
            return Err(format!(
                "{name}.port is 0, so that the server has another port at each start: pass its port with --set {name}.port=PORT"
            ));
        }
        Ok(Target::tcp(host, port, settings.server.tls.is_on()))
    }
}

/// Prints one line for each server. The exit code is 1 unless all of them are healthy.
///
/// # Errors
/// If stdout cannot be written.
pub fn run(arguments: &Arguments, settings: &SettingsArguments) -> anyhow::Result<ExitCode> {
    let timeout = Duration::from_secs(arguments.timeout);
    let roles = match arguments.role {
        Some(role) => vec![role],
        None => configured(settings),
    };
    let mut outcomes: Vec<Result<String, String>> = Vec::new();
    if roles.is_empty() {
        outcomes.push(Err(
            "the settings configure neither the API nor the site: name the server with --role api or --role client"
                .to_owned(),
        ));
    }
    let checks: Vec<_> = roles
        .into_iter()
        .map(|role| (role, Check::start(role, settings, arguments.ready, timeout)))
        .collect();
    for (role, check) in checks {
        let outcome = check.and_then(|check| check.finish(timeout));
        outcomes.push(match outcome {
            Ok(text) => Ok(format!("{}: {text}", role.name())),
            Err(text) => Err(format!("{}: {text}", role.name())),
        });
    }
    let mut stdout = io::stdout().lock();
    for outcome in &outcomes {
        let (Ok(line) | Err(line)) = outcome;
        writeln!(stdout, "{line}")?;
    }
    Ok(if outcomes.iter().all(Result::is_ok) {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The roles whose required settings are all set, even if some are invalid.
fn configured(settings: &SettingsArguments) -> Vec<ServedRole> {
    let is_configured = |role: &ServedRole| {
        let (_, errors) = Settings::load_leniently(&settings.sources(Vec::new()), role.role());
        !errors
            .iter()
            .any(|error| matches!(error.kind, ConfigErrorKind::Missing { .. }))
    };
    ServedRole::ALL.into_iter().filter(is_configured).collect()
}

/// A check on its own thread: a name that the system resolves slowly must not delay the result.
struct Check {
    result: mpsc::Receiver<Result<String, String>>,
    target: String,
}

impl Check {
    fn start(role: ServedRole, settings: &SettingsArguments, ready: bool, timeout: Duration) -> Result<Self, String> {
        let (loaded, errors) = Settings::load_leniently(&settings.sources(Vec::new()), role.role());
        if let Some(error) = errors.iter().find(|error| role.is_about_address(error)) {
            return Err(format!("cannot be checked: {}", one_line(&error.to_string())));
        }
        let target = role.target(&loaded.settings)?;
        let name = target.to_string();
        let (send, result) = mpsc::channel();
        thread::Builder::new()
            .spawn(move || {
                // The receiver is gone if this took too long.
                let _ = send.send(check(&target, ready, timeout));
            })
            .map_err(|error| error.to_string())?;
        Ok(Self { result, target: name })
    }

    fn finish(self, timeout: Duration) -> Result<String, String> {
        // The probe itself ends at `timeout`, unless the system is still resolving a name.
        let received = self.result.recv_timeout(timeout + Duration::from_millis(500));
        received.unwrap_or_else(|_| Err(format!("{} did not answer within {} s", self.target, timeout.as_secs())))
    }
}

fn check(target: &Target, ready: bool, timeout: Duration) -> Result<String, String> {
    let (path, word) = if ready {
        ("/health/ready", "ready")
    } else {
        ("/health/live", "alive")
    };
    let started = Instant::now();
    let response = probe::get(target, path, timeout).map_err(|error| error.to_string())?;
    let ms = started.elapsed().as_millis();
    match response.status {
        200 => Ok(format!("{word}, {target} answered in {ms} ms")),
        status => {
            let reason = response
                .unavailable()
                .map(|what| format!(": {what}"))
                .unwrap_or_default();
            Err(format!("not {word}{reason} ({target}: {status} for {path})"))
        }
    }
}

fn one_line(text: &str) -> String {
    text.lines().map(str::trim).collect::<Vec<_>>().join(" ")
}
