//! The listener for plain HTTP, `server.tls.redirect_port`: it sends browsers to the public URL, and serves nothing else.
//!
//! The target is never the `Host` of a request, which an attacker may choose. The API does not redirect: a client that sends
//! its access token in clear text must notice, even if the token has already been exposed.

use std::{io, net::TcpListener};

use actix_web::{
    App, HttpRequest, HttpResponse,
    http::header::{CACHE_CONTROL, LOCATION},
    middleware::from_fn,
    web,
};
use serde_json::json;
use url::Url;

use super::challenges::{self, Challenges};
use crate::{
    config::ServerSettings,
    serve::{self, Options, access_log, request_guard, request_id},
};

/// What the listener for plain HTTP serves.
#[derive(Debug, Clone)]
pub(super) struct PlainHttp {
    /// How requests are answered.
    pub(super) answer: Answer,
    /// The responses to challenges of an ACME CA, if there is one.
    pub(super) challenges: Option<Challenges>,
}

/// How requests over plain HTTP are answered.
#[derive(Debug, Clone)]
pub(super) enum Answer {
    /// 308 to this URL, with path and query of the request.
    Redirect(Url),
    /// 403.
    Rejection,
}

/// Prepares the server on this socket.
///
/// # Errors
/// Those of [`serve::server::listen`].
pub(super) fn listen(
    listener: TcpListener,
    settings: &ServerSettings,
    responder: PlainHttp,
) -> io::Result<serve::Server> {
    let options = Options {
        name: "plain-http",
        workers: 1,
        settings,
        tls: None,
    };
    let responder = web::Data::new(responder);
    serve::server::listen(listener, &options, move || {
        App::new()
            .app_data(responder.clone())
            .default_service(web::to(respond))
            .wrap(from_fn(request_guard::check))
            .wrap(from_fn(access_log::log))
            .wrap(from_fn(request_id::assign))
    })
}

async fn respond(request: HttpRequest, responder: web::Data<PlainHttp>) -> HttpResponse {
    if let Some(challenges) = &responder.challenges
        && let Some(token) = request.path().strip_prefix(challenges::FOLDER)
    {
        return match challenges.response(token) {
            Some(response) => HttpResponse::Ok()
                .content_type("application/octet-stream")
                .body(response),
            None => HttpResponse::NotFound().finish(),
        };
    }
    match &responder.answer {
        Answer::Redirect(public_url) => HttpResponse::PermanentRedirect()
            .insert_header((LOCATION, target(public_url, &request)))
            .finish(),
        Answer::Rejection => HttpResponse::Forbidden()
            .insert_header((CACHE_CONTROL, "no-store"))
            .content_type("application/problem+json")
            .json(json!({
                "type": "about:blank",
                "title": "Forbidden",
                "status": 403,
                "code": "https_required",
                "detail": "this API is served over HTTPS only: use its https URL, and replace an access token that was sent here",
            })),
    }
}

/// The page of the request at the public URL, whose own path is `/`.
fn target(public_url: &Url, request: &HttpRequest) -> String {
    let origin = public_url.origin().ascii_serialization();
    // The target of `OPTIONS *` has no path.
    let path = Some(request.uri().path())
        .filter(|path| path.starts_with('/'))
        .unwrap_or("/");
    match request.uri().query() {
        Some(query) => format!("{origin}{path}?{query}"),
        None => format!("{origin}{path}"),
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn the_target_is_on_the_public_url_whatever_the_request_says() {
        let public_url = Url::parse("https://blog.example.com:8443/").expect("a URL");
        for (uri, expected) in [
            ("/", "https://blog.example.com:8443/"),
            (
                "/posts?q=a%20b&page=2",
                "https://blog.example.com:8443/posts?q=a%20b&page=2",
            ),
            ("//evil.example/x", "https://blog.example.com:8443//evil.example/x"),
            ("http://evil.example/x?y", "https://blog.example.com:8443/x?y"),
            ("/@evil.example", "https://blog.example.com:8443/@evil.example"),
            ("*", "https://blog.example.com:8443/"),
        ] {
            let request = TestRequest::with_uri(uri)
                .insert_header(("host", "evil.example"))
                .to_http_request();
            assert_eq!(target(&public_url, &request), expected, "{uri}");
        }
    }
}
