//! Health: whether the process lives, and whether it can do its work. Open to everybody, so the text says which part
//! is missing and nothing else: no address, no path, no message of a driver.

use std::time::Duration;

use actix_web::{HttpResponse, http::StatusCode, rt::time::timeout, web};
use serde::Serialize;
use utoipa::ToSchema;

use crate::{db::Database, entra::AccessTokenValidator};

/// How long the database may take to answer. Shorter than what probes usually wait.
const DATABASE_ANSWER: Duration = Duration::from_secs(2);

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
    responses((status = 200, description = "It does", body = Health)),
)]
pub async fn live() -> HttpResponse {
    HttpResponse::Ok().json(Health { status: Status::Ok, checks: None })
}

/// `GET /health`: the same as `GET /health/ready`, at the older API's address.
#[utoipa::path(
    get,
    path = "/health",
    operation_id = "getHealth",
    tag = "service",
    summary = "Whether requests can be served",
    responses(
        (status = 200, description = "They can", body = Health),
        (status = 503, description = "Something that they need is away; `checks` says what", body = Health),
    ),
)]
pub async fn health(database: web::Data<Database>, validator: web::Data<AccessTokenValidator>) -> HttpResponse {
    ready(database, validator).await
}

/// `GET /health/ready`: 200 when requests can be served, 503 when something that they need is away.
#[utoipa::path(
    get,
    path = "/health/ready",
    operation_id = "getReadiness",
    tag = "service",
    summary = "Whether requests can be served",
    responses(
        (status = 200, description = "They can", body = Health),
        (status = 503, description = "Something that they need is away; `checks` says what", body = Health),
    ),
)]
pub async fn ready(database: web::Data<Database>, validator: web::Data<AccessTokenValidator>) -> HttpResponse {
    let database = match timeout(DATABASE_ANSWER, database.ping()).await {
        Ok(Ok(())) => Status::Ok,
        Ok(Err(error)) => unavailable(&error.to_string()),
        Err(_) => unavailable("the database does not answer in time"),
    };
    // Only what is in memory: whoever asks here must not cause traffic to the identity provider. The server itself
    // fetches the keys from its start on.
    let signing_keys = if validator.is_ready() { Status::Ok } else { Status::Unavailable };

    let status = if (database, signing_keys) == (Status::Ok, Status::Ok) { Status::Ok } else { Status::Unavailable };
    let code = if status == Status::Ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let checks = Checks { database: Check { status: database }, signing_keys: Check { status: signing_keys } };
    HttpResponse::build(code).json(Health { status, checks: Some(checks) })
}

fn unavailable(reason: &str) -> Status {
    log::warn!("not ready: {reason}");
    Status::Unavailable
}
