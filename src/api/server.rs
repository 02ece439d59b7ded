//! Assembles the API: database, token validation, routes, middleware.

use std::{borrow::Cow, io, sync::Arc};

use actix_web::{
    App,
    dev::{ServerHandle, Service as _},
    middleware::{Condition, from_fn},
    web,
};

use super::{
    health::Readiness,
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
    response_cache::ResponseCache,
    routes,
};
use crate::{
    audit::{AuditError, AuditLog},
    blog::Blog,
    config::{ApiSettings, DatabaseSettings, Role, Settings},
    db::{self, Database, DatabaseUrl, DbError},
    entra::{AccessTokenValidator, Authority, Provider, ProviderError},
    hint::Hint,
    redis::{RedisClient, RedisSetupError},
    serve::{
        self, ListenAddress, ListenError, Listeners, Options, RequestAudit, ShutdownHandle, Tracing, TrustedProxies,
        UnixSocket, access_log, exposure, request_guard, request_id,
    },
    telemetry::{Telemetry, TelemetryError},
    tls::{Https, HttpsRole, ServedCertificate, TlsError},
};

/// `service.name` of the spans, unless the settings have another one.
const SERVICE: &str = "blogctl-api";

/// Why the server did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The server cannot listen on its port.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// The given socket cannot be used.
    #[error("the listening socket cannot be used: {0}")]
    Socket(#[source] io::Error),
    /// HTTPS cannot be set up.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The settings of the identity provider are invalid.
    #[error(transparent)]
    Provider(#[from] ProviderError),
    /// Without an audience, the API could not tell its tokens from those of other APIs.
    #[error("neither api.app_id_uri nor api.client_id is set, so no access token could be for this API")]
    NoAudience,
    /// Without a scope, any application of the tenant could call the API.
    #[error("api.required_scope is empty, so any application of the tenant could call this API")]
    NoRequiredScope,
    /// An entry of `api.cors_origins` is invalid.
    #[error(transparent)]
    CorsOrigin(#[from] InvalidOrigin),
    /// The API description cannot be written as JSON: a defect of the program.
    #[error("the API description cannot be written: {0}")]
    Description(#[source] serde_json::Error),
    /// The audit trail cannot be written.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The database cannot be opened or queried.
    #[error(transparent)]
    Database(#[from] DbError),
    /// Spans cannot be sent.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// Redis cannot be used.
    #[error(transparent)]
    Redis(#[from] RedisSetupError),
    /// Migrations are pending, and `database.migrate_at_start` is off.
    #[error("the database has pending migrations; run blogctl migrate run")]
    PendingMigrations,
}

impl Hint for StartError {
    fn hint(&self) -> Option<Cow<'_, str>> {
        let hint = match self {
            Self::Listen(error) => return error.hint("api.port").map(Cow::Owned),
            Self::NoAudience => Some("set api.app_id_uri to the Application ID URI of the API's app registration"),
            Self::NoRequiredScope => Some("set api.required_scope to a scope that the API exposes"),
            Self::CorsOrigin(invalid) => Some(invalid.error.hint()),
            Self::PendingMigrations => Some("set database.migrate_at_start = true to apply them at each start"),
            Self::Audit(error) => return error.hint(),
            Self::Database(error) => return error.hint(),
            Self::Tls(error) => return error.hint(),
            Self::Socket(_) | Self::Provider(_) | Self::Description(_) | Self::Telemetry(_) | Self::Redis(_) => None,
        };
        hint.map(Cow::Borrowed)
    }
}

/// A server that listens, but does not serve yet.
pub struct Server {
    http: serve::Server,
    https: Option<Https>,
    database: Database,
    validator: Arc<AccessTokenValidator>,
    telemetry: Telemetry,
    audit: AuditLog,
    fingerprint: String,
}

impl Server {
    /// Listens on the address of the settings, and prepares everything.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn bind(settings: &Settings) -> Result<Self, StartError> {
        let api = &settings.api;
        let unix = api.socket_path.as_deref().map(|path| UnixSocket {
            path,
            mode: api.socket_mode.0,
        });
        Self::from_listener(Listeners::bind(&api.host, api.port, unix)?, settings)
    }

    /// Prepares everything for sockets that already listen. Does not wait for the identity provider.
    ///
    /// # Errors
    /// See [`StartError`].
    pub fn from_listener(listeners: impl Into<Listeners>, settings: &Settings) -> Result<Self, StartError> {
        let https = Https::start(settings, &settings.api.host, &HttpsRole::Api)?;
        let audit = AuditLog::start(&settings.audit, Role::Api)?;
        let origins = Origins::parse(&settings.api.cors_origins)?;
        let validator = Arc::new(validator(settings)?);
        let database = open(&settings.database)?;
        database.prepare(serve::workers(&settings.server))?;
        let telemetry = Telemetry::start(&settings.telemetry, settings.entra.ca_file.as_deref(), SERVICE)?;

        let redis = if settings.api.rate_limits && settings.api.share_rate_limits {
            RedisClient::from_settings(&settings.redis)?
        } else {
            None
        };
        let proxies = TrustedProxies::new(&settings.server.trusted_proxies);
        let state = AppState {
            blog: web::Data::new(Blog::new(database.clone())),
            audit: web::Data::new(RequestAudit::new(audit.clone(), proxies.clone())),
            health: web::Data::new(Readiness::new(database.clone(), Arc::clone(&validator), audit.clone())),
            cache: web::Data::new(ResponseCache::new(settings.api.ready_answers_mib)),
            compressed: web::Data::new(CompressedBodies::new(settings.api.ready_answers_mib / 4)),
            validator: web::Data::from(Arc::clone(&validator)),
            names: web::Data::new(NameUpdates::default()),
            limits: web::Data::new(RateLimits::new(&settings.api, proxies, redis.as_ref())),
            settings: web::Data::new(settings.api.clone()),
            metadata: web::Data::new(MetadataDocument::new(&metadata(settings)?).map_err(StartError::Description)?),
            description: web::Data::new(Description::new(&settings.api).map_err(StartError::Description)?),
            tracing: web::Data::new(Tracing::new(telemetry.tracer(), settings)),
        };
        let (docs, database_deadline) = (settings.api.docs, settings.database.deadline);
        // The middleware that is added last sees a request first.
        let options = Options {
            name: "serve-api",
            workers: serve::workers(&settings.server),
            settings: &settings.server,
            tls: https.as_ref().map(Https::tls),
        };
        let http = serve::server::listen(listeners, &options, move || {
            App::new()
                .configure(|config| state.mount(config))
                .configure(|config| routes::mount(config, docs))
                .wrap_fn(move |request, service| db::within(database_deadline, service.call(request)))
                .wrap(from_fn(request_guard::check))
                .wrap(from_fn(header_limits::check))
                .wrap(from_fn(address_limit::admit))
                .wrap(origins.middleware())
                .wrap(Condition::new(
                    origins.allows_any_site(),
                    from_fn(address_limit::admit_preflight),
                ))
                .wrap(from_fn(problem_documents::complete))
                .wrap(from_fn(access_log::log))
                .wrap(from_fn(request_id::assign))
        })
        .map_err(StartError::Socket)?;
        exposure::warn("serve-api", http.addresses(), &settings.server, options.tls.is_some());
        Ok(Self {
            http,
            https,
            database,
            validator,
            telemetry,
            audit,
            fingerprint: settings.fingerprint.clone(),
        })
    }

    /// Where the server listens.
    pub fn addresses(&self) -> &[ListenAddress] {
        self.http.addresses()
    }

    /// The port of the server; 0 if it listens on Unix sockets only.
    pub fn port(&self) -> u16 {
        self.http.port()
    }

    /// The port for plain HTTP, if `server.tls.redirect_port` is set.
    pub fn plain_http_port(&self) -> Option<u16> {
        self.https.as_ref().and_then(Https::plain_http_port)
    }

    /// The certificate of HTTPS, if the server speaks it.
    pub fn served_certificate(&self) -> Option<ServedCertificate> {
        self.https.as_ref().map(Https::served_certificate)
    }

    /// A handle to stop the server.
    pub fn handle(&self) -> ServerHandle {
        self.http.handle()
    }

    /// Stops the server gracefully.
    pub fn shutdown_handle(&self) -> ShutdownHandle {
        self.http.shutdown_handle()
    }

    /// Serves until stopped, then closes the database.
    ///
    /// # Errors
    /// When its sockets fail.
    pub async fn run(self) -> io::Result<()> {
        let Self {
            http,
            https,
            database,
            validator,
            telemetry,
            audit,
            fingerprint,
        } = self;
        let key_watch = KeyWatch::start(validator)?;
        audit.record_start(fingerprint);
        if let Some(https) = &https {
            https.served_certificate().record_in(&audit);
        }
        let served = match https {
            Some(https) => https.serve(http).await,
            None => http.run().await,
        };
        drop(key_watch);
        let close = move || {
            database.close();
            // After the last write of a post.
            audit.record_stop();
            telemetry.stop();
        };
        web::block(close).await.map_err(io::Error::other)?;
        served
    }
}

/// Data that handlers and middleware share; the same for all workers.
#[derive(Clone)]
struct AppState {
    blog: web::Data<Blog>,
    audit: web::Data<RequestAudit>,
    health: web::Data<Readiness>,
    cache: web::Data<ResponseCache>,
    compressed: web::Data<CompressedBodies>,
    validator: web::Data<AccessTokenValidator>,
    limits: web::Data<RateLimits>,
    names: web::Data<NameUpdates>,
    settings: web::Data<ApiSettings>,
    metadata: web::Data<MetadataDocument>,
    description: web::Data<Description>,
    tracing: web::Data<Tracing>,
}

impl AppState {
    fn mount(&self, config: &mut web::ServiceConfig) {
        config
            .app_data(self.blog.clone())
            .app_data(self.audit.clone())
            .app_data(self.health.clone())
            .app_data(self.cache.clone())
            .app_data(self.compressed.clone())
            .app_data(self.validator.clone())
            .app_data(self.limits.clone())
            .app_data(self.names.clone())
            .app_data(self.settings.clone())
            .app_data(self.metadata.clone())
            .app_data(self.description.clone())
            .app_data(self.tracing.clone());
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

/// Opens the database and checks its migrations. By default, an SQLite file, which only this process uses, is migrated
/// here; a shared PostgreSQL is migrated by a separate command.
fn open(settings: &DatabaseSettings) -> Result<Database, StartError> {
    let database = Database::open(settings)?;
    let is_sqlite = matches!(database.url(), DatabaseUrl::Sqlite(_));
    if settings.migrate_at_start.unwrap_or(is_sqlite) {
        database.migrate()?;
    } else if database.has_pending_migrations()? {
        return Err(StartError::PendingMigrations);
    }
    Ok(database)
}
