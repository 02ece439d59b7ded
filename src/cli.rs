//! The command line, with one file per subcommand. No other module prints to stdout.

mod arguments;
mod audit;
mod cert;
mod completions;
mod config;
mod confirm;
mod db;
mod dev;
mod doctor;
mod entra;
mod error_report;
mod health;
mod logging;
mod man;
mod migrate;
mod openapi;
mod seed;
mod serve_api;
mod serve_client;
mod serve_idp;
mod serving;
mod settings;
mod token;
mod version;
mod wrap;

use std::{env, ffi::OsString, process::ExitCode};

use clap::{Parser, Subcommand};

use error_report::Form;
use settings::SettingsArguments;

use crate::config::Role;

/// A blog whose web site signs users in with Microsoft Entra ID and authenticates with an X.509 certificate, never with a
/// shared secret, and whose API accepts only valid access tokens.
///
/// To try it on this machine without a tenant: blogctl dev
#[derive(Debug, Parser)]
#[command(
    name = "blogctl",
    version,
    long_version = version::LONG.as_str(),
    max_term_width = 110,
    arg_required_else_help = true,
    after_long_help = "\
Settings come from defaults, blog.toml, .env, the environment (BLOG_SECTION__KEY) and flags; each of these takes \
precedence over those before it. \"blogctl config\" shows them.

Exit codes: 0 success, 1 failure, 2 invalid arguments or settings. Results go to stdout, logs to stderr. With --json, an
error is an object on stdout: {\"error\": {\"message\", \"hint\", \"exit_code\"}}.

Examples:
  blogctl dev                      everything on this machine, without any setup
  blogctl doctor                   find out what is wrong, and what to do about it
  blogctl config                   the settings in force, and where each comes from
  blogctl serve-api --port 8000    only the API
  BLOG_LOG__LEVEL=debug blogctl serve-client
"
)]
struct Arguments {
    #[command(flatten)]
    settings: SettingsArguments,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Dev(dev::Arguments),
    ServeApi(serve_api::Arguments),
    ServeClient(serve_client::Arguments),
    ServeIdp(serve_idp::Arguments),
    Token(token::Arguments),
    Seed(seed::Arguments),
    Migrate(migrate::Arguments),
    Db(db::DbCommand),
    Cert(cert::CertCommand),
    Doctor(doctor::Arguments),
    Health(health::Arguments),
    Audit(audit::AuditCommand),
    Entra(entra::EntraCommand),
    Openapi(openapi::Arguments),
    Config(config::Arguments),
    Completions(completions::Arguments),
    #[command(hide = true)]
    Man(man::Arguments),
}

/// Parses the arguments of the process and runs the command.
///
/// Exit codes: 0 success, 1 failure, 2 invalid arguments or settings.
pub fn main() -> ExitCode {
    let given: Vec<OsString> = env::args_os().collect();
    let form = if arguments::want_json(&given) {
        Form::Json
    } else {
        Form::Text
    };
    if let Err(error) = arguments::check(&given) {
        return error_report::report(&error, form);
    }
    let arguments = match Arguments::try_parse_from(&given) {
        Ok(arguments) => arguments,
        // clap also returns help and version as "errors", with exit code 0.
        Err(mut error) => {
            arguments::hide_secrets(&mut error);
            if form == Form::Json && error.use_stderr() {
                return error_report::report(&error_report::from_clap(&error), form);
            }
            let code = u8::try_from(error.exit_code()).unwrap_or(error_report::WRONG_USAGE);
            // A closed pipe, as in `blogctl --help | head -1`, is not a failure.
            return error.print().map_or(ExitCode::SUCCESS, |()| ExitCode::from(code));
        }
    };
    let outcome = run(arguments);
    logging::finish();
    match outcome {
        Ok(code) => code,
        Err(error) => error_report::report(&error, form),
    }
}

fn run(Arguments { settings, command }: Arguments) -> anyhow::Result<ExitCode> {
    let settings = &settings;
    match command {
        Command::Dev(arguments) => dev::run(&arguments, settings)?,
        Command::ServeApi(arguments) => serve_api::run(&arguments, settings)?,
        Command::ServeClient(arguments) => serve_client::run(&arguments, settings)?,
        Command::ServeIdp(arguments) => serve_idp::run(&arguments, settings)?,
        Command::Token(arguments) => token::run(&arguments, settings)?,
        Command::Seed(arguments) => seed::run(&arguments, settings)?,
        Command::Migrate(arguments) => migrate::run(&arguments, settings)?,
        Command::Db(command) => return db::run(&command, settings),
        Command::Cert(command) => return cert::run(command, || Ok(settings.load(Role::Any, Vec::new())?)),
        Command::Doctor(arguments) => return doctor::run(&arguments, settings),
        Command::Health(arguments) => return health::run(&arguments, settings),
        Command::Audit(command) => return audit::run(&command),
        Command::Entra(command) => return entra::run(&command, settings),
        Command::Openapi(_) => openapi::run(settings)?,
        Command::Config(arguments) => config::run(&arguments, settings)?,
        Command::Completions(arguments) => completions::run(&arguments)?,
        Command::Man(arguments) => man::run(&arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}
