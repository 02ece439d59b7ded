//! `/_control/`: lets a test make the emulator do what Entra does rarely or never.
//!
//! A client of this interface can mint any token. So only programs on this machine may use it: requests from other
//! addresses are rejected, and so are requests that a web page can send (`docs/identity-provider.md`).

mod apps;
mod guard;
mod keys;
mod mint;
mod problem;

use actix_web::{HttpResponse, middleware::from_fn, web};
use serde::Deserialize;

use super::{
    clock::Clock,
    faults::{FaultInjection, FaultInjector},
    request_log::RequestLog,
};

/// The routes, behind the guard.
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

async fn set_fault(faults: web::Data<FaultInjector>, fault: web::Json<FaultInjection>) -> HttpResponse {
    faults.set(fault.into_inner());
    HttpResponse::NoContent().finish()
}

async fn clear_fault(faults: web::Data<FaultInjector>) -> HttpResponse {
    faults.set(FaultInjection::default());
    HttpResponse::NoContent().finish()
}

async fn requests(log: web::Data<RequestLog>) -> HttpResponse {
    HttpResponse::Ok().json(log.entries())
}

async fn forget_requests(log: web::Data<RequestLog>) -> HttpResponse {
    log.clear();
    HttpResponse::NoContent().finish()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClockSetting {
    offset_seconds: i64,
}

async fn set_clock(clock: web::Data<Clock>, setting: web::Json<ClockSetting>) -> HttpResponse {
    clock.set_offset(setting.offset_seconds);
    HttpResponse::NoContent().finish()
}
