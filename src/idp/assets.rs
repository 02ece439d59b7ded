//! Style sheet and icon of the pages, embedded in the binary.

use actix_web::{
    HttpResponse,
    http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS},
};

/// `GET /_assets/idp.css`
pub async fn style_sheet() -> HttpResponse {
    asset("text/css; charset=utf-8", include_str!("../../static/idp/idp.css"))
}

/// `GET /_assets/icon.svg`
pub async fn icon() -> HttpResponse {
    asset("image/svg+xml", include_str!("../../static/idp/icon.svg"))
}

fn asset(content_type: &'static str, body: &'static str) -> HttpResponse {
    HttpResponse::Ok()
        .content_type(content_type)
        .insert_header((CACHE_CONTROL, "no-cache"))
        .insert_header((X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .body(body)
}
