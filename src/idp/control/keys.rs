//! Signing keys: rotate, and stop publishing one.

use actix_web::{HttpResponse, http::StatusCode, web};
use serde_json::json;

use super::problem;
use crate::idp::{signing_keys::KeyError, state::Idp};

/// `GET /_control/keys`: the published keys' ids, the signing one last.
pub async fn list(idp: web::Data<Idp>) -> HttpResponse {
    kids(&idp)
}

/// `POST /_control/keys/rotate`: signs with a new key from now on; the older ones stay published.
pub async fn rotate(idp: web::Data<Idp>) -> HttpResponse {
    let maker = idp.clone();
    answer(
        &idp,
        web::block(move || maker.signing_keys.rotate().map(|_| true)).await,
    )
}

/// `DELETE /_control/keys/{kid}`: publishes a key no more, and knows it no more.
pub async fn remove(idp: web::Data<Idp>, kid: web::Path<String>) -> HttpResponse {
    let maker = idp.clone();
    answer(&idp, web::block(move || maker.signing_keys.remove(&kid)).await)
}

fn answer(idp: &Idp, done: Result<Result<bool, KeyError>, actix_web::error::BlockingError>) -> HttpResponse {
    match done {
        Ok(Ok(true)) => kids(idp),
        Ok(Ok(false)) => problem(StatusCode::NOT_FOUND, "no such key is published"),
        Ok(Err(error)) => problem(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

fn kids(idp: &Idp) -> HttpResponse {
    let kids: Vec<String> = idp.signing_keys.all().iter().map(|key| key.kid.clone()).collect();
    HttpResponse::Ok().json(json!({ "kids": kids }))
}
