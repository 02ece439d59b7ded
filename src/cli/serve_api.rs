//! `blogctl serve-api`

use clap::Args;

use super::{
    serving::{Bound, inherited, probe_target, serve, urls},
    settings::{SettingsArguments, flag},
};
use crate::{api::Server, config::Role, systemd};

/// Serve the REST API of blog posts
///
/// Accepts only requests with a valid access token of your tenant. Requires the settings entra.tenant_id and
/// api.app_id_uri. Stores posts in SQLite unless database.url names a PostgreSQL database.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  blogctl serve-api
  blogctl serve-api --port 0          on a free port, which the log names
  blogctl serve-api --host 0.0.0.0    in a container
  curl -i http://localhost:8000/health")]
pub struct Arguments {
    /// Address to listen on [setting: api.host]
    #[arg(long)]
    host: Option<String>,
    /// Port to listen on; 0 picks a free one [setting: api.port]
    #[arg(long)]
    port: Option<u16>,
}

/// Serves until SIGINT or SIGTERM.
///
/// # Errors
/// If settings are invalid or missing, or the server cannot start.
pub fn run(arguments: &Arguments, settings: &SettingsArguments) -> anyhow::Result<()> {
    // Before the first thread starts.
    let sockets = systemd::inherited_sockets();
    let flags = [
        flag("--host", "api.host", arguments.host.as_ref()),
        flag("--port", "api.port", arguments.port),
    ];
    let settings = settings.load(Role::Api, flags.into_iter().flatten().collect())?;
    let sockets = inherited(sockets, "api")?;
    serve(Some(&settings.metrics), || {
        let host = sockets.is_none().then_some(settings.api.host.as_str());
        let server = match sockets {
            Some(sockets) => Server::from_listener(sockets, &settings)?,
            None => Server::bind(&settings)?,
        };
        let is_https = settings.server.tls.is_on();
        let scheme = if is_https { "https" } else { "http" };
        Ok(Bound {
            urls: urls(server.addresses(), scheme, host),
            probe: probe_target(server.addresses(), is_https),
            shutdown_handle: server.shutdown_handle(),
            drain: settings.server.drain,
            run: server.run(),
        })
    })
}
