//! Completes every response: an error gets its problem document, a panic becomes a logged 500, and common headers are
//! set.

use std::{
    any::Any,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
};

use actix_web::{
    Error, HttpResponse, ResponseError,
    body::{BoxBody, EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    error::InternalError,
    http::{
        Method,
        header::{self, HeaderMap, HeaderValue},
    },
    middleware::Next,
};

use crate::api::problem::{MEDIA_TYPE, Problem};
use crate::serve::{RequestId, request_id};

/// Middleware. It belongs inside [`request_id::assign`] and outside everything that can reject a request.
///
/// # Errors
/// When there is no response to complete: after a panic, or when an inner middleware failed. The error holds the
/// complete response.
pub async fn complete(
    request: ServiceRequest,
    next: Next<impl MessageBody + 'static>,
) -> Result<ServiceResponse<EitherBody<impl MessageBody + 'static>>, Error> {
    // Copied: a reference to the request here would prevent routing from changing it.
    let request_info = RequestInfo {
        method: request.method().clone(),
        path: request.path().to_owned(),
        id: RequestId::get(request.request()),
    };
    match catch_panic(async move { next.call(request).await }).await {
        Ok(Ok(response)) => Ok(request_info.complete(response)),
        Ok(Err(error)) => Err(match error.as_error::<Problem>() {
            Some(problem) => request_info.error(problem),
            None => request_info.error(&Problem::from_web_server(
                error.as_response_error().status_code(),
                Some(&error),
            )),
        }),
        Err(panic) => Err(request_info.error(&Problem::internal(panic))),
    }
}

/// Runs `future`, and turns a panic into its message.
async fn catch_panic<T>(future: impl Future<Output = T>) -> Result<T, String> {
    let mut future = pin!(future);
    // Unwind safety: the interrupted future is dropped with the request, and nothing of it is used again.
    poll_fn(
        |context| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(poll) => poll.map(Ok),
            Err(panic) => std::task::Poll::Ready(Err(format!("panic: {}", panic_message(panic.as_ref())))),
        },
    )
    .await
}

fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("no message")
}

/// What the problem document and the log say about the request.
struct RequestInfo {
    method: Method,
    path: String,
    id: RequestId,
}

impl RequestInfo {
    fn complete<B: MessageBody + 'static>(&self, mut response: ServiceResponse<B>) -> ServiceResponse<EitherBody<B>> {
        set_security_headers(response.headers_mut());
        let status = response.status();
        let error = response.response().error();
        let has_own_body = error.is_none() && has_own_body(response.headers());
        if !status.is_client_error() && !status.is_server_error() || has_own_body {
            return response.map_into_left_body();
        }
        let body = match error.and_then(|error| error.as_error::<Problem>()) {
            Some(problem) => self.document(problem),
            None => self.document(&Problem::from_web_server(status, error)),
        };
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, MEDIA_TYPE);
        headers.remove(header::CONTENT_ENCODING);
        response.map_body(|_, _| EitherBody::right(BoxBody::new(body)))
    }

    fn error(&self, problem: &Problem) -> Error {
        let mut response: HttpResponse = problem.error_response();
        let headers = response.headers_mut();
        set_security_headers(headers);
        headers.insert(header::CONTENT_TYPE, MEDIA_TYPE);
        headers.insert(request_id::HEADER, self.id.to_header());
        let response = response.set_body(BoxBody::new(self.document(problem)));
        InternalError::from_response(problem.code(), response).into()
    }

    fn document(&self, problem: &Problem) -> Vec<u8> {
        let Self { method, path, id } = self;
        let (id, code) = (id.as_str(), problem.code());
        match problem.causes() {
            Some(causes) => log::error!(request_id = id; "{method} {path} {code}: {causes}"),
            None => log::info!(request_id = id; "{method} {path} rejected: {code}"),
        }
        problem.document(path, id)
    }
}

/// The readiness route responds to failures with 503 and its own document, which says what is missing.
fn has_own_body(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind == "application/json")
}

