//! `/robots.txt`: only the home page is for search engines; everything else needs a sign-in.

use actix_web::{
    HttpResponse,
    http::header::{CACHE_CONTROL, ContentType},
};

/// Where robots look for it (RFC 9309 §2.3).
pub const PATH: &str = "/robots.txt";

/// `GET /robots.txt`
pub async fn show() -> HttpResponse {
    HttpResponse::Ok()
        .content_type(ContentType::plaintext())
        .insert_header((CACHE_CONTROL, "public, max-age=86400"))
        .body("User-agent: *\nAllow: /$\nAllow: /static/\nDisallow: /\n")
}
