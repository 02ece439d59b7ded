//! `blogctl dev`: the whole system in one process, only on this machine, without any setup.
//!
//! The three servers talk HTTP as in three processes. All files are in one folder. The user's settings may name a real tenant, so
//! only harmless ones are used: see [`USED_SETTINGS`].

mod folder;
mod prepare;
mod print_env;
mod samples;
mod summary;
mod values;

use std::{future::Future, io, net::TcpListener, path::PathBuf, pin::Pin, time::Duration};

use actix_web::{dev::ServerHandle, rt};
use clap::{Args, ValueEnum};

use self::{
    folder::{Folder, FolderError},
    prepare::Prepared,
    values::{Plan, Ports, VAULT_CERTIFICATE},
};
use super::{
    error_report::{WithHint as _, WrongUsage},
    logging,
    settings::SettingsArguments,
};
use crate::{
    api,
    config::{ConfigErrorKind, ConfigErrors, Origin, Role, Settings},
    exposition::{Exposition, Socket},
    idp,
    serve::{self, ListenError, descriptors, shutdown},
    vault, web,
};

pub use self::folder::is_database;

/// The user's settings that `dev` uses. It sets all others itself.
const USED_SETTINGS: [&str; 8] = [
    "log.level",
    "metrics.enabled",
    "metrics.host",
    "metrics.port",
    "api.rate_limits",
    "api.require_app_roles",
    "idp.users",
    "idp.access_token_seconds",
];

/// Log level unless `log.level` is set: a line for each request would hide the summary.
const DEFAULT_LOG_LEVEL: &str = "warn";

const LOOPBACK: &str = "127.0.0.1";
const OTHER_FOLDER: &str = "name another folder with --data-dir FOLDER";

/// Run everything on this machine: web site, API and an Entra ID emulator
///
/// Needs no tenant and no settings. Creates a folder .blogctl with a key and a certificate, registers the certificate in the
/// emulator, and stores posts in SQLite. The next start uses them again. Listens only on this machine.
///
/// Of your own settings, it uses only log.level, metrics.enabled, metrics.host, metrics.port, api.rate_limits,
/// api.require_app_roles, idp.users and idp.access_token_seconds, so that a blog.toml for a real tenant has no effect here.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Examples:
  blogctl dev
  blogctl dev --client-port 5050    if another program uses port 5000
  blogctl dev --set log.level=info  log each request
  blogctl dev --set api.require_app_roles=true
                                    app roles decide who reads, writes and administers
  blogctl dev --credential key-vault
                                    the private key in a Key Vault emulator
  blogctl dev --fresh               start over: new posts, key and certificate

The same as three processes, each in its own terminal:
  set -a; eval \"$(blogctl dev --print-env)\"; set +a
  blogctl serve-idp
  blogctl serve-api
  blogctl serve-client")]
pub struct Arguments {
    /// Port of the Entra ID emulator; 0 picks a free one
    #[arg(long, value_name = "PORT", default_value_t = 9000)]
    idp_port: u16,
    /// Port of the API; 0 picks a free one
    #[arg(long, value_name = "PORT", default_value_t = 8000)]
    api_port: u16,
    /// Port of the web site; 0 picks a free one
    #[arg(long, value_name = "PORT", default_value_t = 5000)]
    client_port: u16,
    /// Port of the Key Vault emulator, with --credential key-vault; 0 picks a free one
    #[arg(long, value_name = "PORT", default_value_t = 9001)]
    vault_port: u16,
    /// Credential of the web site
    #[arg(long, value_enum, default_value_t = CredentialKind::File, conflicts_with = "print_env")]
    credential: CredentialKind,
    /// Folder for key, certificate and database
    #[arg(long, value_name = "FOLDER", default_value = ".blogctl")]
    data_dir: PathBuf,
    /// Start over: list the files that dev created in its folder, and delete them
    #[arg(long)]
    fresh: bool,
    /// Print NAME=value lines for serve-idp, serve-api and serve-client, and exit
    #[arg(long, conflicts_with = "fresh")]
    print_env: bool,
}

