//! Assembles the emulator: state, middleware, routes.

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs},
};

use actix_web::{App, dev::ServerHandle, middleware::from_fn, web};

use super::{
    assets, authorize, control, discovery, logout,
    middleware::{inject_faults, record_requests},
    paths,
    start_error::StartError,
    state::Idp,
    tls as local_tls, token,
};
use crate::{
    config::Settings,
    loopback::is_loopback_address,
    serve::{self, Options, ShutdownHandle, access_log, request_guard, request_id},
    tls::{Https, HttpsRole},
};

/// Threads that serve requests, unless the settings name another number: the emulator serves one developer.
const WORKERS: usize = 2;

/// Largest form: an assertion with a certificate chain has some 10 KB.
const MAX_FORM_BYTES: usize = 128 * 1024;

/// A bound server that is not running yet.
pub struct Server {
    http: serve::Server,
    https: Option<Https>,
}

impl Server {
    /// Listens where the settings say, and prepares everything. Call it inside an actix system.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn bind(settings: &Settings) -> Result<Self, StartError> {
        let host = &settings.idp.host;
        if !settings.idp.allow_remote && !is_loopback(host) {
            return Err(StartError::NotLoopback { host: host.clone() });
        }
        Self::from_listener(serve::listen(host, settings.idp.port)?, settings)
    }

    /// Like [`Self::bind`], with a socket that listens already.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn from_listener(listener: TcpListener, settings: &Settings) -> Result<Self, StartError> {
        let address = listener.local_addr().map_err(StartError::Socket)?;
        if !settings.idp.allow_remote && !is_loopback_address(address.ip()) {
            return Err(StartError::NotLoopback {
                host: address.ip().to_string(),
            });
        }
        let is_https = settings.idp.tls || settings.server.tls.cert_path.is_some();
        let scheme = if is_https { "https" } else { "http" };
        let idp = web::Data::new(Idp::new(&settings.idp, scheme, address.port())?);
        let app = move || {
            App::new()
                .app_data(idp.clone())
                .configure(|config| idp.mount(config))
                .app_data(web::PayloadConfig::new(MAX_FORM_BYTES))
                .wrap(from_fn(request_guard::check))
                .wrap(from_fn(inject_faults::inject))
                .wrap(from_fn(record_requests::record))
                .wrap(from_fn(access_log::log))
                .wrap(from_fn(request_id::assign))
                .configure(routes)
        };
        let workers = if settings.server.workers == 0 {
            WORKERS
        } else {
            serve::workers(&settings.server)
        };
        let https = if settings.idp.tls {
            let files = local_tls::prepare(&settings.idp.state_dir)?;
            log::info!(
                "serving HTTPS; trust the certificate authority in {}",
                files.ca.display()
            );
            let mut own = settings.clone();
            own.server.tls = files.settings();
            Https::start(&own, &settings.idp.host, &HttpsRole::Emulator)?
        } else {
            Https::start(settings, &settings.idp.host, &HttpsRole::Emulator)?
        };
        let options = Options {
            name: "serve-idp",
            workers,
            settings: &settings.server,
            tls: https.as_ref().map(Https::tls),
        };
        let http = serve::server::listen(listener, &options, app).map_err(StartError::Socket)?;
        Ok(Self { http, https })
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.http.port()
    }

    /// Stops it from elsewhere.
    pub fn handle(&self) -> ServerHandle {
        self.http.handle()
    }

    /// Stops it gracefully.
    pub fn shutdown_handle(&self) -> ShutdownHandle {
        self.http.shutdown_handle()
    }

    /// Serves until stopped.
    ///
    /// # Errors
    /// When the sockets fail.
    pub async fn run(self) -> io::Result<()> {
        let Self { http, https } = self;
        match https {
            Some(https) => https.serve(http).await,
            None => http.run().await,
        }
    }
}

fn routes(config: &mut web::ServiceConfig) {
    config
        .service(web::scope(paths::CONTROL).configure(control::routes))
        .route("/", web::get().to(discovery::home))
        .route("/error", web::get().to(discovery::error))
        .route("/_assets/idp.css", web::get().to(assets::style_sheet))
        .route("/_assets/icon.svg", web::get().to(assets::icon))
        .route(
            &in_tenant(paths::OPENID_CONFIGURATION),
            web::get().to(discovery::configuration),
        )
        .route(&in_tenant(paths::KEYS), web::get().to(discovery::keys))
        .route(&in_tenant(paths::AUTHORIZE), web::get().to(authorize::show))
        .route(&in_tenant(paths::LOGIN), web::post().to(authorize::pick))
        .route(&in_tenant(paths::TOKEN), web::post().to(token::exchange))
        .route(&in_tenant(paths::LOGOUT), web::get().to(logout::sign_out));
}

fn in_tenant(path: &str) -> String {
    format!("/{{tenant}}/{path}")
}

/// Whether every address of this host is a loopback address.
fn is_loopback(host: &str) -> bool {
    if let Ok(address) = host.parse::<IpAddr>() {
        return is_loopback_address(address);
    }
    let addresses: Vec<SocketAddr> = (host, 0).to_socket_addrs().map(Iterator::collect).unwrap_or_default();
    !addresses.is_empty() && addresses.iter().all(|address| is_loopback_address(address.ip()))
}
