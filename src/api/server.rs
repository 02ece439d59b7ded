//! Puts the API together: database, token validation, routes, middleware.

use std::{io, net::TcpListener, sync::Arc};

use actix_web::{
    App,
    dev::{ServerHandle, Service as _},
    middleware::{Condition, from_fn},
    web,
};

use super::{
    health::Probe,
    key_watch::KeyWatch,
    middleware::{
        address_limit,
        compression::CompressedBodies,
        cors::{InvalidOrigin, Origins},
        header_limits, problem_documents,
        rate_limit::RateLimits,
    },
    name_updates::NameUpdates,
    openapi::Description,
    resource_metadata::{MetadataDocument, ResourceMetadata},
    response_cache::ReadyAnswers,
    routes,
};
use crate::{
    blog::Blog,
    config::{ApiSettings, DatabaseSettings, ServerSettings, Settings},
    db::{self, Database, DatabaseUrl, DbError},
    entra::{AccessTokenValidator, Authority, Provider, ProviderError},
    serve::{self, ListenError, Listening, Options, Stopper, TrustedProxies, access_log, request_guard, request_id},
};

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// It cannot listen.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The socket given to it cannot be used.
    #[error("the listening socket cannot be used: {0}")]
    Socket(#[source] io::Error),
    /// The settings name no identity provider.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// Without an audience every API's tokens would do.
    #[error("neither api.app_id_uri nor api.client_id is set, so no access token could be for this API")]
    NoAudience,
    /// Without a scope every application of the tenant could call.
    #[error("api.required_scope is empty, so any application of the tenant could call this API")]
    NoRequiredScope,
    /// An entry of `api.cors_origins` is no origin.
    #[error(transparent)]
    CorsOrigin(#[from] InvalidOrigin),
    /// The description of the API cannot be written: a defect of the program.
    #[error("the description of the API cannot be written: {0}")]
    Description(#[source] serde_json::Error),
    /// The database cannot be opened or asked.
    #[error(transparent)]
    Database(#[from] DbError),
    /// The database lacks migrations, and the settings do not say to apply them here.
    #[error("the database lacks migrations: run blogctl migrate run")]
    PendingMigrations,
}

impl StartError {
    /// What to do about it, where one thing will do.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Listen(_) => Some("stop what listens there, or choose another port with api.port"),
            Self::NoAudience => Some("set api.app_id_uri to the Application ID URI of the API's app registration"),
            Self::NoRequiredScope => Some("set api.required_scope to a scope that the API exposes"),
            Self::CorsOrigin(invalid) => Some(invalid.error.hint()),
            Self::PendingMigrations => Some("or set database.migrate_at_start = true"),
            Self::Database(error) => error.hint(),
            Self::Socket(_) | Self::Provider(_) | Self::Description(_) => None,
        }
    }
}

/// A bound server, not yet running.
pub struct Server {
    port: u16,
    http: actix_web::dev::Server,
    stopper: Stopper,
    database: Database,
    validator: Arc<AccessTokenValidator>,
}

impl Server {
    /// Listens where the settings say, and prepares everything.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn bind(settings: &Settings) -> Result<Self, StartError> {
        Self::on(serve::listen(&settings.api.host, settings.api.port)?, settings)
    }

    /// The same on a socket that listens already. The identity provider is not waited for.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn on(listener: TcpListener, settings: &Settings) -> Result<Self, StartError> {
        let port = listener.local_addr().map_err(StartError::Socket)?.port();
        let origins = Origins::parse(&settings.api.cors_origins)?;
        let validator = Arc::new(validator(settings)?);
        let database = open(&settings.database)?;
        database.prepare(serve::workers(&settings.server))?;

        let data = AppData {
            blog: web::Data::new(Blog::new(database.clone())),
            health: web::Data::new(Probe::new(database.clone(), Arc::clone(&validator))),
            ready: web::Data::new(ReadyAnswers::new(settings.api.ready_answers_mib)),
            compressed: web::Data::new(CompressedBodies::new(settings.api.ready_answers_mib / 4)),
            validator: web::Data::from(Arc::clone(&validator)),
            names: web::Data::new(NameUpdates::default()),
            limits: web::Data::new(RateLimits::new(
                &settings.api,
                TrustedProxies::new(&settings.server.trusted_proxies),
            )),
            settings: web::Data::new(settings.api.clone()),
            server: web::Data::new(settings.server.clone()),
            metadata: web::Data::new(MetadataDocument::new(&metadata(settings)?).map_err(StartError::Description)?),
            description: web::Data::new(Description::new(&settings.api).map_err(StartError::Description)?),
        };
        let (docs, database_time) = (settings.api.docs, settings.database.deadline);
        // The middleware added last meets a request first.
        let options = Options {
            name: "serve-api",
            workers: serve::workers(&settings.server),
            settings: &settings.server,
            tls: None,
        };
        let Listening { server, stopper } = serve::server::listen(listener, &options, move || {
            App::new()
                .configure(|config| data.mount(config))
                .configure(|config| routes::mount(config, docs))
                .wrap_fn(move |request, service| db::within(database_time, service.call(request)))
                .wrap(from_fn(request_guard::check))
                .wrap(from_fn(header_limits::check))
                .wrap(from_fn(address_limit::admit))
                .wrap(origins.middleware())
                .wrap(Condition::new(
                    origins.is_any_listed(),
                    from_fn(address_limit::admit_preflight),
                ))
                .wrap(from_fn(problem_documents::complete))
                .wrap(from_fn(access_log::log))
                .wrap(from_fn(request_id::assign))
        })
        .map_err(StartError::Socket)?;
        Ok(Self {
            port,
            http: server,
            stopper,
            database,
            validator,
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

    /// Serves until stopped, then closes the database.
    ///
    /// # Errors
    /// When the sockets fail.
    pub async fn run(self) -> io::Result<()> {
        let Self {
            http,
            database,
            validator,
            ..
        } = self;
        let key_watch = KeyWatch::start(validator)?;
        let served = http.await;
        drop(key_watch);
        web::block(move || database.close()).await.map_err(io::Error::other)?;
        served
    }
}

/// What handlers and middleware find in a request; shared by all workers.
#[derive(Clone)]
struct AppData {
    blog: web::Data<Blog>,
    health: web::Data<Probe>,
    ready: web::Data<ReadyAnswers>,
    compressed: web::Data<CompressedBodies>,
    validator: web::Data<AccessTokenValidator>,
    limits: web::Data<RateLimits>,
    names: web::Data<NameUpdates>,
    settings: web::Data<ApiSettings>,
    server: web::Data<ServerSettings>,
    metadata: web::Data<MetadataDocument>,
    description: web::Data<Description>,
}

impl AppData {
    fn mount(&self, config: &mut web::ServiceConfig) {
        config
            .app_data(self.blog.clone())
            .app_data(self.health.clone())
            .app_data(self.ready.clone())
            .app_data(self.compressed.clone())
            .app_data(self.validator.clone())
            .app_data(self.limits.clone())
            .app_data(self.names.clone())
            .app_data(self.settings.clone())
            .app_data(self.server.clone())
            .app_data(self.metadata.clone())
            .app_data(self.description.clone());
    }
}

fn validator(settings: &Settings) -> Result<AccessTokenValidator, StartError> {
    let api = &settings.api;
    if api.app_id_uri.is_empty() && api.client_id.as_ref().is_none_or(String::is_empty) {
        return Err(StartError::NoAudience);
    }
    if api.required_scope.is_empty() {
        return Err(StartError::NoRequiredScope);
    }
    let provider = Provider::for_tenants(&settings.entra, &api.tenants)?;
    Ok(AccessTokenValidator::new(Arc::new(provider), api))
}

fn metadata(settings: &Settings) -> Result<ResourceMetadata, StartError> {
    let authority = Authority::new(&settings.entra).map_err(ProviderError::from)?;
    Ok(ResourceMetadata::new(&authority, &settings.api))
}

/// Opens the database in the state that this program needs. One replica's SQLite file is this process's own; a shared
/// PostgreSQL is migrated when somebody says so.
fn open(settings: &DatabaseSettings) -> Result<Database, StartError> {
    let database = Database::open(settings)?;
    let is_own_file = matches!(database.url(), DatabaseUrl::Sqlite(_));
    if settings.migrate_at_start.unwrap_or(is_own_file) {
        database.migrate()?;
    } else if database.has_pending_migrations()? {
        return Err(StartError::PendingMigrations);
    }
    Ok(database)
}