/// Headers of every response. A handler's own `Content-Security-Policy` and `Cache-Control` stay.
fn set_security_headers(headers: &mut HeaderMap) {
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // If a browser is tricked into rendering JSON as a page, the page can load and run nothing.
    if !headers.contains_key(header::CONTENT_SECURITY_POLICY) {
        let policy = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
        headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

#[cfg(test)]
mod tests {
    use actix_web::{
        App,
        middleware::{Compress, from_fn},
        test::{TestRequest, call_service, init_service, read_body_json, try_call_service},
        web,
    };
    use serde_json::{Value, json};

    use super::*;

    /// Sends a request whose handler is `handle`.
    async fn respond(handle: fn() -> Result<HttpResponse, Error>) -> (u16, HeaderMap, Value) {
        let app = App::new()
            .default_service(web::to(move || std::future::ready(handle())))
            .wrap(from_fn(complete))
            .wrap(from_fn(request_id::assign));
        let app = init_service(app).await;
        let request = TestRequest::with_uri("/some?q=secret").insert_header((request_id::HEADER, "id-1"));
        match try_call_service(&app, request.to_request()).await {
            Ok(response) => {
                let (status, headers) = (response.status().as_u16(), response.headers().clone());
                (status, headers, read_body_json(response).await)
            }
            // As the HTTP layer does with an error.
            Err(error) => {
                let response = error.error_response();
                let (status, headers) = (response.status().as_u16(), response.headers().clone());
                let body = actix_web::body::to_bytes(response.into_body()).await.expect("a body");
                (status, headers, serde_json::from_slice(&body).expect("JSON"))
            }
        }
    }

    #[actix_web::test]
    async fn a_panic_in_a_handler_is_a_500_that_says_nothing_about_it() {
        let (status, headers, body) = respond(|| panic!("at /var/lib/blog.db")).await;
        assert_eq!(status, 500);
        assert_eq!(headers.get(header::CONTENT_TYPE), Some(&MEDIA_TYPE));
        assert_eq!(headers.get(request_id::HEADER).expect("an id"), "id-1");
        assert_eq!(
            headers.get(header::X_CONTENT_TYPE_OPTIONS).expect("a header"),
            "nosniff"
        );
        let detail = "the server failed; the error was logged under this request id";
        let expected = json!({
            "type": "about:blank", "title": "Internal Server Error", "status": 500, "detail": detail,
            "instance": "/some", "code": "internal", "request_id": "id-1",
        });
        assert_eq!(body, expected);
    }

    #[actix_web::test]
    async fn an_error_of_the_web_server_is_a_problem_without_its_text() {
        let (status, headers, body) =
            respond(|| Err(actix_web::error::ErrorInternalServerError("at /var/lib/blog.db"))).await;
        assert_eq!((status, &body["code"]), (500, &json!("internal")));
        assert_eq!(headers.get(header::CONTENT_TYPE), Some(&MEDIA_TYPE));
        assert!(!body.to_string().contains("/var"), "{body}");

        let (status, _, body) = respond(|| Ok(HttpResponse::ImATeapot().body("short and stout"))).await;
        assert_eq!(
            (status, &body["code"], &body["status"]),
            (418, &json!("bad_request"), &json!(418))
        );
    }

    #[actix_web::test]
    async fn a_problem_inside_compression_has_no_content_encoding() {
        let route = web::get()
            .to(async || HttpResponse::from_error(Problem::route_not_found()))
            .wrap(Compress::default());
        let app = init_service(App::new().route("/", route).wrap(from_fn(complete))).await;
        let request = TestRequest::with_uri("/")
            .insert_header((header::ACCEPT_ENCODING, "gzip"))
            .to_request();
        let response = call_service(&app, request).await;
        assert!(!response.headers().contains_key(header::CONTENT_ENCODING));
        let body: Value = read_body_json(response).await;
        assert_eq!(body["code"], "not_found");
    }
}
