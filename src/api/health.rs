//! Health: whether the process is alive, and whether it can serve requests. Public, so the response only names the
//! unavailable part: no address, no path, no driver's message.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::{HttpResponse, http::StatusCode, rt::time::timeout, web};
use serde::Serialize;
use tokio::sync::Mutex;
use utoipa::ToSchema;

use crate::{audit::AuditLog, background, db::Database, entra::AccessTokenValidator, metrics};

/// How long the database may take to answer. Shorter than the usual timeout of probes.
const DATABASE_TIMEOUT: Duration = Duration::from_secs(2);
/// How long the result is cached: any client can send thousands of probes per second.
const CACHE_TIME: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    Unavailable,
}

#[derive(Serialize, ToSchema)]
struct Check {
    status: Status,
}

#[derive(Serialize, ToSchema)]
struct Checks {
    database: Check,
    signing_keys: Check,
    /// Only with an audit trail. Requests are served even if it cannot be written.
    #[serde(skip_serializing_if = "Option::is_none")]
    audit: Option<Check>,
    /// `restarted` or `failed` when a background thread has panicked; the log says which one.
    #[serde(skip_serializing_if = "Option::is_none")]
    threads: Option<&'static str>,
}

#[derive(Serialize, ToSchema)]
struct Health {
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    checks: Option<Checks>,
}

/// `GET /health/live`: 200 while the process responds.
#[utoipa::path(
    get,
    path = "/health/live",
    operation_id = "getLiveness",
    tag = "service",
    summary = "Whether the process responds",
    description = "Use it to restart a process that hangs.",
    responses((status = 200, description = "The process responds", body = Health)),
)]
pub async fn live() -> HttpResponse {
    HttpResponse::Ok().json(Health {
        status: Status::Ok,
        checks: None,
    })
}

/// Checks whether requests can be served, at most once per [`CACHE_TIME`].
pub struct Readiness {
    database: Database,
    validator: Arc<AccessTokenValidator>,
    audit: AuditLog,
    /// The first caller that finds it outdated holds the lock while checking; the others wait for the result.
    last: Mutex<Option<(Instant, Status)>>,
}

impl Readiness {
    /// Checks nothing yet.
    pub fn new(database: Database, validator: Arc<AccessTokenValidator>, audit: AuditLog) -> Self {
        Self {
            database,
            validator,
            audit,
            last: Mutex::const_new(None),
        }
    }

    async fn database(&self) -> Status {
        let mut last = self.last.lock().await;
        if let Some((checked_at, status)) = *last
            && checked_at.elapsed() < CACHE_TIME
        {
            return status;
        }
        let status = match timeout(DATABASE_TIMEOUT, self.database.ping()).await {
            Ok(Ok(())) => Status::Ok,
            Ok(Err(error)) => {
                metrics::database::failed(error.reason());
                unavailable(&error.to_string())
            }
            Err(_) => {
                metrics::database::failed("deadline");
                unavailable("the database did not answer in time")
            }
        };
        *last = Some((Instant::now(), status));
        status
    }

    /// Checks memory only: a probe must not cause requests to the identity provider. [`super::key_watch`] fetches the
    /// keys.
    fn signing_keys(&self) -> Status {
        if self.validator.is_ready() {
            Status::Ok
        } else {
            Status::Unavailable
        }
    }

    fn audit(&self) -> Option<Check> {
        self.audit.status().map(|audit| Check {
            status: if audit.failure.is_none() {
                Status::Ok
            } else {
                Status::Unavailable
            },
        })
    }
}

/// `GET /health`: the same as `GET /health/ready`, at the older API's path.
#[utoipa::path(
    get,
    path = "/health",
    operation_id = "getHealth",
    tag = "service",
    summary = "Whether requests can be served",
    description = "The same as `/health/ready`, at the path of the older API.",
    responses(
        (status = 200, description = "Requests can be served", body = Health),
        (status = 503, description = "A dependency is unavailable; `checks` says which", body = Health),
    ),
)]
pub async fn health(probe: web::Data<Readiness>) -> HttpResponse {
    ready(probe).await
}

/// `GET /health/ready`: 200 when requests can be served, 503 when a dependency is unavailable.
#[utoipa::path(
    get,
    path = "/health/ready",
    operation_id = "getReadiness",
    tag = "service",
    summary = "Whether requests can be served",
    description = "Use it to route requests only to processes that can serve them; `checks` says which dependency is unavailable.",
    responses(
        (status = 200, description = "Requests can be served", body = Health),
        (status = 503, description = "A dependency is unavailable; `checks` says which", body = Health),
    ),
)]
pub async fn ready(probe: web::Data<Readiness>) -> HttpResponse {
    let (database, signing_keys) = (probe.database().await, probe.signing_keys());
    let status = if (database, signing_keys) == (Status::Ok, Status::Ok) {
        Status::Ok
    } else {
        Status::Unavailable
    };
    let code = if status == Status::Ok {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let threads = Some(background::status())
        .filter(|status| *status > background::Status::Ok)
        .map(background::Status::as_str);
    let checks = Checks {
        database: Check { status: database },
        signing_keys: Check { status: signing_keys },
        audit: probe.audit(),
        threads,
    };
    HttpResponse::build(code).json(Health {
        status,
        checks: Some(checks),
    })
}

fn unavailable(reason: &str) -> Status {
    log::warn!("not ready: {reason}");
    Status::Unavailable
}
