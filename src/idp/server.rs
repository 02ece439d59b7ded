//! Puts the identity provider together: registrations, keys, routes.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs},
    sync::Arc,
};

use actix_web::{App, dev, dev::ServerHandle, middleware::from_fn, web};

use super::{
    assets, authorize, control, discovery, faults, logout,
    registrations::RegistrationError,
    request_log,
    signing_keys::KeyError,
    state::Idp,
    tls::{self, TlsError},
    token,
};
use crate::{
    config::Settings,
    loopback::is_loopback_address,
    serve::{self, ListenError, Listening, Options, Stopper, access_log, request_guard, request_id},
};

/// Threads that serve requests, unless the settings say more: it serves one developer.
const WORKERS: usize = 2;

/// Largest form taken: an assertion with a certificate chain is some 10 KB.
const MAX_FORM_BYTES: usize = 128 * 1024;

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// It cannot listen.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// It would be reachable from other machines.
    #[error(
        "{host} is not a loopback address, and this identity provider asks for no password; listen on 127.0.0.1, or give \
         --i-know-this-is-not-a-real-identity-provider"
    )]
    NotLoopback {
        /// Address asked for.
        host: String,
    },
    /// An app registration cannot be used.
    #[error(transparent)]
    Registration(#[from] RegistrationError),
    /// No signing key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A page's template is broken.
    #[error("a page template of the identity provider is broken: {0}")]
    Template(#[from] tera::Error),
    /// No HTTPS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The socket cannot be used.
    #[error("cannot serve on the socket: {0}")]
    Socket(#[source] io::Error),
}

/// A bound server, not yet running.
pub struct Server {
    http: dev::Server,
    stopper: Stopper,
    port: u16,
}

impl Server {
    /// Listens where the settings say, and prepares everything. Call it where an actix system runs.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn bind(settings: &Settings) -> Result<Self, StartError> {
        let host = &settings.idp.host;
        if !settings.idp.allow_remote && !is_loopback(host) {
            return Err(StartError::NotLoopback { host: host.clone() });
        }
        Self::on(serve::listen(host, settings.idp.port)?, settings)
    }

    /// The same on a socket that listens already.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn on(listener: TcpListener, settings: &Settings) -> Result<Self, StartError> {
        let address = listener.local_addr().map_err(StartError::Socket)?;
        if !settings.idp.allow_remote && !is_loopback_address(address.ip()) {
            return Err(StartError::NotLoopback {
                host: address.ip().to_string(),
            });
        }
        let port = address.port();
        let idp = web::Data::new(Idp::prepare(&settings.idp, port)?);
        let app = move || {
            App::new()
                .app_data(idp.clone())
                .app_data(web::PayloadConfig::new(MAX_FORM_BYTES))
                .wrap(from_fn(request_guard::check))
                .wrap(from_fn(faults::inject))
                .wrap(from_fn(request_log::record))
                .wrap(from_fn(access_log::log))
                .wrap(from_fn(request_id::assign))
                .configure(routes)
        };
        let workers = if settings.server.workers == 0 {
            WORKERS
        } else {
            serve::workers(&settings.server)
        };
        let tls = if settings.idp.tls {
            let files = tls::prepare(&settings.idp.state_dir)?;
            log::info!(
                "serving HTTPS; trust the certificate authority in {}",
                files.ca.display()
            );
            Some(Arc::new(tls::server_config(&files)?))
        } else {
            None
        };
        let options = Options {
            name: "serve-idp",
            workers,
            settings: &settings.server,
            tls,
        };
        let Listening { server, stopper } =
            serve::server::listen(listener, &options, app).map_err(StartError::Socket)?;
        Ok(Self {
            http: server,
            stopper,
            port,
        })
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Stops it from elsewhere.
    pub fn handle(&self) -> ServerHandle {
        self.http.handle()
    }

    /// Stops it so that nobody notices.
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Serves until stopped.
    ///
    /// # Errors
    /// When the sockets fail.
    pub async fn run(self) -> io::Result<()> {
        self.http.await
    }
}

fn routes(config: &mut web::ServiceConfig) {
    config
        .service(web::scope(control::PATH).configure(control::routes))
        .route("/", web::get().to(discovery::home))
        .route("/error", web::get().to(discovery::error))
        .route("/_assets/idp.css", web::get().to(assets::style_sheet))
        .route("/_assets/icon.svg", web::get().to(assets::icon))
        .route(
            "/{tenant}/v2.0/.well-known/openid-configuration",
            web::get().to(discovery::configuration),
        )
        .route("/{tenant}/discovery/v2.0/keys", web::get().to(discovery::keys))
        .route("/{tenant}/oauth2/v2.0/authorize", web::get().to(authorize::show))
        .route("/{tenant}/login", web::post().to(authorize::pick))
        .route("/{tenant}/oauth2/v2.0/token", web::post().to(token::exchange))
        .route("/{tenant}/oauth2/v2.0/logout", web::get().to(logout::sign_out));
}

/// Whether every address of this host is this machine's own.
fn is_loopback(host: &str) -> bool {
    if let Ok(address) = host.parse::<IpAddr>() {
        return is_loopback_address(address);
    }
    let addresses: Vec<SocketAddr> = (host, 0).to_socket_addrs().map(Iterator::collect).unwrap_or_default();
    !addresses.is_empty() && addresses.iter().all(|address| is_loopback_address(address.ip()))
}
