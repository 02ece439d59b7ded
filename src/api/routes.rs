//! The route table. What is under `/v1` needs an access token; health does not.

use std::future::ready;

use actix_web::{
    HttpRequest, HttpResponse, Route, guard,
    http::{Method, header},
    middleware::from_fn,
    web::{self, ServiceConfig},
};

use super::{
    docs, health,
    middleware::{accept, bearer, compression::compressed},
    openapi, posts,
    problem::{FieldError, Problem},
    profile, resource_metadata, users,
};

/// Mounts every route; without `docs`, the page of the API is not there.
pub fn mount(config: &mut ServiceConfig, docs: bool) {
    mount_docs(config, docs);
    config
        .app_data(web::PathConfig::default().error_handler(|_, _: &HttpRequest| not_an_id().into()))
        .service(
            web::resource("/health")
                .route(get().to(health::health))
                .default_service(only("GET, HEAD, OPTIONS")),
        )
        .service(
            web::resource("/health/live")
                .route(get().to(health::live))
                .default_service(only("GET, HEAD, OPTIONS")),
        )
        .service(
            web::resource("/health/ready")
                .route(get().to(health::ready))
                .default_service(only("GET, HEAD, OPTIONS")),
        )
        .service(
            web::resource(resource_metadata::PATH)
                .route(get().to(resource_metadata::read))
                .default_service(only("GET, HEAD, OPTIONS")),
        )
        .service(
            web::resource(openapi::PATH)
                .route(get().to(openapi::read))
                .default_service(only("GET, HEAD, OPTIONS")),
        )
        .service(
            web::scope("/v1")
                .wrap(from_fn(accept::require_json))
                .wrap(from_fn(bearer::require))
                .service(
                    web::resource("/profile")
                        .route(get().to(profile::read))
                        .default_service(only("GET, HEAD, OPTIONS")),
                )
                .service(
                    web::resource("/users/me")
                        .route(web::post().to(users::register))
                        .default_service(only("POST, OPTIONS")),
                )
                .service(
                    web::resource("/posts")
                        .route(compressed(get().to(posts::list::list)))
                        .route(get().to(posts::list::list))
                        .route(web::post().to(posts::create::create))
                        .default_service(only("GET, HEAD, POST, OPTIONS")),
                )
                .service(
                    web::resource("/posts/{id}")
                        .route(compressed(get().to(posts::read::read)))
                        .route(get().to(posts::read::read))
                        .route(web::put().to(posts::change::change))
                        .route(web::delete().to(posts::delete::delete))
                        .default_service(only("GET, HEAD, PUT, DELETE, OPTIONS")),
                ),
        )
        .default_service(web::to(not_found));
}

fn mount_docs(config: &mut ServiceConfig, docs: bool) {
    for (path, page) in [(docs::PATH, get().to(docs::page)), (docs::FILES, get().to(docs::part))] {
        config.service(if docs {
            web::resource(path)
                .route(page)
                .default_service(only("GET, HEAD, OPTIONS"))
        } else {
            // Not left out: everything else under `/v1` demands a token first.
            web::resource(path).default_service(web::to(not_found))
        });
    }
}

async fn not_found() -> HttpResponse {
    HttpResponse::from_error(Problem::not_found())
}

/// GET, and HEAD with it (RFC 9110 §9.3.2); the server leaves out the body.
fn get() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

/// What answers any other method: OPTIONS by what the route knows, the rest by a refusal that says the same.
fn only(allow: &'static str) -> Route {
    web::to(move |method: Method| {
        ready(if method == Method::OPTIONS {
            HttpResponse::NoContent().insert_header((header::ALLOW, allow)).finish()
        } else {
            HttpResponse::from_error(Problem::method_not_allowed(allow))
        })
    })
}

fn not_an_id() -> Problem {
    Problem::invalid(vec![FieldError::new("id", "must be an integer")])
}
