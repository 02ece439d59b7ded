//! `/v1/docs`: the description as a page (Swagger UI) where calls can be tried with a pasted token. All of it comes from
//! this binary, and its policy lets it load nothing else.

use std::sync::Arc;

use actix_web::{
    HttpResponse,
    http::header::{self, HeaderValue},
    web,
};
use utoipa_swagger_ui::{Config, serve};

use super::problem::Problem;

/// Where the page is found.
pub const PATH: &str = "/v1/docs";

/// Swagger UI sets styles through the DOM, which no policy forbids, and shows its icons as `data:`.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'",
);
/// A new version of this program may bring new files under the same names.
const CACHING: HeaderValue = HeaderValue::from_static("public, max-age=3600");

const PAGE: &str = include_str!("../../static/api/index.html");
const SCRIPT: &str = include_str!("../../static/api/docs.js");
const STYLE: &str = include_str!("../../static/api/docs.css");

/// What the page needs of Swagger UI.
const PARTS: [&str; 3] = ["swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"];

/// `GET /v1/docs`
pub async fn page() -> HttpResponse {
    file("text/html; charset=utf-8", PAGE.as_bytes())
}

/// `GET /v1/docs/{name}`
pub async fn part(name: web::Path<String>) -> Result<HttpResponse, Problem> {
    match name.as_str() {
        "docs.js" => Ok(file("text/javascript; charset=utf-8", SCRIPT.as_bytes())),
        "docs.css" => Ok(file("text/css; charset=utf-8", STYLE.as_bytes())),
        name if PARTS.contains(&name) => {
            let found = serve(name, Arc::new(Config::from(super::openapi::PATH)))
                .map_err(|error| Problem::internal(error.to_string()))?;
            let found = found.ok_or_else(Problem::not_found)?;
            Ok(file(&found.content_type, &found.bytes))
        }
        _ => Err(Problem::not_found()),
    }
}

fn file(content_type: &str, content: &[u8]) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(content_type)
        .insert_header((header::CACHE_CONTROL, CACHING))
        .insert_header((header::CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((header::VARY, "Accept-Encoding"))
        .body(content.to_vec())
}