/// Where the private key of the site is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CredentialKind {
    /// A file; the site signs
    File,
    /// An emulator of Azure Key Vault, which signs; the site has no private key
    KeyVault,
}

/// Runs until SIGINT or SIGTERM.
///
/// # Errors
/// If a port or the folder is in use, or a file cannot be created.
pub fn run(arguments: &Arguments, settings: &SettingsArguments) -> anyhow::Result<()> {
    let own = own_settings(settings)?;
    let data_dir = std::path::absolute(&arguments.data_dir)?;
    if arguments.print_env {
        return print_env(
            &Plan {
                data_dir,
                ports: arguments.ports_for_others()?,
            },
            &own,
        );
    }
    // Before anything is written, so that a port in use leaves nothing half-started.
    let sockets = Sockets::bind(arguments)?;
    let metrics = Socket::listen(&own.metrics)?;
    let plan = Plan {
        data_dir,
        ports: sockets.ports()?,
    };
    let folder = Folder::open(&plan.data_dir).hint(OTHER_FOLDER)?;
    if arguments.fresh {
        summary::print(&summary::deletion(&folder.own_files()?, folder.path()))?;
        folder.delete_own_files()?;
    }
    let prepared = prepare::prepare(&folder, &plan, &own)?;
    // `folder` stays locked until the servers have stopped.
    serve(sockets, metrics, &prepared, &plan)
}

fn print_env(plan: &Plan, own: &Settings) -> anyhow::Result<()> {
    match Folder::open(&plan.data_dir) {
        // The `dev` that uses the folder has prepared it.
        Err(FolderError::InUse(_)) => {}
        opened => drop(prepare::prepare(&opened.hint(OTHER_FOLDER)?, plan, own)?),
    }
    summary::print(&print_env::lines(&plan.values(own)?))
}

/// The user's settings. Only [`USED_SETTINGS`] are used, so errors in others are ignored.
fn own_settings(arguments: &SettingsArguments) -> anyhow::Result<Settings> {
    if let Some(name) = arguments.set_names().find(|name| !USED_SETTINGS.contains(name)) {
        let used = USED_SETTINGS.join(", ");
        return Err(WrongUsage(format!("dev does not use the setting {name}: only {used}")))
            .hint("run serve-idp, serve-api and serve-client with your own settings");
    }
    let (mut loaded, mut errors) = Settings::load_leniently(&arguments.sources(Vec::new()), Role::Any);
    errors.retain(|error| {
        let is_of = |section: &str| error.setting.starts_with(section);
        error.kind == ConfigErrorKind::UnreadableFile
            || is_of("log.")
            || is_of("metrics.")
            || is_of("idp.")
            || USED_SETTINGS.contains(&error.setting.as_str())
    });
    if !errors.is_empty() {
        return Err(ConfigErrors(errors).into());
    }
    let is_default = |name: &str| {
        loaded
            .entries
            .iter()
            .any(|entry| entry.name == name && entry.origin == Origin::Default)
    };
    if is_default("log.level") {
        DEFAULT_LOG_LEVEL.clone_into(&mut loaded.settings.log.level);
    }
    logging::start(&loaded.settings.log);
    Ok(loaded.settings)
}

/// The listening sockets.
struct Sockets {
    idp: TcpListener,
    api: TcpListener,
    client: TcpListener,
    vault: Option<TcpListener>,
}

impl Sockets {
    fn bind(arguments: &Arguments) -> anyhow::Result<Self> {
        let vault = match arguments.credential {
            CredentialKind::File => None,
            CredentialKind::KeyVault => Some(listen(arguments.vault_port, "--vault-port")?),
        };
        Ok(Self {
            vault,
            idp: listen(arguments.idp_port, "--idp-port")?,
            api: listen(arguments.api_port, "--api-port")?,
            client: listen(arguments.client_port, "--client-port")?,
        })
    }

