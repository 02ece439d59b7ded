//! `/health`: for machines that watch the site.
//!
//! `live`: the process answers. `ready`: the site can serve; that holds as soon as it runs, since it explains to its
//! visitors when Entra or the API is down, which a load balancer that took it away could not. `/health` itself asks both,
//! and remembers their answer for a few seconds, so that nobody can make the site flood them.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use actix_web::{HttpResponse, http::StatusCode, web};
use chrono::Utc;
use serde_json::{Value, json};

use crate::{
    entra::{
        ConfidentialClient, Provider,
        certificate::{CertificateError, SOON_DAYS},
    },
    web::{
        api_client::ApiClient,
        error_page::{Kind, PageError},
        visit::Visit,
    },
};

/// How long an answer is remembered.
const FRESH: Duration = Duration::from_secs(5);

/// What was found out last.
#[derive(Default)]
pub struct HealthMemory(Mutex<Option<(Instant, Checks)>>);

#[derive(Clone, Copy)]
struct Checks {
    entra: bool,
    api: bool,
}

/// `GET /health/live`
pub async fn live() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok" }))
}

/// `GET /health/ready`: with the state of the certificate, for whoever watches it; also an expired one takes nothing away
/// from what the site can still explain.
///
/// # Errors
/// When the server was put together without a site.
pub async fn ready(visit: Visit) -> Result<HttpResponse, PageError> {
    let certificate = certificate(&visit.site.client);
    Ok(HttpResponse::Ok().json(json!({ "status": "ok", "checks": { "certificate": certificate } })))
}

/// How many days the certificate has left, in words that machines compare; and whether its files (or vault) are in order. A
/// site that proves itself by a federated token has none.
fn certificate(client: &ConfidentialClient) -> Value {
    let (now, credential) = (Utc::now(), client.credential());
    let Some(certificate) = credential.certificate() else { return json!({ "status": "not_needed" }) };
    let days_left = certificate.details().days_left(now);
    let status = match certificate.check_dates(now) {
        Err(CertificateError::NotYetValid { .. }) => "not_yet_valid",
        Err(_) => "expired",
        Ok(()) if days_left <= SOON_DAYS => "expires_soon",
        Ok(()) => "ok",
    };
    let files = if client.has_unusable_files() { "unusable" } else { "ok" };
    json!({ "status": status, "days_left": days_left, "files": files })
}

/// `GET /health`: 503 when Entra or the API does not answer.
///
/// # Errors
/// When the check itself breaks.
pub async fn report(visit: Visit) -> Result<HttpResponse, PageError> {
    let site = visit.site.clone();
    let checks = web::block(move || site.health.check(&site.provider, &site.api))
        .await
        .map_err(|_| PageError::from(Kind::Internal))?;
    let word = |is_well: bool| if is_well { "ok" } else { "unavailable" };
    let all = checks.entra && checks.api;
    let status = if all { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    Ok(HttpResponse::build(status).json(json!({
        "status": word(all),
        "checks": {
            "entra": word(checks.entra),
            "api": word(checks.api),
            "certificate": certificate(&visit.site.client),
        },
    })))
}

impl HealthMemory {
    /// Blocks. One caller at a time asks; the others wait, and get the same answer.
    fn check(&self, provider: &Provider, api: &Arc<ApiClient>) -> Checks {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, checks)) = *last
            && at.elapsed() < FRESH
        {
            return checks;
        }
        let checks = Checks { entra: provider.metadata().is_ok(), api: api.is_alive() };
        *last = Some((Instant::now(), checks));
        checks
    }
}
