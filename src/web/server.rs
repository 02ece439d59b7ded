//! Puts the site together: Entra client, sessions, pages, API client.

use std::{borrow::Cow, io, net::TcpListener, sync::Arc};

use actix_web::{
    App,
    dev::{Server as HttpServerTask, ServerHandle},
    middleware::from_fn,
    web,
};

use super::{
    certificate_watch::CertificateWatch,
    cookies, middleware, routes, security_headers,
    state::{SettingProblem, Site},
    storage::redis::RedisSetupError,
    templates::TemplateError,
};
use crate::{
    config::Settings,
    entra::{ProviderError, confidential_client::SignInError},
    hint::Hint,
    loopback::is_loopback,
    outbound::OutboundError,
    serve::{self, ListenError, Listening, Options, Stopper, access_log, request_guard, request_id},
};

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// It cannot listen.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Settings are missing or wrong: all of them, one per line.
    #[error("{}", list(.0))]
    Settings(Vec<SettingProblem>),
    /// The settings name no authority, or its CA file cannot be used.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// The client of Entra cannot be made: its certificate cannot be used.
    #[error(transparent)]
    Client(#[from] SignInError),
    /// The CA file for requests to the API cannot be used.
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    /// The Redis of the settings cannot even be tried.
    #[error(transparent)]
    Redis(#[from] RedisSetupError),
    /// There can be no threads.
    #[error("no threads for requests to other servers: {0}")]
    Threads(io::Error),
    /// A template is broken: a defect of the program.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// An address does not fit into a header.
    #[error("an address in the settings does not fit into a header: {0}")]
    Header(String),
    /// The socket cannot be used.
    #[error("the listening socket cannot be used: {0}")]
    Socket(io::Error),
}

impl StartError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::Listen(_) => "another program listens there: stop it, or set client.port",
            Self::Settings(_) => {
                "set them in blog.toml, or in the environment as BLOG_CLIENT__… (client.client_id is BLOG_CLIENT__CLIENT_ID)"
            }
            Self::Client(SignInError::Credential(error)) => return Some(error.hint()),
            Self::Provider(_) | Self::Client(_) => "see entra.tenant_id, entra.authority_host and entra.ca_file",
            Self::Outbound(_) => "entra.ca_file is a PEM file of the certificates to trust beside the system's",
            Self::Redis(_) => "see redis.url and redis.ca_file, a PEM file of the certificates to trust",
            Self::Header(_) => "see client.public_url and entra.authority_host",
            Self::Template(_) | Self::Socket(_) | Self::Threads(_) => return None,
        };
        Some(hint.to_owned())
    }
}

impl Hint for StartError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        Self::hint(self).map(Cow::Owned)
    }
}

fn list(problems: &[SettingProblem]) -> String {
    problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}

/// A bound server, not yet running.
pub struct Server {
    port: u16,
    task: HttpServerTask,
    stopper: Stopper,
    watch: CertificateWatch,
}

impl Server {
    /// Listens where the settings say, and prepares everything. No network.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn bind(settings: &Settings) -> Result<Self, StartError> {
        let listener = serve::listen(&settings.client.host, settings.client.port)?;
        Self::on(listener, settings)
    }

    /// The same on a socket that listens already.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn on(listener: TcpListener, settings: &Settings) -> Result<Self, StartError> {
        let port = listener.local_addr().map_err(StartError::Socket)?.port();
        let site = web::Data::new(Site::new(settings, port)?);
        if site.public_url.scheme() == "http" && !is_loopback(&site.public_url) {
            log::warn!(
                "{} is plain http: whoever is on the way can take over sessions",
                site.public_url
            );
        }
        log::info!("the site proves itself by {}", site.client.credential().name());
        let client = Arc::clone(&site.client);
        let watch = CertificateWatch::start(client, &settings.client).map_err(StartError::Socket)?;
        // The last one wrapped is the first that a request meets.
        let application = move || {
            App::new()
                .app_data(site.clone())
                .configure(|app| routes::configure(app, &site.redirect_path))
                .wrap(from_fn(request_guard::check))
                .wrap(from_fn(middleware::error_pages::answer))
                .wrap(site.sessions.middleware(&site.keys, site.cookies))
                .wrap(from_fn(cookies::sort_out))
                .wrap(from_fn(middleware::compression::compress))
                .wrap(from_fn(security_headers::add))
                .wrap(from_fn(access_log::log))
                .wrap(from_fn(request_id::assign))
        };
        let options = Options {
            name: "serve-client",
            workers: serve::workers(&settings.server),
            settings: &settings.server,
            tls: None,
        };
        let Listening { server, stopper } =
            serve::server::listen(listener, &options, application).map_err(StartError::Socket)?;
        Ok(Self {
            port,
            task: server,
            stopper,
            watch,
        })
    }

    /// The port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Stops it from elsewhere.
    pub fn handle(&self) -> ServerHandle {
        self.task.handle()
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
        let Self { task, watch, .. } = self;
        let served = task.await;
        drop(watch);
        served
    }
}
