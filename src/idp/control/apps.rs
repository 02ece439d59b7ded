//! Replaces or removes the certificates of an app registration.

use actix_web::{HttpResponse, http::StatusCode, web};
use serde::Deserialize;
use serde_json::json;

use super::problem::problem;
use crate::idp::{
    certificate::{CertificateError, RegisteredCertificate},
    registrations::Registrations,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Certificates {
    /// In PEM, one certificate each.
    certificates: Vec<String>,
    /// Whether their issuer has revoked them.
    #[serde(default)]
    revoked: bool,
}

/// `PUT /_control/apps/{client_id}/certificates`: replaces the registered certificates.
pub async fn replace_certificates(
    registrations: web::Data<Registrations>,
    client_id: web::Path<String>,
    new: web::Json<Certificates>,
) -> HttpResponse {
    let new = new.into_inner();
    let read = |pem: &String| {
        let mut certificate = RegisteredCertificate::from_pem(pem.as_bytes())?;
        certificate.revoked = new.revoked;
        Ok(certificate)
    };
    let certificates: Result<Vec<_>, CertificateError> = new.certificates.iter().map(read).collect();
    match certificates {
        Ok(certificates) => register(&registrations, &client_id, certificates),
        Err(error) => problem(StatusCode::BAD_REQUEST, error.to_string()),
    }
}

/// `DELETE /_control/apps/{client_id}/certificates`: removes all of them.
pub async fn remove_certificates(
    registrations: web::Data<Registrations>,
    client_id: web::Path<String>,
) -> HttpResponse {
    register(&registrations, &client_id, Vec::new())
}

fn register(registrations: &Registrations, client_id: &str, certificates: Vec<RegisteredCertificate>) -> HttpResponse {
    let Some(app) = registrations.app(client_id) else {
        return problem(
            StatusCode::NOT_FOUND,
            format!("no app registration has the client id {client_id}"),
        );
    };
    let thumbprints: Vec<String> = certificates
        .iter()
        .map(|certificate| hex::encode_upper(&certificate.sha256))
        .collect();
    app.replace_certificates(certificates);
    HttpResponse::Ok().json(json!({ "sha256": thumbprints }))
}
