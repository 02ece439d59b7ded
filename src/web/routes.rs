//! Which handler serves which path. Every route that changes something is a POST.

use actix_web::{
    Resource, Route,
    guard::{Any, Get, Head},
    web,
};

use super::{
    error::{ErrorKind, PageError},
    pages::{
        callback, delete_post, edit_post, front_channel_logout, health, home, login, logout, new_post, post, posts,
        profile, robots, static_file,
    },
    paths,
};

/// All routes of the site; `redirect_path` is where Entra sends browsers back to.
pub fn configure(app: &mut web::ServiceConfig, redirect_path: &str) {
    app.service(page("/").route(get().to(home::show)))
        .service(page("/login").route(get().to(login::start)))
        // GET only: a HEAD request must not redeem the code.
        .service(
            web::resource(redirect_path)
                .route(web::get().to(callback::finish))
                .default_service(web::to(|| async { reject_method("GET") })),
        )
        .service(
            form("/logout")
                .route(get().to(logout::ask))
                .route(web::post().to(logout::sign_out)),
        )
        .service(page(paths::FRONT_CHANNEL_LOGOUT).route(web::get().to(front_channel_logout::end)))
        .service(page("/profile").route(get().to(profile::show)))
        .service(page("/posts").route(get().to(posts::list)))
        .service(
            form("/posts/new")
                .route(get().to(new_post::show))
                .route(web::post().to(new_post::publish)),
        )
        .service(page("/posts/{id}").route(get().to(post::show)))
        .service(
            form("/posts/{id}/edit")
                .route(get().to(edit_post::show))
                .route(web::post().to(edit_post::save)),
        )
        .service(
            form("/posts/{id}/delete")
                .route(get().to(delete_post::ask))
                .route(web::post().to(delete_post::delete)),
        )
        .service(page("/static/{name}").route(get().to(static_file::serve)))
        .service(page(paths::ROBOTS).route(get().to(robots::show)))
        .service(page("/health").route(get().to(health::report)))
        .service(page("/health/live").route(get().to(health::live)))
        .service(page("/health/ready").route(get().to(health::ready)))
        .default_service(web::to(|| async { Err::<&str, PageError>(ErrorKind::NotFound.into()) }));
}

/// A path that only shows something.
fn page(path: &str) -> Resource {
    web::resource(path).default_service(web::to(|| async { reject_method("GET, HEAD") }))
}

/// A path that shows a form and accepts it.
fn form(path: &str) -> Resource {
    web::resource(path).default_service(web::to(|| async { reject_method("GET, HEAD, POST") }))
}

fn reject_method(methods: &'static str) -> Result<&'static str, PageError> {
    Err(ErrorKind::MethodNotAllowed(methods).into())
}

/// HEAD works wherever GET does (RFC 9110 §9.1).
fn get() -> Route {
    web::route().guard(Any(Get()).or(Head()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::redirect_path;

    #[test]
    fn no_route_of_the_site_can_be_the_path_of_the_redirect_uri() {
        let (source, _) = include_str!("routes.rs").split_once("mod tests").expect("this module");
        let literals = source
            .split('"')
            .skip(1)
            .step_by(2)
            .filter(|text| text.starts_with('/'));
        let routes: Vec<_> = literals
            .map(|path| path.replace("{id}", "7").replace("{name}", "x"))
            .collect();
        assert!(routes.len() > 10, "{routes:?}");
        for path in routes
            .iter()
            .map(String::as_str)
            .chain([paths::FRONT_CHANNEL_LOGOUT, paths::ROBOTS])
        {
            assert!(!redirect_path(path), "{path}");
        }
    }
}
