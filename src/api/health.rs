//! Health: whether the process lives, and whether it can do its work. Open to everybody, so the text says which part
//! is missing and nothing else: no address, no path, no message of a driver.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use actix_web::{HttpResponse, http::StatusCode, rt::time::timeout, web};
use serde::Serialize;
use tokio::sync::Mutex;
use utoipa::ToSchema;

use crate::{background, db::Database, entra::AccessTokenValidator};

/// How long the database may take to answer. Shorter than what probes usually wait.
const DATABASE_ANSWER: Duration = Duration::from_secs(2);
/// For how long an answer is given again: anybody may ask, thousands of times a second.
const FRESH: Duration = Duration::from_millis(500);

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
    /// `restarted` or `failed` when a thread beside the requests has panicked; the log says which.
    #[serde(skip_serializing_if = "Option::is_none")]
    threads: Option<&'static str>,
}

#[derive(Serialize, ToSchema)]
struct Health {
    status: Status,
    #[serde(skip_serializing_if = "Option::is_none")]
    checks: Option<Checks>,
}

/// `GET /health/live`: 200 as long as the process answers at all.
#[utoipa::path(
    get,
    path = "/health/live",
    operation_id = "getLiveness",
    tag = "service",
    summary = "Whether the process answers at all",
    description = "For restarting a process that hangs.",
    responses((status = 200, description = "It does", body = Health)),
)]
pub async fn live() -> HttpResponse {
    HttpResponse::Ok().json(Health {
        status: Status::Ok,
        checks: None,
    })
}

/// Asks whether requests can be served, for everybody who wants to know, at most once in [`FRESH`].
pub struct Probe {
    database: Database,
    validator: Arc<AccessTokenValidator>,
    /// Whoever finds it old holds it while asking; the others wait for that answer.
    last: Mutex<Option<(Instant, Status)>>,
}

impl Probe {
    /// For an API with these. Asks nothing yet.
    pub fn new(database: Database, validator: Arc<AccessTokenValidator>) -> Self {
        Self {
            database,
            validator,
            last: Mutex::const_new(None),
        }
    }

    async fn database(&self) -> Status {
        let mut last = self.last.lock().await;
        if let Some((asked, status)) = *last
            && asked.elapsed() < FRESH
        {
            return status;
        }
        let status = match timeout(DATABASE_ANSWER, self.database.ping()).await {
            Ok(Ok(())) => Status::Ok,
            Ok(Err(error)) => unavailable(&error.to_string()),
            Err(_) => unavailable("the database does not answer in time"),
        };
        *last = Some((Instant::now(), status));
        status
    }

    /// Only what is in memory: whoever asks here must not cause traffic to the identity provider. The server itself
    /// fetches the keys from its start on.
    fn signing_keys(&self) -> Status {
        if self.validator.is_ready() {
            Status::Ok
        } else {
            Status::Unavailable
        }
    }
}

/// `GET /health`: the same as `GET /health/ready`, at the older API's address.
#[utoipa::path(
    get,
    path = "/health",
    operation_id = "getHealth",
    tag = "service",
    summary = "Whether requests can be served",
    description = "The same as `/health/ready`, at the address of the older API.",
    responses(
        (status = 200, description = "They can", body = Health),
        (status = 503, description = "Something that they need is away; `checks` says what", body = Health),
    ),
)]
pub async fn health(probe: web::Data<Probe>) -> HttpResponse {
    ready(probe).await
}

/// `GET /health/ready`: 200 when requests can be served, 503 when something that they need is away.
#[utoipa::path(
    get,
    path = "/health/ready",
    operation_id = "getReadiness",
    tag = "service",
    summary = "Whether requests can be served",
    description = "For sending the process requests only when it can serve them; `checks` says what is missing.",
    responses(
        (status = 200, description = "They can", body = Health),
        (status = 503, description = "Something that they need is away; `checks` says what", body = Health),
    ),
)]
pub async fn ready(probe: web::Data<Probe>) -> HttpResponse {
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
