//! `/_control/`: how a test makes the provider do what a real one does rarely, or never.
//!
//! Whoever reaches it can mint any token, so only programs on this machine do: requests from other addresses are refused,
//! and so is everything that a web page could send (`docs/identity-provider.md`).

mod apps;
mod guard;
mod keys;
mod mint;

use actix_web::{HttpResponse, http::StatusCode, middleware::from_fn, web};
use serde::Deserialize;
use serde_json::json;

use super::{faults::Fault, state::Idp};

/// Where it is.
pub const PATH: &str = "/_control";

/// Whether a request's path is in here.
pub fn is_control(path: &str) -> bool {
    path.strip_prefix(PATH)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// All of it, behind its guard.
pub fn routes(config: &mut web::ServiceConfig) {
    let guarded = web::scope("")
        .wrap(from_fn(guard::only_local_programs))
        .route("/tokens", web::post().to(mint::mint))
        .route("/keys", web::get().to(keys::list))
        .route("/keys/rotate", web::post().to(keys::rotate))
        .route("/keys/{kid}", web::delete().to(keys::remove))
        .route(
            "/apps/{client_id}/certificates",
            web::put().to(apps::replace_certificates),
        )
        .route(
            "/apps/{client_id}/certificates",
            web::delete().to(apps::remove_certificates),
        )
        .route("/fault", web::put().to(set_fault))
        .route("/fault", web::delete().to(clear_fault))
        .route("/requests", web::get().to(requests))
        .route("/requests", web::delete().to(forget_requests))
        .route("/clock", web::put().to(set_clock));
    config.service(guarded);
}

/// An answer that says what is wrong with a request to the control interface.
fn problem(status: StatusCode, message: impl Into<String>) -> HttpResponse {
    HttpResponse::build(status).json(json!({ "error": message.into() }))
}

async fn set_fault(idp: web::Data<Idp>, fault: web::Json<Fault>) -> HttpResponse {
    idp.faults.set(fault.into_inner());
    HttpResponse::NoContent().finish()
}

async fn clear_fault(idp: web::Data<Idp>) -> HttpResponse {
    idp.faults.set(Fault::default());
    HttpResponse::NoContent().finish()
}

async fn requests(idp: web::Data<Idp>) -> HttpResponse {
    HttpResponse::Ok().json(idp.journal.entries())
}

async fn forget_requests(idp: web::Data<Idp>) -> HttpResponse {
    idp.journal.clear();
    HttpResponse::NoContent().finish()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockSetting {
    offset_seconds: i64,
}

async fn set_clock(idp: web::Data<Idp>, clock: web::Json<ClockSetting>) -> HttpResponse {
    idp.clock.set_offset(clock.offset_seconds);
    HttpResponse::NoContent().finish()
}
