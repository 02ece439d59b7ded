//! The server that Prometheus reads the metrics from, on a separate port: `GET /metrics`, and nothing else.
//!
//! It has one thread and few connections, so that a scraper that behaves badly costs the role's server nothing. It starts
//! before that server and stops after it, so that a scrape also sees the start and the end.

mod accept;
mod start_error;

use std::{net::TcpListener, time::Duration};

use actix_web::{
    App, HttpRequest, HttpResponse,
    dev::ServerHandle,
    guard::{Any, Get, Head},
    http::header::{ALLOW, CACHE_CONTROL},
    middleware::from_fn,
    rt, web,
};

pub use self::start_error::StartError;
use crate::{
    config::{MetricsSettings, ServerSettings},
    metrics::{self, Format},
    serve::{self, Options, request_guard},
};

/// The path of the metrics.
const PATH: &str = "/metrics";
/// Most connections: several scrapers, each with one or two.
const MAX_CONNECTIONS: usize = 32;
/// Time limit of a head, a body and a stalled response.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a scrape may take when the process stops.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// A socket that listens for scrapers.
pub struct Socket {
    listener: TcpListener,
    host: String,
}

/// The running server.
pub struct Exposition {
    handle: ServerHandle,
    url: String,
}

impl Socket {
    /// Listens if metrics are enabled.
    ///
    /// # Errors
    /// When the port is in use or not permitted.
    pub fn listen(settings: &MetricsSettings) -> Result<Option<Self>, StartError> {
        if !settings.enabled {
            return Ok(None);
        }
        Ok(Some(Self {
            listener: serve::listen(&settings.host, settings.port)?,
            host: settings.host.clone(),
        }))
    }

    /// Starts the server in the current actix system, and starts recording.
    ///
    /// # Errors
    /// When the socket cannot be used.
    pub fn serve(self) -> Result<Exposition, StartError> {
        let Self { listener, host } = self;
        let settings = server_settings();
        let options = Options {
            name: "metrics",
            workers: 1,
            settings: &settings,
            tls: None,
        };
        let server = serve::server::listen(listener, &options, || {
            App::new()
                .service(
                    web::resource(PATH)
                        .route(web::route().guard(Any(Get()).or(Head())).to(scrape))
                        .default_service(web::to(reject_method)),
                )
                .default_service(web::to(not_found))
                .wrap(from_fn(request_guard::check))
        })
        .map_err(StartError::Socket)?;
        metrics::enable();
        let host = if host.contains(':') && !host.starts_with('[') {
            format!("[{host}]")
        } else {
            host
        };
        let exposition = Exposition {
            handle: server.handle(),
            url: format!("http://{host}:{}{PATH}", server.port()),
        };
        rt::spawn(async {
            if let Err(error) = server.run().await {
                log::error!("the server of the metrics has ended: {error}");
            }
        });
        Ok(exposition)
    }
}

impl Exposition {
    /// The address of the metrics.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Stops after the scrapes under way.
    pub async fn stop(self) {
        self.handle.stop(true).await;
    }
}

fn server_settings() -> ServerSettings {
    ServerSettings {
        max_connections: MAX_CONNECTIONS,
        max_connections_per_address: MAX_CONNECTIONS,
        head_timeout: TIMEOUT,
        body_timeout: TIMEOUT,
        send_timeout: TIMEOUT,
        shutdown_timeout: SHUTDOWN_TIMEOUT,
        ..ServerSettings::default()
    }
}

async fn scrape(request: HttpRequest) -> HttpResponse {
    let format = if accept::prefers_openmetrics(request.headers()) {
        Format::OpenMetrics
    } else {
        Format::Text
    };
    match metrics::encode(format) {
        Ok(text) => HttpResponse::Ok()
            .content_type(format.content_type())
            .insert_header((CACHE_CONTROL, "no-store"))
            .body(text),
        Err(error) => {
            log::error!("the metrics cannot be written: {error}");
            HttpResponse::InternalServerError().body("the metrics cannot be written: see the log\n")
        }
    }
}

async fn reject_method() -> HttpResponse {
    HttpResponse::MethodNotAllowed()
        .insert_header((ALLOW, "GET, HEAD"))
        .body("use GET\n")
}

async fn not_found() -> HttpResponse {
    HttpResponse::NotFound().body("the metrics are at /metrics\n")
}
