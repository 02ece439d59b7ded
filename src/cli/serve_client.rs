//! `blogctl serve-client`

use clap::Args;

use super::{
    serving::{Bound, inherited, probe_target, serve, urls},
    settings::{SettingsArguments, flag},
};
use crate::{config::Role, systemd, web::Server};

/// Serve the web site
///
/// Signs users in with Microsoft Entra ID, and authenticates with its certificate. Requires the settings entra.tenant_id,
/// client.client_id, client.cert_path, client.api_scope and client.cookie_key, and the API at client.api_base_url.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  blogctl serve-client
  blogctl serve-client --port 0       on a free port, which the log names
  CLIENT_CERT_PATH=cert/client.pem blogctl serve-client")]
pub struct Arguments {
    /// Address to listen on [setting: client.host]
    #[arg(long)]
    host: Option<String>,
    /// Port to listen on; 0 picks a free one [setting: client.port]
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
        flag("--host", "client.host", arguments.host.as_ref()),
        flag("--port", "client.port", arguments.port),
    ];
    let settings = settings.load(Role::Client, flags.into_iter().flatten().collect())?;
    let sockets = inherited(sockets, "client")?;
    serve(Some(&settings.metrics), || {
        let host = sockets.is_none().then_some(settings.client.host.as_str());
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
