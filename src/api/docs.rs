//! `/v1/docs`: the API description as a page (Swagger UI), on which a developer can try requests with a pasted token.
//! All its files come from this binary, and its policy forbids loading others. `api.docs = false` disables it.

use std::{
    borrow::Cow,
    sync::{Arc, LazyLock},
};

use actix_web::{
    HttpRequest, HttpResponse,
    http::header::{self, HeaderValue},
    web::{self, Bytes},
};
use utoipa_swagger_ui::{Config, serve};

use super::problem::Problem;
use crate::serve::StaticFile;

/// The path of the page.
pub const PATH: &str = "/v1/docs";
/// The path of its files.
pub const FILES: &str = "/v1/docs/{name}";

/// Swagger UI sets styles through the DOM, which the policy allows, and embeds its icons as `data:` URLs.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'",
);
/// For an hour only: a new version of this program may have different files under the same names.
const CACHING: HeaderValue = HeaderValue::from_static("public, max-age=3600");

const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";

/// The page and its files, shared by all servers of the process, and compressed once.
static PAGE: LazyLock<StaticFile> = LazyLock::new(|| {
    file(
        "text/html; charset=utf-8",
        include_bytes!("../../static/api/index.html"),
    )
});
static SCRIPT: LazyLock<StaticFile> = LazyLock::new(|| file(JAVASCRIPT, include_bytes!("../../static/api/docs.js")));
static STYLE: LazyLock<StaticFile> = LazyLock::new(|| file(CSS, include_bytes!("../../static/api/docs.css")));
static SWAGGER_SCRIPT: LazyLock<Option<StaticFile>> = LazyLock::new(|| swagger(JAVASCRIPT, "swagger-ui-bundle.js"));
static SWAGGER_STYLE: LazyLock<Option<StaticFile>> = LazyLock::new(|| swagger(CSS, "swagger-ui.css"));
static ICON: LazyLock<Option<StaticFile>> = LazyLock::new(|| swagger("image/png", "favicon-32x32.png"));

/// `GET /v1/docs`
///
/// # Errors
/// 406 when `Accept-Encoding` excludes every form.
pub async fn page(request: HttpRequest) -> Result<HttpResponse, Problem> {
    Ok(PAGE.respond(&request).await?)
}

/// `GET /v1/docs/{name}`
///
/// # Errors
/// 404 for an unknown name, 406 when `Accept-Encoding` excludes every form.
pub async fn asset(request: HttpRequest, name: web::Path<String>) -> Result<HttpResponse, Problem> {
    let file = match name.as_str() {
        "docs.js" => Some(&*SCRIPT),
        "docs.css" => Some(&*STYLE),
        "swagger-ui-bundle.js" => SWAGGER_SCRIPT.as_ref(),
        "swagger-ui.css" => SWAGGER_STYLE.as_ref(),
        "favicon-32x32.png" => ICON.as_ref(),
        _ => None,
    };
    Ok(file.ok_or_else(Problem::route_not_found)?.respond(&request).await?)
}

fn file(content_type: &'static str, bytes: &'static [u8]) -> StaticFile {
    with_headers(content_type, Bytes::from_static(bytes))
}

/// `None` when Swagger UI has no such file. A test checks that it has all of them.
fn swagger(content_type: &'static str, name: &str) -> Option<StaticFile> {
    let found = serve(name, Arc::new(Config::from(super::openapi::PATH)))
        .ok()
        .flatten()?;
    let bytes = match found.bytes {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => Bytes::from(bytes),
    };
    Some(with_headers(content_type, bytes))
}

fn with_headers(content_type: &'static str, bytes: Bytes) -> StaticFile {
    let headers = [
        (header::CACHE_CONTROL, CACHING),
        (header::CONTENT_SECURITY_POLICY, POLICY),
    ];
    StaticFile::new(HeaderValue::from_static(content_type), &headers, bytes)
}
