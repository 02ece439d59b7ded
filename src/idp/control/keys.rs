//! Rotates and removes signing keys.

use actix_web::{HttpResponse, error::BlockingError, http::StatusCode, web};
use serde_json::json;

use super::problem::problem;
use crate::idp::signing_keys::{KeyError, KeyRing};

/// `GET /_control/keys`: the ids of the published keys; the last one signs.
pub async fn list(keys: web::Data<KeyRing>) -> HttpResponse {
    kids(&keys)
}

/// `POST /_control/keys/rotate`: starts to sign with a new key. The older keys stay published.
pub async fn rotate(keys: web::Data<KeyRing>) -> HttpResponse {
    let ring = keys.clone();
    response(&keys, web::block(move || ring.rotate().map(|_| true)).await)
}

/// `DELETE /_control/keys/{kid}`: stops publishing a key and discards it.
pub async fn remove(keys: web::Data<KeyRing>, kid: web::Path<String>) -> HttpResponse {
    let ring = keys.clone();
    response(&keys, web::block(move || ring.remove(&kid)).await)
}

fn response(keys: &KeyRing, done: Result<Result<bool, KeyError>, BlockingError>) -> HttpResponse {
    match done {
        Ok(Ok(true)) => kids(keys),
        Ok(Ok(false)) => problem(StatusCode::NOT_FOUND, "no such key is published"),
        Ok(Err(error)) => problem(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        Err(error) => problem(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
    }
}

fn kids(keys: &KeyRing) -> HttpResponse {
    let kids: Vec<String> = keys.all().iter().map(|key| key.kid.clone()).collect();
    HttpResponse::Ok().json(json!({ "kids": kids }))
}
