//! `/robots.txt`: search engines may index the home page only; everything else needs a sign-in.

use actix_web::{
    HttpResponse,
    http::header::{CACHE_CONTROL, ContentType},
};

/// `GET /robots.txt`
pub async fn show() -> HttpResponse {
    HttpResponse::Ok()
        .content_type(ContentType::plaintext())
        .insert_header((CACHE_CONTROL, "public, max-age=86400"))
        .body("User-agent: *\nAllow: /$\nAllow: /static/\nDisallow: /\n")
}
