//! `blogctl serve-idp`

use std::time::Duration;

use clap::Args;

use super::{
    serving::{Bound, serve, url},
    settings::{SettingsArguments, flag},
};
use crate::{
    config::{Role, SIGNING_KEYS_FILE},
    idp::Server,
};

/// Serve the Entra ID emulator for development
///
/// Only for development and tests: anyone can sign in as any user. The emulator verifies client assertions like Entra ID,
/// and returns the same errors. Its users and app registrations are in [[idp.users]] and [[idp.apps]] of blog.toml, with
/// working defaults. Everything else is in memory; only the signing keys survive a restart, in a file.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  blogctl serve-idp
  blogctl serve-idp --tls         HTTPS, for clients that require it
  blogctl serve-idp --strict      as strict as in blogctl dev")]
pub struct Arguments {
    /// Address to listen on [setting: idp.host]
    #[arg(long)]
    host: Option<String>,
    /// Port to listen on; 0 picks a free one [setting: idp.port]
    #[arg(long)]
    port: Option<u16>,
    /// Serve HTTPS, with a certificate for localhost from a CA that is created once [setting: idp.tls]
    #[arg(long)]
    tls: bool,
    /// Require the best form of a client assertion [setting: idp.strict]
    #[arg(long)]
    strict: bool,
    /// Listen on other addresses than those of this machine
    #[arg(long = "i-know-this-is-not-a-real-identity-provider")]
    allow_remote: bool,
}

/// Serves until SIGINT or SIGTERM.
///
/// # Errors
/// If settings are invalid, the address is not loopback, or the server cannot start.
pub fn run(arguments: &Arguments, settings: &SettingsArguments) -> anyhow::Result<()> {
    let flags = [
        flag("--host", "idp.host", arguments.host.as_ref()),
        flag("--port", "idp.port", arguments.port),
        flag("--tls", "idp.tls", arguments.tls.then_some(true)),
        flag("--strict", "idp.strict", arguments.strict.then_some(true)),
    ];
    let mut settings = settings.load(Role::Any, flags.into_iter().flatten().collect())?;
    settings.idp.allow_remote = arguments.allow_remote;
    let state_dir = &settings.idp.state_dir;
    settings
        .idp
        .signing_keys_file
        .get_or_insert_with(|| state_dir.join(SIGNING_KEYS_FILE));
    serve(None, || {
        let server = Server::bind(&settings)?;
        let is_https = settings.idp.tls || settings.server.tls.cert_path.is_some();
        let scheme = if is_https { "https" } else { "http" };
        let url = url(scheme, &settings.idp.host, server.port());
        // It serves one developer, without a load balancer that must notice the stop.
        Ok(Bound {
            urls: vec![url],
            probe: None,
            shutdown_handle: server.shutdown_handle(),
            drain: Duration::ZERO,
            run: server.run(),
        })
    })
}
