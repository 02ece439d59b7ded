//! Which address is answered by which page. Whatever changes something is a POST.

use actix_web::{
    Resource, Route,
    guard::{Any, Get, Head},
    web,
};

use super::{
    error_page::{Kind, PageError},
    pages::{
        callback, delete_post, edit_post, front_channel_logout, health, home, login, logout, new_post, post, posts,
        profile,
    },
    static_files,
};

/// All routes of the site.
pub fn configure(app: &mut web::ServiceConfig) {
    app.service(page("/").route(get().to(home::show)))
        .service(page("/login").route(get().to(login::start)))
        // Only GET: whoever just looks must not use up the code.
        .service(
            web::resource(callback::PATH)
                .route(web::get().to(callback::finish))
                .default_service(web::to(|| async { refuse("GET") })),
        )
        .service(form("/logout").route(get().to(logout::ask)).route(web::post().to(logout::sign_out)))
        .service(page(front_channel_logout::PATH).route(web::get().to(front_channel_logout::end)))
        .service(page("/profile").route(get().to(profile::show)))
        .service(page("/posts").route(get().to(posts::list)))
        .service(form("/posts/new").route(get().to(new_post::show)).route(web::post().to(new_post::publish)))
        .service(page("/posts/{id}").route(get().to(post::show)))
        .service(form("/posts/{id}/edit").route(get().to(edit_post::show)).route(web::post().to(edit_post::save)))
        .service(
            form("/posts/{id}/delete").route(get().to(delete_post::ask)).route(web::post().to(delete_post::delete)),
        )
        .service(page("/static/{name}").route(get().to(static_files::serve)))
        .service(page("/health").route(get().to(health::report)))
        .service(page("/health/live").route(get().to(health::live)))
        .service(page("/health/ready").route(get().to(health::ready)))
        .default_service(web::to(|| async { Err::<&str, PageError>(Kind::NotFound.into()) }));
}

/// Whether an address has anything to do with who asks: the others answer also when nobody knows that.
pub fn needs_session(path: &str) -> bool {
    !["/static/", "/health", front_channel_logout::PATH].iter().any(|start| path.starts_with(start))
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