    fn ports(&self) -> io::Result<Ports> {
        let port = |listener: &TcpListener| listener.local_addr().map(|address| address.port());
        let vault = self.vault.as_ref().map(port).transpose()?;
        Ok(Ports {
            idp: port(&self.idp)?,
            api: port(&self.api)?,
            client: port(&self.client)?,
            vault,
        })
    }
}

impl Arguments {
    /// The requested ports, even if they are in use: possibly by the system whose settings are printed. 0 becomes a port that is
    /// free now.
    fn ports_for_others(&self) -> anyhow::Result<Ports> {
        let free = Sockets::bind(&Self {
            idp_port: 0,
            api_port: 0,
            client_port: 0,
            ..self.clone()
        })?
        .ports()?;
        let or_free = |port: u16, free: u16| if port == 0 { free } else { port };
        Ok(Ports {
            idp: or_free(self.idp_port, free.idp),
            api: or_free(self.api_port, free.api),
            client: or_free(self.client_port, free.client),
            vault: None,
        })
    }
}

fn listen(port: u16, flag: &str) -> anyhow::Result<TcpListener> {
    match serve::listen(LOOPBACK, port) {
        Err(error @ ListenError::InUse { .. }) => Err(error).hint(format!(
            "choose another port with {flag} PORT (0 picks a free one), or stop the program that uses it"
        )),
        other => Ok(other?),
    }
}

fn serve(sockets: Sockets, metrics: Option<Socket>, prepared: &Prepared, plan: &Plan) -> anyhow::Result<()> {
    let settings = &prepared.settings;
    descriptors::raise_limit();
    // Before the site, which sends requests to it while it starts.
    let key = plan.data_dir.join(folder::KEY_AND_CERTIFICATE);
    let _vault = sockets
        .vault
        .map(|socket| vault::Server::start(socket, VAULT_CERTIFICATE, &key))
        .transpose()?;
    rt::System::new().block_on(async {
        let exposition = metrics.map(Socket::serve).transpose()?;
        let idp = idp::Server::from_listener(sockets.idp, settings)?;
        let api = api::Server::from_listener(sockets.api, settings)?;
        let web = web::Server::from_listener(sockets.client, settings)?;
        let handles = vec![idp.handle(), api.handle(), web.handle()];
        let shutdown_handles = vec![idp.shutdown_handle(), api.shutdown_handle(), web.shutdown_handle()];
        let runs: Vec<Run> = vec![Box::pin(idp.run()), Box::pin(api.run()), Box::pin(web.run())];
        let run = async {
            // After signal handlers are installed: a reader of the summary may send a signal at once.
            let metrics = exposition.as_ref().map(Exposition::url);
            summary::print(&summary::started(plan, metrics, prepared)).map_err(io::Error::other)?;
            all(handles.clone(), runs).await
        };
        shutdown::on_signal(shutdown_handles, Duration::ZERO, || {}, run).await?;
        if let Some(exposition) = exposition {
            exposition.stop().await;
        }
        summary::print(&summary::stopped(plan))?;
        Ok(())
    })
}

type Run = Pin<Box<dyn Future<Output = io::Result<()>>>>;

/// Runs the servers concurrently. When one ends, the others are stopped, too, and its error is returned.
async fn all(handles: Vec<ServerHandle>, runs: Vec<Run>) -> io::Result<()> {
    let tasks: Vec<_> = runs.into_iter().map(rt::spawn).collect();
    let (first, _, others) = futures_util::future::select_all(tasks).await;
    futures_util::future::join_all(handles.iter().map(|handle| handle.stop(true))).await;
    let rest = futures_util::future::join_all(others).await;
    for outcome in std::iter::once(first).chain(rest) {
        outcome.map_err(io::Error::other)??;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_that_fails_is_the_outcome_of_all() {
        let runs: Vec<Run> = vec![
            Box::pin(async { Ok(()) }),
            Box::pin(async { Err(io::Error::other("the second server failed")) }),
            Box::pin(async { Ok(()) }),
        ];
        let outcome = rt::System::new().block_on(all(Vec::new(), runs));
        assert_eq!(outcome.expect_err("a failure").to_string(), "the second server failed");
    }
}
