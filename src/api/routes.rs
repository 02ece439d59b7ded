//! The route table. What is under `/v1` needs an access token; health does not.

use std::future::ready;

use actix_web::{
    HttpRequest, HttpResponse, Route, guard,
    http::{Method, header},
    middleware::{Compress, from_fn},
    web::{self, ServiceConfig},
};

use super::{
    bearer, docs, health, openapi, posts,
    problem::{FieldError, Problem},
    profile, resource_metadata, users,
};

/// Mounts every route.
pub fn mount(config: &mut ServiceConfig) {
    config
        .app_data(web::PathConfig::default().error_handler(|_, _: &HttpRequest| not_an_id().into()))
        .service(web::resource("/health").route(get().to(health::health)).default_service(only("GET, HEAD, OPTIONS")))
        .service(
            web::resource("/health/live").route(get().to(health::live)).default_service(only("GET, HEAD, OPTIONS")),
        )
        .service(
            web::resource("/health/ready").route(get().to(health::ready)).default_service(only("GET, HEAD, OPTIONS")),
        )
        .service(
            web::resource(resource_metadata::PATH)
                .route(get().to(resource_metadata::read))
                .default_service(only("GET, HEAD, OPTIONS")),
        )
        .service(
            web::resource(openapi::PATH)
                .route(get().to(openapi::read).wrap(Compress::default()))
                .default_service(only("GET, HEAD, OPTIONS")),
        )
        .service(
            web::resource(docs::PATH)
                .route(get().to(docs::page).wrap(Compress::default()))
                .default_service(only("GET, HEAD, OPTIONS")),
        )
        .service(
            web::resource("/v1/docs/{name}")
                .route(get().to(docs::part).wrap(Compress::default()))
                .default_service(only("GET, HEAD, OPTIONS")),
        )
        .service(
            web::scope("/v1")
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
                        // Compressed only here: an answer with a strong ETag may not have two forms (RFC 9110 §8.8.3.3).
                        .route(get().to(posts::list::list).wrap(Compress::default()))
                        .route(web::post().to(posts::create::create))
                        .default_service(only("GET, HEAD, POST, OPTIONS")),
                )
                .service(
                    web::resource("/posts/{id}")
                        .route(get().to(posts::read::read))
                        .route(web::put().to(posts::change::change))
                        .route(web::delete().to(posts::delete::delete))
                        .default_service(only("GET, HEAD, PUT, DELETE, OPTIONS")),
                ),
        )
        .default_service(web::to(async || HttpResponse::from_error(Problem::not_found())));
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
