//! `/health`: for monitoring and load balancers.
//!
//! `live`: the process answers. `ready`: the site can serve requests, which it can as soon as it runs and reaches its session store. It stays
//! ready while Entra ID or the API is down, because it explains that to its visitors; a load balancer that removed it
//! could not. `/health` itself also probes both.

use actix_web::{HttpResponse, HttpResponseBuilder, http::StatusCode, web};
use futures_util::future::join3;
use serde_json::{Value, json};

use crate::{
    audit::AuditStatus, background, entra::ConfidentialClient, serve::RequestAudit, web::health_checks::HealthChecks,
};

/// `GET /health/live`
pub async fn live() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok" }))
}

/// `GET /health/ready`: 503 when this replica does not reach the Redis that stores sessions; another replica may. Includes the state of
/// the certificate for monitoring. Even an expired certificate does not make the site unready: it can still explain the
/// problem.
pub async fn ready(
    checks: web::Data<HealthChecks>,
    client: web::Data<ConfidentialClient>,
    audit: web::Data<RequestAudit>,
) -> HttpResponse {
    let sessions = checks.is_session_store_up().await;
    let mut report = json!({
        "status": word(sessions),
        "checks": {
            "sessions": word(sessions),
            "certificate": certificate(&client, checks.expiry_warning_days),
            "threads": threads(),
        },
    });
    add_audit(&mut report, audit.log().status());
    response(sessions).json(report)
}

/// `GET /health`: 503 when Entra ID, the API or the session store does not answer.
pub async fn report(
    checks: web::Data<HealthChecks>,
    client: web::Data<ConfidentialClient>,
    audit: web::Data<RequestAudit>,
) -> HttpResponse {
    let (entra, api, sessions) = join3(checks.is_entra_up(), checks.is_api_up(), checks.is_session_store_up()).await;
    let all = entra && api && sessions;
    let mut report = json!({
        "status": word(all),
        "checks": {
            "entra": word(entra),
            "api": word(api),
            "sessions": word(sessions),
            "certificate": certificate(&client, checks.expiry_warning_days),
            "threads": threads(),
        },
    });
    add_audit(&mut report, audit.log().status());
    response(all).json(report)
}

/// Whether the audit trail can be written, if there is one. Requests are served even if it cannot.
fn add_audit(report: &mut Value, status: Option<AuditStatus>) {
    if let (Some(status), Some(checks)) = (status, report.get_mut("checks").and_then(Value::as_object_mut)) {
        checks.insert("audit".to_owned(), json!(word(status.failure.is_none())));
    }
}

/// The state of the background threads, such as the one that watches the certificate. A panic there leaves the site
/// able to serve requests, but monitoring must see it.
fn threads() -> Value {
    let panicked = background::reports().into_iter().filter(|report| report.panics > 0);
    let list = panicked
        .map(|report| json!({ "name": report.name, "status": report.status.as_str(), "panics": report.panics }));
    json!({ "status": background::status().as_str(), "panicked": list.collect::<Vec<_>>() })
}

/// How many days the certificate has left, with a status that programs can compare. Also which configured credentials
/// cannot be used and why, without their paths. A site that authenticates with a federated token has no certificate.
fn certificate(client: &ConfidentialClient, expiry_warning_days: i64) -> Value {
    let (now, credential) = (client.now(), client.credential());
    let entries = client.unusable_entries();
    let unusable: Vec<_> = entries
        .iter()
        .enumerate()
        .filter_map(|(n, (source, reason))| Some(json!({ "entry": n + 1, "source": source, "reason": (*reason)? })))
        .collect();
    let files = if unusable.is_empty() { "ok" } else { "unusable" };
    let Some(certificate) = credential.certificate() else {
        return json!({ "status": "not_needed", "files": files, "unusable": unusable });
    };
    let days_left = certificate.details().days_left(now);
    let status = match certificate.check_dates(now) {
        // "expired" or "not_yet_valid".
        Err(error) => error.reason(),
        Ok(()) if days_left <= expiry_warning_days => "expires_soon",
        Ok(()) => "ok",
    };
    json!({ "status": status, "days_left": days_left, "files": files, "unusable": unusable })
}

fn response(is_up: bool) -> HttpResponseBuilder {
    HttpResponse::build(if is_up {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    })
}

fn word(is_up: bool) -> &'static str {
    if is_up { "ok" } else { "unavailable" }
}
