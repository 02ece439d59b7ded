//! Starts the site: components, middleware, routes.

use std::{io, sync::Arc};

use actix_web::{App, dev::ServerHandle, middleware::from_fn, web};

use super::{
    certificate_watch::CertificateWatch,
    middleware::{
        compression::compress, cookies::filter_cookies, error_pages::render_errors,
        security_headers::set_security_headers,
    },
    routes,
    start_error::StartError,
    state::AppState,
};
use crate::{
    audit::AuditLog,
    config::Settings,
    entra::ConfidentialClient,
    loopback::is_loopback,
    serve::{
        self, ListenAddress, Listeners, Options, ShutdownHandle, Tracing, UnixSocket, access_log, exposure,
        request_guard, request_id,
    },
    telemetry::Telemetry,
    tls::{Https, HttpsRole, ServedCertificate},
};

/// `service.name` of the spans, unless the settings have another one.
const SERVICE: &str = "blogctl-client";

/// A server that listens, but does not serve yet.
pub struct Server {
    http: serve::Server,
    https: Option<Https>,
    watch: CertificateWatch,
    telemetry: Telemetry,
    client: Arc<ConfidentialClient>,
    audit: AuditLog,
    fingerprint: String,
}

impl Server {
    /// Listens where the settings say, and creates the site. Connects to no other server, except to Azure when the credential is in
    /// Key Vault.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn bind(settings: &Settings) -> Result<Self, StartError> {
        let client = &settings.client;
        let unix = client.socket_path.as_deref().map(|path| UnixSocket {
            path,
            mode: client.socket_mode.0,
        });
        Self::from_listener(Listeners::bind(&client.host, client.port, unix)?, settings)
    }

    /// Creates the site on sockets that already listen.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn from_listener(listeners: impl Into<Listeners>, settings: &Settings) -> Result<Self, StartError> {
        let listeners = listeners.into();
        let client = &settings.client;
        let port = match listeners.port() {
            Some(port) => port,
            // The default, http://localhost:PORT, would lead to no server.
            None if client.public_url.is_none() && client.redirect_uri.is_none() => {
                return Err(StartError::NoPublicUrl);
            }
            None => client.port,
        };
        let state = AppState::new(settings, port)?;
        let public_url = &state.addresses.public_url;
        if public_url.scheme() == "http" && !is_loopback(public_url) {
            log::warn!("{public_url} is plain http: an attacker on the network path can take over sessions");
        }
        log::info!("the site authenticates with {}", state.client.credential().name());
        let role = HttpsRole::Site(public_url.clone());
        let https = Https::start(settings, &settings.client.host, &role)?;
        let client = Arc::clone(&state.client);
        let watch = CertificateWatch::start(client, &settings.client).map_err(StartError::Threads)?;
        let telemetry = Telemetry::start(&settings.telemetry, settings.entra.ca_file.as_deref(), SERVICE)?;
        let tracing = web::Data::new(Tracing::new(telemetry.tracer(), settings));
        let (client, audit) = (Arc::clone(&state.client), state.audit.log().clone());
        // Middleware wraps inside out: a request meets the last one first.
        let application = move || {
            App::new()
                .app_data(tracing.clone())
                .configure(|app| state.register(app))
                .configure(|app| routes::configure(app, state.addresses.redirect_uri.path()))
                .wrap(from_fn(request_guard::check))
                .wrap(from_fn(render_errors))
                .wrap(state.sessions.middleware(&state.keys, **state.cookies))
                .wrap(from_fn(filter_cookies))
                .wrap(from_fn(compress))
                .wrap(from_fn(set_security_headers))
                .wrap(from_fn(access_log::log))
                .wrap(from_fn(request_id::assign))
        };
        let options = Options {
            name: "serve-client",
            workers: serve::workers(&settings.server),
            settings: &settings.server,
            tls: https.as_ref().map(Https::tls),
        };
        let http = serve::server::listen(listeners, &options, application).map_err(StartError::Socket)?;
        exposure::warn(
            "serve-client",
            http.addresses(),
            &settings.server,
            options.tls.is_some(),
        );
        Ok(Self {
            http,
            https,
            watch,
            telemetry,
            client,
            audit,
            fingerprint: settings.fingerprint.clone(),
        })
    }

    /// Where the site listens.
    pub fn addresses(&self) -> &[ListenAddress] {
        self.http.addresses()
    }

    /// The port that the site listens on; 0 if it listens on Unix sockets only.
    pub fn port(&self) -> u16 {
        self.http.port()
    }

    /// The port for plain HTTP, if `server.tls.redirect_port` is set.
    pub fn plain_http_port(&self) -> Option<u16> {
        self.https.as_ref().and_then(Https::plain_http_port)
    }

    /// The certificate of HTTPS, if the site speaks it.
    pub fn served_certificate(&self) -> Option<ServedCertificate> {
        self.https.as_ref().map(Https::served_certificate)
    }

    /// A handle that stops the server from another task.
    pub fn handle(&self) -> ServerHandle {
        self.http.handle()
    }

    /// A handle that stops the server gracefully: it finishes the requests in progress.
    pub fn shutdown_handle(&self) -> ShutdownHandle {
        self.http.shutdown_handle()
    }

    /// Serves until stopped.
    ///
    /// # Errors
    /// When the sockets fail.
    pub async fn run(self) -> io::Result<()> {
        let Self {
            http,
            https,
            watch,
            telemetry,
            client,
            audit,
            fingerprint,
        } = self;
        audit.record_start(fingerprint);
        client.record_credential_in_use();
        if let Some(https) = &https {
            https.served_certificate().record_in(&audit);
        }
        let served = match https {
            Some(https) => https.serve(http).await,
            None => http.run().await,
        };
        drop(watch);
        let close = move || {
            audit.record_stop();
            telemetry.stop();
        };
        web::block(close).await.map_err(io::Error::other)?;
        served
    }
}
