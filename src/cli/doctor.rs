//! `blogctl doctor`: checks whether a site and an API with these settings work, without a user and without changing anything; and
//! explains why the API accepts or rejects an access token.

mod addresses;
mod api;
mod assertion;
mod certificate;
mod cookie_key;
mod credentials;
mod database;
mod entra;
mod finding;
mod parallel;
mod production;
mod report;
mod run_checks;
mod sessions;
mod settings_errors;
mod tls;
mod token;

use std::{
    path::PathBuf,
    process::ExitCode,
    sync::{Arc, OnceLock},
    time::Duration,
};

use clap::{Args, ValueEnum};

use self::{credentials::Entry, run_checks::run_checks};
pub use self::{
    finding::{Check, CheckResult, Finding, Status},
    report::{lines, safe},
};
use super::{logging, settings::SettingsArguments};
use crate::config::{Entry as ConfigEntry, Loaded, Origin, Role, Settings};

/// Find out what is wrong, and what to do about it
///
/// Checks settings, clock, Entra ID and its signing keys, the site's credentials, addresses, cookie key, sessions, API and
/// database. Requests a token for the application itself from Entra ID, to see whether it accepts each credential. Needs no
/// user, and changes nothing except one record in Redis, which it deletes. With --token, explains claim by claim why the API
/// accepts or rejects an access token.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Exit codes: 0 no check failed (there may be warnings); 1 a check failed, or the token is rejected; 2 invalid arguments.

Examples:
  blogctl doctor
  blogctl doctor --role api --json
  blogctl doctor --production           before you let users in, and after each change
  blogctl doctor --token token.txt
  pbpaste | blogctl doctor --token -    keeps the token out of files and the shell's history")]
pub struct Arguments {
    /// Role to check [default: the roles whose settings are set, or both]
    #[arg(long, value_enum)]
    role: Option<RoleName>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Check the lines of the production checklist, too: docs/production-checklist.md
    #[arg(long, conflicts_with = "token")]
    production: bool,
    /// Timeout of one request; a check may send two
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=120))]
    timeout: u64,
    /// Explain this access token instead; - reads it from standard input
    #[arg(long, value_name = "FILE", conflicts_with = "role")]
    token: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RoleName {
    /// serve-api
    Api,
    /// serve-client
    Client,
}

/// What the checks inspect.
pub struct DoctorContext {
    settings: Settings,
    client: bool,
    api: bool,
    timeout: Duration,
    /// The settings one by one, with their origins.
    entries: Vec<ConfigEntry>,
    /// The entries of `client.credential`, loaded once for all checks.
    credentials: OnceLock<Result<Vec<Entry>, String>>,
}

impl DoctorContext {
    fn credentials(&self) -> &Result<Vec<Entry>, String> {
        self.credentials.get_or_init(|| credentials::load(self))
    }
}

/// Runs the checks, and prints the findings.
///
/// # Errors
/// If the token cannot be read, or stdout cannot be written.
pub fn run(arguments: &Arguments, settings: &SettingsArguments) -> anyhow::Result<ExitCode> {
    let timeout = Duration::from_secs(arguments.timeout);
    let sources = settings.sources(Vec::new());
    if let Some(file) = &arguments.token {
        let (loaded, errors) = Settings::load_leniently(&sources, Role::Api);
        start_logging(&loaded);
        return token::run(file, &limited(loaded.settings, timeout), errors, arguments.json);
    }
    let (loaded, mut errors) = Settings::load_leniently(&sources, Role::Any);
    start_logging(&loaded);
    let (client, api) = match arguments.role {
        Some(role) => (role == RoleName::Client, role == RoleName::Api),
        None => roles_of(&loaded),
    };
    for role in [(client, Role::Client), (api, Role::Api)]
        .into_iter()
        .filter_map(|(is, role)| is.then_some(role))
    {
        for error in Settings::load_leniently(&sources, role).1 {
            if !errors.contains(&error) {
                errors.push(error);
            }
        }
    }
    let given = loaded
        .entries
        .iter()
        .filter(|entry| entry.origin != Origin::Default)
        .count();
    let (first, failed) = settings_errors::findings(&errors, &loaded.warnings, given);
    let context = Arc::new(DoctorContext {
        settings: limited(loaded.settings, timeout),
        entries: loaded.entries,
        client,
        api,
        timeout,
        credentials: OnceLock::new(),
    });
    let mut findings = first;
    let mut checks = checks(&context);
    if arguments.production {
        checks.extend(production::checks(&context));
    }
    findings.extend(run_checks(&context, &failed, checks));
    report::findings(&findings, &context, arguments.json)?;
    let worst = findings.iter().map(|finding| finding.status).max();
    Ok(if worst == Some(Status::Failed) {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// The checks in the order of the report.
fn checks(context: &DoctorContext) -> Vec<Check> {
    let mut checks = vec![entra::clock(), entra::discovery(), entra::signing_keys()];
    if context.client {
        checks.extend([
            certificate::check(),
            assertion::check(),
            addresses::check(),
            cookie_key::check(),
        ]);
        checks.push(sessions::check());
    }
    checks.extend(tls::check(context));
    checks.push(api::check());
    if context.api {
        checks.push(database::check());
    }
    checks
}

/// Limits the timeouts of requests, and turns off the cache file of signing keys: the service could not read one that root has
/// written.
fn limited(mut settings: Settings, timeout: Duration) -> Settings {
    settings.entra.timeout = settings.entra.timeout.min(timeout);
    settings.client.api_timeout = settings.client.api_timeout.min(timeout);
    settings.redis.timeout = settings.redis.timeout.min(timeout);
    settings.entra.keys_cache_file = None;
    settings
}

/// The roles (site, API) for which a setting is given that only this role reads. If there is none, both.
fn roles_of(loaded: &Loaded) -> (bool, bool) {
    let is_given = |names: &[&str]| {
        loaded
            .entries
            .iter()
            .any(|entry| entry.origin != Origin::Default && names.contains(&entry.name))
    };
    let client = is_given(&[
        "client.client_id",
        "client.cert_path",
        "client.cert_base64",
        "client.credential",
        "client.api_scope",
        "client.cookie_key",
        "client.cookie_key_file",
        "client.public_url",
        "client.redirect_uri",
    ]);
    let api = is_given(&["api.app_id_uri", "api.client_id"]);
    if client || api { (client, api) } else { (true, true) }
}

/// Starts logging, but with the level `off` by default, because the findings are in the report.
fn start_logging(loaded: &Loaded) {
    let is_default = loaded
        .entries
        .iter()
        .any(|entry| entry.name == "log.level" && entry.origin == Origin::Default);
    let mut settings = loaded.settings.log.clone();
    if is_default {
        "off".clone_into(&mut settings.level);
    }
    logging::start(&settings);
}
