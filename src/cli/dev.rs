//! `blogctl dev`: the whole system in one process, on this machine only, with nothing to set up.
//!
//! The three servers talk HTTP as they would in three processes. Whatever is written is in one folder. Settings of your
//! own could point at a real tenant, so only the harmless ones are taken: see [`TAKEN`].

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
    idp,
    serve::{self, ListenError, descriptors, stop},
    vault, web,
};

pub use self::folder::is_database;

/// Settings that `dev` takes from you; all others it sets itself.
const TAKEN: [&str; 5] = [
    "log.level",
    "api.rate_limits",
    "api.require_app_roles",
    "idp.users",
    "idp.access_token_seconds",
];

/// What is logged unless log.level is set: requests would bury the summary.
const QUIET: &str = "warn";

const LOOPBACK: &str = "127.0.0.1";
const OTHER_FOLDER: &str = "name another folder with --data-dir FOLDER";

/// Run everything on this machine: web site, API and a look-alike of Entra ID
///
/// Needs no tenant and no settings. Makes a folder .blogctl with a key and a certificate, registers the certificate with
/// the look-alike, and keeps posts in SQLite; a second start uses all of it again. Listens on this machine only.
///
/// Of your own settings only log.level, api.rate_limits, api.require_app_roles, idp.users and idp.access_token_seconds are
/// taken, so that a blog.toml for a real tenant does no harm here.
#[derive(Debug, Clone, Args)]
#[command(after_long_help = "\
Examples:
  blogctl dev
  blogctl dev --client-port 5050    when another program has port 5000
  blogctl dev --set log.level=info  with a line for each request
  blogctl dev --set api.require_app_roles=true
                                    app roles decide who reads, writes and administrates
  blogctl dev --credential key-vault
                                    the key in a look-alike of Azure Key Vault
  blogctl dev --fresh               start over: new posts, key and certificate

The same as three processes, each in a terminal of its own:
  set -a; eval \"$(blogctl dev --print-env)\"; set +a
  blogctl serve-idp
  blogctl serve-api
  blogctl serve-client")]
pub struct Arguments {
    /// Port of the identity provider; 0 picks a free one
    #[arg(long, value_name = "PORT", default_value_t = 9000)]
    idp_port: u16,
    /// Port of the API; 0 picks a free one
    #[arg(long, value_name = "PORT", default_value_t = 8000)]
    api_port: u16,
    /// Port of the web site; 0 picks a free one
    #[arg(long, value_name = "PORT", default_value_t = 5000)]
    client_port: u16,
    /// Port of the key vault, with --credential key-vault; 0 picks a free one
    #[arg(long, value_name = "PORT", default_value_t = 9001)]
    vault_port: u16,
    /// What the web site proves itself with
    #[arg(long, value_enum, default_value_t = CredentialKind::File, conflicts_with = "print_env")]
    credential: CredentialKind,
    /// Folder of key, certificate and database
    #[arg(long, value_name = "FOLDER", default_value = ".blogctl")]
    data_dir: PathBuf,
    /// Start over: delete what dev made in its folder, after naming it
    #[arg(long)]
    fresh: bool,
    /// Print NAME=value lines for serve-idp, serve-api and serve-client, and exit
    #[arg(long, conflicts_with = "fresh")]
    print_env: bool,
}

/// Where the site's private key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum CredentialKind {
    /// In a file: the site signs
    File,
    /// In a look-alike of Azure Key Vault: the vault signs, and the site has no key
    KeyVault,
}

/// Runs until SIGINT or SIGTERM.
///
/// # Errors
/// When a port or the folder is in use, or something cannot be made.
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
    // Before anything is written: a port in use leaves nothing half-started.
    let sockets = Sockets::bind(arguments)?;
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
    // The folder stays locked until the servers have stopped.
    serve(sockets, &prepared, &plan)
}

fn print_env(plan: &Plan, own: &Settings) -> anyhow::Result<()> {
    match Folder::open(&plan.data_dir) {
        // Whoever runs there has prepared everything.
        Err(FolderError::InUse(_)) => {}
        opened => drop(prepare::prepare(&opened.hint(OTHER_FOLDER)?, plan, own)?),
    }
    summary::print(&print_env::lines(&plan.values(own)?))
}

/// The user's settings, of which only [`TAKEN`] count: mistakes in others are no concern of `dev`.
fn own_settings(arguments: &SettingsArguments) -> anyhow::Result<Settings> {
    if let Some(name) = arguments.set_names().find(|name| !TAKEN.contains(name)) {
        let taken = TAKEN.join(", ");
        return Err(WrongUsage(format!("dev does not take {name} from you: only {taken}")))
            .hint("run serve-idp, serve-api and serve-client with settings of your own");
    }
    let (mut loaded, mut errors) = Settings::load_leniently(&arguments.sources(Vec::new()), Role::Any);
    errors.retain(|error| {
        let is_of = |section: &str| error.setting.starts_with(section);
        error.kind == ConfigErrorKind::UnreadableFile
            || is_of("log.")
            || is_of("idp.")
            || TAKEN.contains(&error.setting.as_str())
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
        QUIET.clone_into(&mut loaded.settings.log.level);
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
    /// The ports asked for, whoever has them: it may be the very system whose settings are printed. 0 becomes a port
    /// that is free now.
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
            "choose another with {flag} PORT (0 picks a free one), or stop the program that listens there"
        )),
        other => Ok(other?),
    }
}

fn serve(sockets: Sockets, prepared: &Prepared, plan: &Plan) -> anyhow::Result<()> {
    let settings = &prepared.settings;
    descriptors::raise_limit();
    // Before the site, which asks it while it starts.
    let key = plan.data_dir.join(folder::KEY_AND_CERTIFICATE);
    let _vault = sockets
        .vault
        .map(|socket| vault::Server::start(socket, VAULT_CERTIFICATE, &key))
        .transpose()?;
    rt::System::new().block_on(async {
        let idp = idp::Server::on(sockets.idp, settings)?;
        let api = api::Server::from_listener(sockets.api, settings)?;
        let web = web::Server::on(sockets.client, settings)?;
        let handles = vec![idp.handle(), api.handle(), web.handle()];
        let stoppers = vec![idp.stopper(), api.stopper(), web.stopper()];
        let runs: Vec<Run> = vec![Box::pin(idp.run()), Box::pin(api.run()), Box::pin(web.run())];
        let run = async {
            // Not before signals are caught: whoever reads this may send one at once.
            summary::print(&summary::started(plan, prepared)).map_err(io::Error::other)?;
            all(handles.clone(), runs).await
        };
        stop::on_signal(stoppers, Duration::ZERO, run).await?;
        summary::print(&summary::stopped(plan))?;
        Ok(())
    })
}

type Run = Pin<Box<dyn Future<Output = io::Result<()>>>>;

/// Runs the servers side by side. When one ends, the others are stopped too, and its error is the outcome.
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
