//! The route table. Everything under `/v1` needs an access token, except the description and its page.

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

/// Mounts every route. `docs` enables the documentation page.
pub fn mount(config: &mut ServiceConfig, docs: bool) {
    mount_docs(config, docs);
    config
        // For every route: an `{id}` that is not an integer is 422. A fixed path such as `/users/me` must be mounted before a
        // pattern that also matches it.
        .app_data(web::PathConfig::default().error_handler(|_, _: &HttpRequest| invalid_id().into()))
        .service(
            web::resource("/health")
                .route(get().to(health::health))
                .default_service(allow_only("GET, HEAD, OPTIONS")),
        )
        .service(
            web::resource("/health/live")
                .route(get().to(health::live))
                .default_service(allow_only("GET, HEAD, OPTIONS")),
        )
        .service(
            web::resource("/health/ready")
                .route(get().to(health::ready))
                .default_service(allow_only("GET, HEAD, OPTIONS")),
        )
        .service(
            web::resource(resource_metadata::PATH)
                .route(get().to(resource_metadata::read))
                .default_service(allow_only("GET, HEAD, OPTIONS")),
        )
        .service(
            web::resource(openapi::PATH)
                .route(get().to(openapi::read))
                .default_service(allow_only("GET, HEAD, OPTIONS")),
        )
        .service(
            web::scope("/v1")
                .wrap(from_fn(accept::require_json))
                .wrap(from_fn(bearer::require))
                .service(
                    web::resource("/profile")
                        .route(get().to(profile::read))
                        .default_service(allow_only("GET, HEAD, OPTIONS")),
                )
                .service(
                    web::resource("/users/me")
                        .route(web::post().to(users::register))
                        .default_service(allow_only("POST, OPTIONS")),
                )
                .service(
                    web::resource("/posts")
                        .route(compressed(get().to(posts::list::list)))
                        .route(get().to(posts::list::list))
                        .route(web::post().to(posts::create::create))
                        .default_service(allow_only("GET, HEAD, POST, OPTIONS")),
                )
                .service(
                    web::resource("/posts/{id}")
                        .route(compressed(get().to(posts::read::read)))
                        .route(get().to(posts::read::read))
                        .route(web::put().to(posts::change::change))
                        .route(web::delete().to(posts::delete::delete))
                        .default_service(allow_only("GET, HEAD, PUT, DELETE, OPTIONS")),
                ),
        )
        .default_service(web::to(not_found));
}

fn mount_docs(config: &mut ServiceConfig, docs: bool) {
    for (path, page) in [(docs::PATH, get().to(docs::page)), (docs::FILES, get().to(docs::asset))] {
        config.service(if docs {
            web::resource(path)
                .route(page)
                .default_service(allow_only("GET, HEAD, OPTIONS"))
        } else {
            // Mounted all the same: any other path under `/v1` demands a token first.
            web::resource(path).default_service(web::to(not_found))
        });
    }
}

async fn not_found() -> HttpResponse {
    HttpResponse::from_error(Problem::route_not_found())
}

/// GET and HEAD (RFC 9110 §9.3.2); the server omits the body of a HEAD response.
fn get() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

/// Responds to all other methods: to OPTIONS with `Allow`, to the rest with 405 and `Allow`.
fn allow_only(allow: &'static str) -> Route {
    web::to(move |method: Method| {
        ready(if method == Method::OPTIONS {
            HttpResponse::NoContent().insert_header((header::ALLOW, allow)).finish()
        } else {
            HttpResponse::from_error(Problem::method_not_allowed(allow))
        })
    })
}

fn invalid_id() -> Problem {
    Problem::invalid(vec![FieldError::new("id", "must be an integer")])
}
