//! Which address is answered by which page. Whatever changes something is a POST.

use actix_web::{
    Resource, Route,
    guard::{Any, Get, Head},
    web,
};

use super::{
    middleware::error_pages::{Kind, PageError},
    pages::{
        callback, delete_post, edit_post, front_channel_logout, health, home, login, logout, new_post, post, posts,
        profile, robots,
    },
    static_files,
};

/// All routes of the site; `redirect_path` is where Entra sends browsers back to.
pub fn configure(app: &mut web::ServiceConfig, redirect_path: &str) {
    app.service(page("/").route(get().to(home::show)))
        .service(page("/login").route(get().to(login::start)))
        // GET only: a HEAD request must not redeem the code.
        .service(
            web::resource(redirect_path)
                .route(web::get().to(callback::finish))
                .default_service(web::to(|| async { refuse("GET") })),
        )
        .service(
            form("/logout")
                .route(get().to(logout::ask))
                .route(web::post().to(logout::sign_out)),
        )
        .service(page(front_channel_logout::PATH).route(web::get().to(front_channel_logout::end)))
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
        .service(page("/static/{name}").route(get().to(static_files::serve)))
        .service(page(robots::PATH).route(get().to(robots::show)))
        .service(page("/health").route(get().to(health::report)))
        .service(page("/health/live").route(get().to(health::live)))
        .service(page("/health/ready").route(get().to(health::ready)))
        .default_service(web::to(|| async { Err::<&str, PageError>(Kind::NotFound.into()) }));
}

/// Whether the page at `path`, percent-decoded, depends on the session: the others work while sessions are out of reach.
pub fn needs_session(path: &str) -> bool {
    let is_or_is_under = |folder: &str| {
        path.strip_prefix(folder)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    !["/static", "/health", front_channel_logout::PATH, robots::PATH]
        .into_iter()
        .any(is_or_is_under)
}

/// An address that only shows something.
fn page(path: &str) -> Resource {
    web::resource(path).default_service(web::to(|| async { refuse("GET, HEAD") }))
}

/// An address that shows a form and takes it.
fn form(path: &str) -> Resource {
    web::resource(path).default_service(web::to(|| async { refuse("GET, HEAD, POST") }))
}

fn refuse(methods: &'static str) -> Result<&'static str, PageError> {
    Err(Kind::MethodNotAllowed(methods).into())
}

/// HEAD is answered wherever GET is (RFC 9110 §9.1).
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
            .chain([front_channel_logout::PATH, robots::PATH])
        {
            assert!(!redirect_path(path), "{path}");
        }
    }

    #[test]
    fn only_what_stands_below_a_folder_is_in_it() {
        for path in ["/health", "/health/live", "/static/site.css", "/front-channel-logout"] {
            assert!(!needs_session(path), "{path}");
        }
        for path in ["/", "/posts", "/healthy", "/front-channel-logout-2", "/statics"] {
            assert!(needs_session(path), "{path}");
        }
    }
}
